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
MARKS = r"<!-- (?:echoframe evaluate|end of the table).*-->"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    (tmp_path / "demo").mkdir()
    write_video(tmp_path / "demo" / "clip.mp4", n_frames=50)  # 2 s: `make demo` takes the real film
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


def test_every_command_runs_one_after_the_other(folder):
    lines = [line for block in blocks("sh") for line in block.splitlines() if not line.startswith("pip install")]
    assert sum(line.startswith("echoframe") for line in lines) >= 4
    script = "set -ex\n" + "\n".join(lines)  # -x: the last command shown is the one that failed
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    made = {path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.is_file()}
    assert made >= {
        "out/clip.wav",
        "out/clip.mp4",
        "best/clip.png",
        "out/clip.wav.json",
        "out/clip.flac",
        "again/clip.wav",
    }
    assert made >= {f"out/clip.s{seed}.{kind}" for seed in (1, 2, 3) for kind in ("wav", "mp4")}
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


def tables() -> dict[str, str]:
    """The pages with a table that `echoframe evaluate` printed, and that table."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    found = {page.name: re.split(MARKS, page.read_text(encoding="utf-8")) for page in pages}
    return {name: parts[1] for name, parts in found.items() if len(parts) == 3}


def rows_of(table: str) -> dict[str, list[str]]:
    """The cells of each row by its name, "" the heads."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return {cells[0].strip("*"): cells[1:] for cells in lines if not cells[0].startswith("-")}


def value(cell: str) -> tuple[float, float]:
    """The number at the beginning of a cell, and the most that it was rounded by."""
    number = cell.split()[0]
    return float(number), 0.5 * 10.0 ** -len(number.partition(".")[2])


def test_the_table_has_the_columns_and_judges_of_echoframe_evaluate():
    titles = {figure.title for figure in ECHOFRAME.figures}
    assert tables()
    for page, table in tables().items():
        heads, *_ = rows_of(table).values()
        assert {head.rstrip(" ↑↓") for head in heads} <= titles | {"n"}, page
        assert f"sha256 of its weights {AisfxJudge().sha256[:16]}" in table, page
        assert all(name in rows_of(table) for name in ("mini", "shuffled", "noise")), page


def test_the_numbers_of_the_table_agree_with_each_other():
    """A number changed by hand would show: differences are those of their rows, estimates lie in their intervals.

    Onset F1 leaves out clips without an onset in both sounds: a row's n is "10 - 12" then, and a difference has other clips.
    """
    n = 0
    for page, table in tables().items():
        rows = rows_of(table)
        heads = rows.pop("")
        for name, cells in rows.items():
            one, _, other = name.partition(" - ")
            for column, cell in enumerate(cells[:-1]):
                interval = re.search(r"\[(\S+), (\S+)\]", cell)
                if interval:
                    assert float(interval[1]) <= value(cell)[0] <= float(interval[2]), f"{page}: {name}: {cell}"
                same_clips = not heads[column].startswith("onset") or all(
                    "-" not in rows[x][-1] for x in (one, other) if x in rows
                )
                if cell and one in rows and other in rows and same_clips:
                    (a, by_a), (b, by_b), (found, by) = (
                        value(x) for x in (rows[one][column], rows[other][column], cell)
                    )
                    assert abs(a - b - found) <= by_a + by_b + by + 1e-9, f"{page}: {name}: {cell}"
                    n += 1
        most = {rows[name][-1].split()[-1] for name in ("mini", "shuffled", "noise")}
        assert len(most) == 1, f"{page}: not the same clips"
    assert n >= 10


def test_the_embedded_model_is_whole_and_small():
    files = [path for path in EMBEDDED["mini"].rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 75_000_000
    assert not [path for path in files if path.suffix not in (".json", ".safetensors", ".md")]
