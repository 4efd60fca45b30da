"""What the README tells people to type works as it stands, with the embedded model."""

import os
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from echoframe.bundles.bundle import EMBEDDED
from echoframe.data.embedding_reader import share_of
from echoframe.evaluation.judges.aisfx import AisfxJudge
from echoframe.evaluation.protocols import ECHOFRAME
from planted_video import write_video

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    write_video(tmp_path / "clip.mp4", n_frames=50)  # 2 s: `make demo` takes the real film
    (tmp_path / "films").mkdir()
    names = [f"film{i:07d}" for i in range(100)]
    held_out = next(name for name in names if share_of(name) < 0.1)  # of the films, a tenth is for validation
    for name in (*[name for name in names if share_of(name) >= 0.1][:2], held_out):
        write_video(tmp_path / "films" / f"{name}_000030.mp4", n_frames=50, rate=Fraction(5), tone_hz=440.0)  # 10 s
    (tmp_path / "run.toml").write_text(blocks("toml")[0])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_every_command_runs(folder):
    commands = [line for block in blocks("sh") for line in block.splitlines() if not line.startswith("pip install")]
    assert sum(line.startswith("echoframe") for line in commands) >= 4
    for command in commands:
        done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()}
    assert made >= {"out/clip.wav", "out/clip.mp4", "out/clip.png", "out/clip.json", "out/clip.flac", "again/clip.wav"}
    assert made >= {"runs/first/mapper/model.safetensors", "table/compare.md", "my-model/bundle.json", "mine.wav"}
    assert made >= {"clips.png", "tars/all-000000.tar", "embeddings/shard-00000.parquet", "dataset/README.md"}
    assert made >= {"report/evaluation.md", "report/evaluation.json", "report/evaluation.html"}
    assert made >= {"study/study.json", "study/answers.sqlite"}


def test_the_python_example_runs(folder):
    (example,) = blocks("python")
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102
    assert (folder / "clip.wav").stat().st_size == 44 + 2 * 32_000


def test_the_files_it_names_are_there():
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert {"docs/results/cat.png", "docs/results/cat.mp3", "docs/results/dog.png", "docs/results/dog.mp3"} <= {*links}
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_short_table_stands_between_the_marks_of_its_program():
    _, table, _ = re.split(r"<!-- (?:benchmarks/peers.py|end of benchmarks/peers.py).*-->", README)
    assert re.search(r"^\| mini \|", table, re.MULTILINE)


def test_the_long_table_is_one_that_echoframe_evaluate_would_print_now():
    long = (ROOT / "docs" / "evaluation.md").read_text(encoding="utf-8")
    _, table, _ = re.split(r"<!-- (?:echoframe evaluate|end of the table).*-->", long)
    titles = {figure.title for figure in ECHOFRAME.figures}
    (heads,) = re.findall(r"^\| \| (.*) \|$", table, re.MULTILINE)
    assert {head.rstrip(" ↑↓") for head in heads.split(" | ")} <= titles | {"n"}
    assert f"sha256 of its weights {AisfxJudge().sha256[:16]}" in table
    for row in ("mini", "shuffled", "noise"):
        assert len(re.findall(rf"^\| {row} \|.*\[.*\| 12 \|$", table, re.MULTILINE)) == 1


def test_the_embedded_model_is_whole_and_small():
    files = [path for path in EMBEDDED["mini"].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 64_000_000
    assert not [path for path in files if path.suffix not in (".json", ".safetensors", ".md")]
