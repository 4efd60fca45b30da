"""The recipe's acceptance tables: the ears and their chance, the lists, the rows' variants, and a whole run, small."""

import sys
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from echoframe import load
from echoframe.evaluation.judges import yamnet
from echoframe.evaluation.judges.yamnet import CLASSES, YamnetJudge
from echoframe.options import SampleOptions
from echoframe.output import file_sha256
from fakes import fake_model
from planted_video import write_video
from test_judges_yamnet import NAMES, packed, planted
from tiny_bundles import write_tiny_mini

pytestmark = pytest.mark.usefixtures("recipe")
STEMS = ("aaaaaaaaaaa_000001", "bbbbbbbbbbb_000002")


@pytest.fixture
def weights(tmp_path, monkeypatch) -> Path:
    """A file that passes for YAMNet, whose classes' scores are a window's first samples, squared."""
    path = packed(tmp_path / "yamnet.tflite", "\n".join(NAMES))
    monkeypatch.setattr(yamnet, "PUBLISHED", replace(yamnet.PUBLISHED, digest=file_sha256(path)))
    monkeypatch.setattr(yamnet, "_load_network", lambda path: planted)
    return path


def scores(*names: str) -> np.ndarray:
    row = np.zeros(CLASSES)
    row[[NAMES.index(name) for name in names]] = 0.9
    return row


def test_chance_is_what_shuffled_pairs_reach():
    from ears import heard_alike, heard_labels, mean_over_labels

    heard = np.stack([scores("Dog", "Bark"), scores("Bark", "Dog"), scores("Cat", "Meow")])
    right = np.stack([scores("Dog"), scores("Dog"), scores("Cat")])
    hits = heard_labels(heard, right)
    assert hits.values.tolist() == [1, 1, 1]
    assert hits.chance == pytest.approx(2 / 6)  # of six pairs of different sounds the two dogs fit each other's label
    assert heard_alike(heard, heard).chance == pytest.approx(2 / 6)
    assert heard_labels(heard, right[[2, 0, 1]]).mean == pytest.approx(1 / 3)
    assert np.isnan(heard_labels(heard[:1], right[:1]).chance)
    assert mean_over_labels(np.array([1.0, 0.0, 1.0]), ["a", "a", "b"]) == pytest.approx(0.75)


def test_the_judge_finds_labels_where_they_are():
    from judge import fit_judge

    def normal(*shape: int, seed: int) -> torch.Tensor:
        return torch.randn(shape, generator=torch.Generator().manual_seed(seed))

    names = [f"label {n}" for n in range(8)]
    places = 2 * normal(8, 200, seed=0)
    train = torch.cat([places + 0.5 * normal(8, 200, seed=s) for s in range(1, 31)])
    train = torch.nn.functional.normalize(train, dim=1)
    judge = fit_judge(train, names * 30)
    assert judge.names == names
    test = torch.nn.functional.normalize(places + 0.5 * normal(8, 200, seed=99), dim=1)
    top1, top5 = judge.hits(test, names)
    assert top1.all()
    assert top5.all()
    top1, _ = judge.hits(test, [*names[1:], names[0]])
    assert not top1.any()
    placed = judge.place(train)
    assert placed.shape == (240, 128)
    torch.testing.assert_close(placed.square().mean(0), torch.ones(128), atol=1e-3, rtol=0)


def test_a_sound_is_heard_once(weights, tmp_path):
    from ears import Ears

    class Encoder(torch.nn.Module):
        dim, name, sample_rate = 4, "a test", 16_000

        def forward(self, waveform, rate):
            self.lasts = waveform.shape[1] / rate
            return waveform[:, :4]

    made = []

    def make():
        made.append(1)
        return torch.full((1, 1000), 0.5), 16_000

    encoder: Any = Encoder()
    ears = Ears(YamnetJudge(weights), encoder, tmp_path / "heard")
    heard = ears.hear({"seed": 1}, make)
    assert made == [1]
    assert encoder.lasts >= 2.4  # a short sound is repeated for aiSFX
    np.testing.assert_allclose(heard.scores, 0.25)
    again = Ears(YamnetJudge(weights), encoder, tmp_path / "heard").hear({"seed": 1}, make)
    assert made == [1]
    np.testing.assert_array_equal(again.scores, heard.scores)
    ears.hear({"seed": 2}, make)
    assert made == [1, 1]


