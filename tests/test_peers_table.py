"""benchmarks/peers.py: the README's table of systems, from a small set of films and planted ears."""

import re
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest

from echoframe import load
from echoframe.evaluation.judges import yamnet
from echoframe.evaluation.judges.aisfx import AisfxJudge
from echoframe.evaluation.protocols import find_protocol
from echoframe.output import file_sha256
from shelves import write_shelf
from test_judges_yamnet import NAMES, packed, planted
from test_recipe_acceptance import Shared
from tiny_bundles import write_tiny_mini

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def peers(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    peers = import_module("peers")

    yield peers
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_the_table_has_every_system_and_stands_between_its_marks(peers, tmp_path, monkeypatch, capsys):
    weights = packed(tmp_path / "yamnet.tflite", "\n".join(NAMES))
    monkeypatch.setattr(yamnet, "PUBLISHED", replace(yamnet.PUBLISHED, digest=file_sha256(weights)))
    monkeypatch.setattr(yamnet, "_load_network", lambda path: planted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Shared(root=tmp_path).films()
    write_tiny_mini(tmp_path / "tiny")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{peers.BEGIN}\nold\n{peers.END}\nafter\n")
    arguments = ["--yamnet", str(weights), "--model", str(tmp_path / "tiny"), "--seeds", "2"]
    (tmp_path / "shelf").mkdir()
    arguments += ["--library", str(write_shelf(tmp_path / "shelf", load(str(tmp_path / "tiny"))))]
    arguments += ["--out", str(tmp_path / "out"), "--readme", str(readme)]
    monkeypatch.setattr(sys, "argv", ["peers.py", str(tmp_path / "peers"), *arguments])
    peers.main()
    text = readme.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    rows = re.findall(r"^\| (?!---)(.*?) \|", text, re.MULTILINE)
    assert rows[1:] == [
        "the film's own sound",
        "Frieren",
        "Diff-Foley",
        "Im2Wav",
        "SpecVQGAN",
        "tiny",
        "tiny, --sync 0.5",
        "tiny, --library",
        "tiny, nearest recording",
        "noise",
        "*chance: tiny, pairs shuffled*",
    ]
    heads = re.findall(r"^\| \| (.*) \|$", text, re.MULTILINE)[0].split(" | ")
    assert heads[:5] == ["agreement hit ↑", "agreement KL ↓", "cosine aiSFX ↑", "onset F1, 100 ms ↑", "envelope r ↑"]
    assert heads[5:] == ["onsets a second", "n"]
    own = next(line for line in text.splitlines() if line.startswith("| the film's own sound"))
    assert own.count("1.00 [1.00, 1.00]") == 3
    assert "|  |" in own  # none of these films has an onset
    assert "0.00 [0.00, 0.00]" in own
    assert "Judge yamnet" in text
    assert "Judge aisfx" in text
    assert "tiny: mean of seeds 0 to 1." in text


def test_the_readmes_table_is_one_that_the_program_would_print(peers):
    readme = (BENCHMARKS.parent / "README.md").read_text(encoding="utf-8")
    table = readme.partition(peers.BEGIN)[2].partition(peers.END)[0]
    (heads,) = re.findall(r"^\| \| (.*) \|$", table, re.MULTILINE)
    shown = [
        figure for name, keys in peers.SHOWN.items() for figure in find_protocol(name).figures if figure.key in keys
    ]
    assert [head.rstrip(" ↑↓") for head in heads.split(" | ")] == [
        *(figure.title for figure in shown),
        "onsets a second",
        "n",
    ]
    for row in (peers.REAL, *peers.SYSTEMS, "mini", "mini, --sync 0.5", "mini, --library", peers.NOISE):
        assert len(re.findall(rf"^\| {re.escape(row)} \|.*\[.*\| (?:\d+ - )?12 \|$", table, re.MULTILINE)) == 1
    for judge in (yamnet.PUBLISHED.digest[:16], AisfxJudge().sha256[:16]):
        assert f"sha256 of its weights {judge}" in table
