"""Files around the package name what is there: versions, pins, workflows, hooks, the Dockerfile."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


def runs(path: Path) -> list[str]:
    """Every line that a workflow runs in a shell."""
    jobs = yaml.safe_load(path.read_text(encoding="utf-8"))["jobs"].values()
    return [line for job in jobs for step in job["steps"] for line in step.get("run", "").splitlines()]


def test_the_version_has_a_dated_section_in_the_changelog():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    version = re.escape(PROJECT["project"]["version"])
    assert re.search(rf"^## \[{version}\] - 20\d\d-\d\d-\d\d$", changelog, re.MULTILINE)


def test_the_lowest_pins_are_the_projects_bounds():
    made = subprocess.run([sys.executable, ROOT / ".ci" / "lowest.py"], check=True, capture_output=True, text=True)
    assert made.stdout == (ROOT / "constraints-lowest.txt").read_text(encoding="utf-8")
    pin = "torch==2.13.0"
    assert all(pin in (ROOT / name).read_text() for name in ("constraints.txt", "constraints-lowest.txt"))
    bounds = [*PROJECT["project"]["dependencies"], *sum(PROJECT["project"]["optional-dependencies"].values(), [])]
    assert all(">=" in bound or bound.startswith("echoframe[") for bound in bounds)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_name_files_extras_and_groups_that_are_there(path):
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"[\w./-]*(?:constraints[\w-]*\.txt|tests/\w+\.py|demo/\w+\.mp4|\.ci/run|pyproject\.toml)", text)
    assert named
    assert all((ROOT / name).exists() for name in named)
    for line in runs(path):
        for extras in re.findall(r"\.\[([\w,]+)\]", line):
            assert set(extras.split(",")) <= PROJECT["project"]["optional-dependencies"].keys()
        for group in re.findall(r"--group (\w+)", line):
            assert group in PROJECT["dependency-groups"]


def test_workflows_run_commands_of_echoframe_that_are_there():
    from echoframe.apps.cli import build_parser

    commands = [line for path in WORKFLOWS for line in runs(path) if re.match(r"(\S*/)?echoframe ", line)]
    assert len(commands) >= 4
    for line in commands:
        assert callable(build_parser().parse_args(shlex.split(line)[1:]).run)


def test_hooks_run_what_make_lint_runs():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))["repos"][0]["hooks"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8").replace("$(BIN)", ".venv/bin").replace("$(MAKE)", "make")
    for hook in hooks:
        assert hook["entry"].removesuffix(" --force-exclude") in makefile


def test_the_dockerfile_copies_what_is_there_and_runs_what_there_is():
    from echoframe.apps.cli import build_parser

    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    copied = [name for line in lines if line.startswith("COPY ") for name in line.split()[1:-1]]
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    kept = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert all(f"!{name.split('/')[0]}" in kept for name in copied)
    (command,) = [line.removeprefix("CMD ") for line in lines if line.startswith("CMD ")]
    assert callable(build_parser().parse_args(yaml.safe_load(command)).run)