def test_held_out_recordings_stand_once_and_every_label_in_turn(tmp_path):
    from acceptance_lists import held_out, read_list

    lines = ["file,label,recording,split"]
    lines += [f"a{n}.ogg,lion roaring,a{n // 2},test" for n in range(6)]  # a name that is made another
    lines += ["b.ogg,raining,b,test", "c.ogg,raining,c,train", "d.ogg,grass growing,d,test"]
    (tmp_path / "manifest.csv").write_text("\n".join(lines))
    chosen = held_out(read_list(tmp_path / "manifest.csv"), 3)
    assert [(one.label, one.file.name) for one in chosen] == [
        ("raining", "b.ogg"),
        ("lions roaring", "a0.ogg"),
        ("lions roaring", "a2.ogg"),
    ]


def test_the_films_labels_are_read_from_their_table(tmp_path):
    from acceptance_lists import read_films

    (tmp_path / "peers").mkdir()
    table = "| clip | label | | clip | label |\n|---|---|---|---|---|\n"
    row = f"| {STEMS[1]} | playing erhu | | {STEMS[0]} | sea waves |\n"
    (tmp_path / "peers" / "README.md").write_text(table + row)
    assert read_films(tmp_path) == {STEMS[0]: "sea waves", STEMS[1]: "playing erhu"}


def bench_of(model: Any, weights: Path, tmp_path: Path) -> Any:
    from acceptance_bench import Bench

    judge = YamnetJudge(weights)
    return Bench(model=model, source="tiny", judge=judge, shared=tmp_path, work=tmp_path / "work")


def test_a_generator_with_a_memory_has_three_rows(weights, tmp_path):
    bench = bench_of(fake_model(), weights, tmp_path)
    assert [variant.asked for variant in bench.variants()] == [{}]
    assert "one row stands for all three" in bench.on_variation()

    bench.model.generator.memory = object()
    bench.model.defaults = SampleOptions(variation=0.6)
    assert [(variant.name, variant.asked) for variant in bench.variants()] == [
        ("generated, variation 0", {"variation": 0.0}),
        ("generated, default (variation 0.6)", {}),
        ("generated, variation 1", {"variation": 1.0}),
    ]
    assert bench.on_variation() == ""
    bench.model.generate = lambda path, **asked: calls.append(asked) or (_ for _ in ()).throw(KeyboardInterrupt)
    calls: list[dict[str, Any]] = []
    (tmp_path / "still.png").write_bytes(b"")
    with pytest.raises(KeyboardInterrupt):
        bench.hear_clip(tmp_path / "still.png", 3, bench.variants()[2], duration_s=5.0)
    assert calls == [{"seed": 3, "duration_s": 5.0, "variation": 1.0}]


@dataclass
class Shared:
    """A small shared folder: five recordings of each of two labels, pictures, two films with four systems' sounds."""

    root: Path
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def sound(self, path: Path, seconds: float = 2.6) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, 0.2 * self.rng.normal(size=round(seconds * 16_000)), 16_000)

    def write(self) -> Path:
        lines = ["file,label,recording,source,licence,duration_s,split"]
        for label in ("dog barking", "sea waves"):
            for n in range(12):
                name = f"{label.split()[0]}{n}.wav"
                self.sound(self.root / "corpus" / name)
                lines.append(f"{name},{label},{name},a test,CC0,2.6,{'test' if n < 2 else 'train'}")
        (self.root / "corpus" / "manifest.csv").write_text("\n".join(lines))
        (self.root / "corpus" / "more.csv").write_text(lines[0] + "\n")
        self.pictures()
        self.films()
        return self.root

    def pictures(self) -> None:
        (self.root / "pictures").mkdir()
        lines = ["file,label,source,path,licence,split"]
        for n, label in enumerate(("dog barking", "sea waves")):
            Image.new("RGB", (64, 48), (90 * n, 40, 60)).save(self.root / "pictures" / f"{n}.jpg")
            lines.append(f"{n}.jpg,{label},a test,,CC0,test")
        (self.root / "pictures" / "manifest.csv").write_text("\n".join(lines))

    def films(self) -> None:
        peers = self.root / "peers"
        (peers / "films").mkdir(parents=True)
        for stem in STEMS:
            write_video(peers / "films" / f"{stem}.mp4", n_frames=10, rate=Fraction(5), tone_hz=440.0)
            for system in ("frieren", "diff_foley", "im2wav", "specvqgan"):
                self.sound(peers / system / f"{stem}.flac", 2.0)
        row = f"| {STEMS[0]} | dog barking | | {STEMS[1]} | sea waves |\n"
        (peers / "README.md").write_text(f"| clip | label | | clip | label |\n|---|---|---|---|---|\n{row}")


