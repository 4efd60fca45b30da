"""benchmarks/peers.py: the README's table of systems, from a small set of films and planted ears."""

import re
import sys
from pathlib import Path

import pytest

from echoframe.bundles.manifest import file_sha256
from echoframe.evaluation.judges import yamnet
from test_judges_yamnet import NAMES, packed, planted
from test_recipe_acceptance import Shared
from tiny_bundles import write_tiny_mini

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def peers(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    import peers

    yield peers
    for name in set(sys.modules) - before:
        if str(BENCHMARKS) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def test_the_table_has_every_system_and_stands_between_its_marks(peers, tmp_path, monkeypatch, capsys):
    weights = packed(tmp_path / "yamnet.tflite", "\n".join(NAMES))
    monkeypatch.setattr(yamnet, "SHA256", file_sha256(weights))
    monkeypatch.setattr(yamnet, "_load_network", lambda path: planted)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    Shared(root=tmp_path).films()
    write_tiny_mini(tmp_path / "tiny")
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{peers.BEGIN}\nold\n{peers.END}\nafter\n")
    arguments = ["--yamnet", str(weights), "--model", str(tmp_path / "tiny"), "--seeds", "2"]
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
        "noise",
        "*chance: tiny, pairs shuffled*",
    ]
    heads = re.findall(r"^\| \| (.*) \|$", text, re.MULTILINE)[0].split(" | ")
    assert heads == ["agreement hit ↑", "agreement KL ↓", "cosine aiSFX ↑", "onset F1, 100 ms ↑", "envelope r ↑", "n"]
    own = next(line for line in text.splitlines() if line.startswith("| the film's own sound"))
    assert own.count("1.00 [1.00, 1.00]") == 4
    assert "0.00 [0.00, 0.00]" in own
    assert "Judge yamnet" in text
    assert "Judge aisfx" in text
    assert "tiny: mean of 2 seeds" in text
