"""YAMNet: its windows, the names behind it, its labels, and the real file where it is, beside the defining program."""

import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echoframe.errors import AudioError, BundleError, InputError
from echoframe.evaluation.agreement import agreement_divergences, agreement_hits
from echoframe.evaluation.evaluate import EvaluateConfig, evaluate
from echoframe.evaluation.judges import Judge, ReadingJudge, yamnet
from echoframe.evaluation.judges.registry import load_judge
from echoframe.evaluation.judges.yamnet import CLASSES, HOP, WINDOW, YamnetJudge, label_classes, read_class_names
from echoframe.output import file_sha256
from test_evaluation_agreement import JUDGES, NAMES, agree

__all__ = ["agree"]  # the fixture


def packed(path: Path, text: str) -> Path:
    """A file that has a list of classes behind something else, as the published one."""
    path.write_bytes(b"not a network")
    with zipfile.ZipFile(path, "a") as behind:
        behind.writestr("yamnet_label_list.txt", text)
    return path


def planted(window: np.ndarray) -> np.ndarray:
    """Class n has the window's n-th sample, as a score."""
    return window[:CLASSES] ** 2


@pytest.fixture
def judge(tmp_path, monkeypatch) -> YamnetJudge:
    path = packed(tmp_path / "yamnet.tflite", "\n".join(NAMES) + "\n")
    monkeypatch.setattr(yamnet, "PUBLISHED", replace(yamnet.PUBLISHED, digest=file_sha256(path)))
    monkeypatch.setattr(yamnet, "_load_network", lambda path: planted)
    return YamnetJudge(path)


def noise(*shape: int) -> torch.Tensor:
    return 0.2 * torch.randn(shape, generator=torch.Generator().manual_seed(1))


def test_it_is_a_judge_that_reads(judge):
    assert judge.names == tuple(NAMES)
    assert (judge.dim, judge.classes, judge.sample_rate) == (521, 521, 16_000)
    assert isinstance(judge, Judge)
    assert isinstance(judge, ReadingJudge)


def test_windows_are_half_over_each_other_and_the_rest_is_not_heard(judge):
    sound = noise(2, 2 * WINDOW + 100)
    heard = judge(sound)
    assert heard.embeddings.shape == (2, 3, CLASSES)
    for n in range(3):
        torch.testing.assert_close(heard.embeddings[:, n], sound[:, n * HOP : n * HOP + CLASSES] ** 2)
    assert heard.logits is not None
    torch.testing.assert_close(heard.logits.sigmoid(), heard.embeddings.mean(1), rtol=1e-4, atol=2e-7)
    assert torch.equal(judge(sound[:1]).embeddings, heard.embeddings[:1])


def test_a_short_sound_is_filled_with_zeros(judge):
    short = noise(1, 100)
    heard = judge(short)
    assert heard.embeddings.shape == (1, 1, CLASSES)
    torch.testing.assert_close(heard.embeddings[0, 0, :100], short[0] ** 2)
    assert heard.embeddings[0, 0, 100:].abs().max() == 0
    assert heard.logits is not None
    assert heard.logits.isfinite().all()
    with pytest.raises(AudioError, match="NaN or infinite samples"):
        judge(torch.full((1, 100), torch.nan))


def test_labels_are_read_as_their_classes(judge):
    rows = judge.read(["dog barking", "no such label"])
    assert {judge.names[n] for n in rows[0].nonzero()[:, 0]} == label_classes()["dog barking"]
    assert rows[1].sum() == 0


def test_another_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(BundleError, match="gone.tflite: no such file, expected YAMNet's weights; fetch https"):
        YamnetJudge(tmp_path / "gone.tflite")
    path = packed(tmp_path / "other.tflite", "\n".join(NAMES))
    with pytest.raises(BundleError, match=r"other.tflite: its sha256 is \w{8}..., the published file's 10c95ea3..."):
        YamnetJudge(path)
    (tmp_path / "bare.tflite").write_bytes(b"a network without names")
    with pytest.raises(BundleError, match="bare.tflite: no list of classes is packed behind the network"):
        read_class_names(tmp_path / "bare.tflite")
    with pytest.raises(BundleError, match="few.tflite: lists 2 classes, expected YAMNet's 521 in its order"):
        read_class_names(packed(tmp_path / "few.tflite", "Speech\nMusic"))
    monkeypatch.setattr(yamnet, "PUBLISHED", replace(yamnet.PUBLISHED, digest=file_sha256(path)))
    monkeypatch.setitem(sys.modules, "ai_edge_litert.interpreter", None)
    with pytest.raises(InputError, match=r".* is not installed; pip install 'echoframe\[eval\]'"):
        YamnetJudge(path)


