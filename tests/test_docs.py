"""The commands in docs/ are commands that there are, with options that there are."""

import importlib.util
import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest

from echoframe.apps.cli import build_parser
from echoframe.options import REQUEST_FIELDS, WRITE_FIELDS, RunOptions

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = [
    (path.name, line)
    for path in sorted(DOCS.glob("*.md"))
    for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("echoframe ")
]


def test_there_are_some():
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize(("document", "line"), COMMANDS)
def test_the_command_is_understood(document, line):
    args = build_parser().parse_args(shlex.split(line, comments=True)[1:])
    assert callable(args.run), document


def test_the_files_they_name_are_there():
    for path in DOCS.glob("*.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (DOCS / link).exists(), (path.name, link)


def test_the_table_of_options_has_a_row_for_each_with_its_range():
    spec = importlib.util.spec_from_file_location("hooks", DOCS / "_hooks.py")
    assert spec is not None
    assert spec.loader is not None
    hooks = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hooks)
    rows = hooks.on_page_markdown(hooks.MARK).splitlines()
    cells = {row.split(" | ")[0].strip("| `"): row.rstrip(" |").split(" | ") for row in rows[2:]}
    assert len(cells) == len([*REQUEST_FIELDS, *fields(RunOptions), *WRITE_FIELDS])
    assert cells["--sync S"][1:5:3] == ["`sync`", "a number from 0 to 1; 0.5 is usual"]
    assert cells["--whole"][1:5:3] == ["`whole`", "given or not"]
    assert cells["--scheduler NAME"][4] == "one of `echoframe.options.SCHEDULER_NAMES`"