def test_every_table_is_printed_and_the_second_run_makes_nothing(weights, tmp_path, monkeypatch, capsys):
    import acceptance
    import acceptance_films

    shared = Shared(root=tmp_path / "shared").write()
    write_tiny_mini(tmp_path / "tiny")
    write_video(tmp_path / "demo.mp4", n_frames=10)
    monkeypatch.setattr(acceptance_films, "DEMO", tmp_path / "demo.mp4")
    arguments = ["--shared", str(shared), "--bundle", str(tmp_path / "tiny"), "--yamnet", str(weights)]
    arguments += ["--work", str(tmp_path / "work"), "--seeds", "2", "--only", "tokens", "embeddings", "pictures"]
    monkeypatch.setattr(sys, "argv", ["acceptance.py", *arguments, "films", "demo"])
    acceptance.main()
    first = capsys.readouterr().out
    tables = [text.splitlines()[0] for text in first.split("\n## ")[1:]]
    assert tables[0] == "Tokens to waveform: 4 held-out recordings of 2 labels"
    assert tables[1] == "From their own embeddings: 4 held-out recordings of 2 labels, seeds 0 to 1, 4 to 10 s"
    assert tables[2] == "Pictures: 2 of the test split, 2 labels, seeds 0 to 1, 5 s"
    assert tables[3:5] == [
        "Two seeds of one picture apart",
        "2 films, seeds 0 to 1; the model knows the labels of 1",
    ]
    for text in first.split("\n## ")[1:]:
        rows = [line for line in text.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) == 1
    assert first.count("| generated |") == 5
    assert first.count("(ceiling)") == 4
    assert first.count("chance: pairs shuffled") == 4
    generated = [path.stat().st_mtime_ns for path in sorted((tmp_path / "work").rglob("*.npy"))]
    monkeypatch.setattr("echoframe.pipeline.EchoFrame.generate", None)
    acceptance.main()
    assert capsys.readouterr().out == first
    assert [path.stat().st_mtime_ns for path in sorted((tmp_path / "work").rglob("*.npy"))] == generated


def test_what_is_remembered_is_compared_where_there_is_a_memory(weights, tmp_path):
    from acceptance_pictures import memory_embeddings

    bench = bench_of(fake_model(), weights, tmp_path)
    assert memory_embeddings(bench) is None
    bench.model.generator.memory = type("Memory", (), {"embeddings": torch.tensor([[3.0, 4.0]])})()
    remembered = memory_embeddings(bench)
    assert remembered is not None
    np.testing.assert_allclose(remembered, [[0.6, 0.8]])


def test_the_cost_is_measured_of_any_bundle(weights, tmp_path, monkeypatch, capsys):
    import acceptance_cost

    write_tiny_mini(tmp_path / "tiny")
    write_video(tmp_path / "demo.mp4", n_frames=10)
    monkeypatch.setattr(acceptance_cost, "DEMO", tmp_path / "demo.mp4")
    bench = replace(bench_of(load(tmp_path / "tiny"), weights, tmp_path), source=str(tmp_path / "tiny"))
    acceptance_cost.cost(bench)
    printed = capsys.readouterr().out
    assert "| 10 s of sound, after loading |" in printed
    assert "| sample rate | 16000 Hz |" in printed
    size = sum(path.stat().st_size for path in (tmp_path / "tiny").rglob("*.safetensors"))
    assert f"| weights | {size / 1e6:.1f} MB |" in printed