def test_a_system_is_judged_by_agreement_and_by_its_labels(judge, tmp_path, monkeypatch):
    monkeypatch.setattr("echoframe.evaluation.evaluate.load_judge", lambda name, **_: judge)
    for folder in ("real", "same", "other"):
        (tmp_path / folder).mkdir()
    sounds = {"a": ["Dog", "Bark"], "b": ["Cat", "Meow"], "c": ["Rain", "Raindrop"], "d": ["Fire", "Crackle"]}
    for n, classes in enumerate(sounds.values()):
        samples = np.zeros(WINDOW)
        samples[[NAMES.index(name) for name in classes]] = 0.9, 0.8
        for folder, name in (("real", "abcd"[n]), ("same", "abcd"[n]), ("other", "abcd"[n - 1])):
            soundfile.write(tmp_path / folder / f"{name}.wav", samples, 16_000, subtype="FLOAT")
    (tmp_path / "list.csv").write_text("a,dog barking\nb,cat meowing\nc,raining\nd,fire crackling\n")
    config = EvaluateConfig(
        reference=tmp_path / "real",
        generated={name: tmp_path / name for name in ("same", "other")},
        clips=tmp_path / "list.csv",
        protocol="yamnet",
        draws=20,
    )
    lines = {line.name: line.cells for line in evaluate(config).table.lines}
    for key in ("hit", "label_hit"):
        assert (lines["same"][key].value, lines["other"][key].value) == (1.0, 0.0)
        assert lines["chance: same, pairs shuffled"][key].value == 0.0
    assert lines["same"]["kl"].value == pytest.approx(0, abs=1e-9)
    assert lines["other"]["kl"].value > 5
    (tmp_path / "list.csv").write_text("a,dog barking\nb,cat meowing\nc,raining\nd,grass growing\n")
    notes = " ".join(evaluate(config).table.notes)
    assert "No label hit: no classes are known for 1 (grass growing)." in notes
    (tmp_path / "list.csv").write_text("a\nb\nc\nd\n")
    assert "No label hit: 4 of the clips have no label in the list." in " ".join(evaluate(config).table.notes)


def test_the_real_file_says_what_the_defining_program_says(agree, tmp_path):
    judge = load_judge("yamnet", weights=JUDGES / "yamnet.tflite")
    rng = np.random.default_rng(0)
    t = np.arange(16_000 * 3) / 16_000
    sounds = {
        "noise": 0.1 * rng.normal(size=len(t)),
        "tone": 0.3 * np.sin(2 * np.pi * 440 * t),
        "clicks": (np.arange(len(t)) % 4000 < 5) * 0.8,
        "short": 0.1 * rng.normal(size=5000),
    }
    ours, theirs = [], []
    for name, samples in sounds.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="FLOAT")
        ours.append(judge(torch.from_numpy(samples).float()[None]).embeddings[0].double().mean(0).numpy())
        theirs.append(agree.scores(agree.waveform(tmp_path / f"{name}.wav")))
    np.testing.assert_allclose(ours, theirs, atol=1e-6)
    ours, theirs = np.array(ours), np.array(theirs, dtype=np.float64)
    for a, b in zip([0, 1, 2, 3], [1, 2, 3, 0], strict=True):
        hit, kl = agree.agreement(theirs[a], theirs[b])
        assert agreement_hits(ours[a : a + 1], ours[b : b + 1]) == [float(hit)]
        assert agreement_divergences(ours[a : a + 1], ours[b : b + 1])[0] == pytest.approx(kl, abs=1e-5)
