"""`echoframe evaluate`: known answers on small folders, what is listed, what is kept, and its report."""

import json
import re
from dataclasses import dataclass, replace

import numpy as np
import pytest
import soundfile
import torch

from echoframe.apps.cli import main
from echoframe.errors import InputError
from echoframe.evaluation import evaluate as module
from echoframe.evaluation.bootstrap import bootstrap_interval
from echoframe.evaluation.evaluate import EvaluateConfig, evaluate
from echoframe.evaluation.features import SoundFeatures
from echoframe.evaluation.figures import SoundSet, measure, of_values
from echoframe.evaluation.judges import Heard
from echoframe.evaluation.protocols import GROUPS, PROTOCOLS, find_protocol
from echoframe.evaluation.report import html, write_report
from echoframe.evaluation.rows import make_rows
from echoframe.evaluation.table import Cell, Column, Line, Table, counts
from planted_video import write_video

RATE = 16_000
N = 24


@dataclass
class BandJudge:
    """Hears the loudness of 16 bands, in half-second windows; its classes are the bands."""

    name: str
    sample_rate: int = 8000
    dim: int = 16
    classes: int = 16
    sha256: str = "0" * 64
    source: str = "a test"
    n_calls: int = 0

    def __call__(self, waveform: torch.Tensor) -> Heard:
        self.n_calls += 1
        padded = torch.nn.functional.pad(waveform, (0, -waveform.shape[1] % 4000))
        spectrum = torch.fft.rfft(padded.unfold(1, 4000, 4000)).abs()[..., :2000]
        bands = (1e-3 + spectrum.unflatten(2, (16, 125)).square().mean(3)).log()
        return Heard(embeddings=bands, logits=bands.mean(1))


def sound(n: int) -> np.ndarray:
    """Tones of the n-th sound's own, struck at its own times."""
    rng = np.random.default_rng(n)
    t = np.arange(4 * RATE) / RATE
    tones = sum(np.sin(2 * np.pi * f * t) for f in rng.uniform(200, 3800, size=2))
    samples = 0.002 * rng.normal(size=t.size)
    for begin in np.cumsum(rng.uniform(0.35, 0.9, size=4)):
        rings = t >= begin
        samples[rings] += 0.3 * (tones * np.exp(-(t - begin) / 0.05))[rings]
    return samples


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """Folders: real, and what the known answers are made of."""
    root = tmp_path_factory.mktemp("sounds")
    real = [sound(n) for n in range(N)]
    rng = np.random.default_rng(99)
    shift = np.zeros(RATE // 5)
    made = {
        "real": real,
        "same": real,
        "noise": [0.1 * rng.normal(size=4 * RATE) for _ in real],
        "silence": [np.zeros(4 * RATE) for _ in real],
        "reversed": [one[::-1] for one in real],
        "late": [np.concatenate([shift, one])[: len(one)] for one in real],
        "shuffled": [real[(n + 5) % N] for n in range(N)],
    }
    for name, some in made.items():
        (root / name).mkdir()
        for n, samples in enumerate(some):
            soundfile.write(root / name / f"clip{n:02d}.wav", samples, RATE, subtype="FLOAT")
    lines = [f"clip{n:02d},label {n % 3}" for n in range(N)]
    (root / "list.csv").write_text("\n".join(lines))
    return root


@pytest.fixture
def judge(monkeypatch) -> BandJudge:
    one = BandJudge(name="aisfx")
    monkeypatch.setattr(module, "load_judge", lambda name, **_: one)
    return one


def table_of(sounds, *names, **more) -> dict[str, dict[str, Cell]]:
    config = EvaluateConfig(
        reference=sounds / "real", generated={name: sounds / name for name in names}, **{"draws": 20, **more}
    )
    return {line.name: line.cells for line in evaluate(config).table.lines}


def test_each_change_moves_the_figures_it_should_and_no_other(sounds, judge):
    names = ("same", "noise", "silence", "reversed", "late", "shuffled")
    found = table_of(sounds, *names, clips=sounds / "list.csv")
    same = {key: cell.value for key, cell in found["same"].items()}
    assert same["fd"] == pytest.approx(0, abs=1e-6)
    assert (same["cosine"], same["recall_10"], same["coverage"]) == pytest.approx((1, 1, 1))
    assert (same["onset_f1_50"], same["envelope"], same["lag"]) == pytest.approx((1, 1, 0))
    for name in ("noise", "silence"):
        got = {key: cell.value for key, cell in found[name].items()}
        assert got["fd"] > 10
        assert got["kad"] > same["kad"]
        assert got["recall_10"] < 0.6
        assert got["coverage"] < 0.2
        assert got["onset_f1_50"] < 0.1
    shuffled = {key: cell.value for key, cell in found["shuffled"].items()}
    assert shuffled["fd"] == pytest.approx(0, abs=1e-6)  # the same set
    assert shuffled["coverage"] == pytest.approx(1)
    assert shuffled["cosine"] < 0.99
    assert shuffled["recall_10"] < 0.7
    assert shuffled["envelope"] < 0.5
    late = {key: cell.value for key, cell in found["late"].items()}
    assert late["lag"] == pytest.approx(0.2, abs=0.02)
    assert late["onset_f1_100"] < 0.3
    assert late["recall_10"] > 0.9
    turned = {key: cell.value for key, cell in found["reversed"].items()}
    assert turned["fd"] < 0.1 * found["noise"]["fd"].value
    assert turned["cosine"] > 0.99
    assert turned["envelope"] < 0.5


def test_sets_are_compared_without_pairs(sounds, judge):
    found = table_of(sounds, "same", "noise", "shuffled", protocol="sets")
    same = {key: cell.value for key, cell in found["same"].items()}
    assert set(same) == {
        "fd",
        "kad",
        "precision",
        "recall",
        "density",
        "coverage",
    }  # too few clips for a line to infinity
    assert (same["precision"], same["recall"], same["coverage"]) == (1, 1, 1)
    assert same["density"] == pytest.approx(6 / 5)
    noise = {key: cell.value for key, cell in found["noise"].items()}
    assert (noise["precision"], noise["recall"], noise["density"]) == (0, 0, 0)
    assert {key: cell.value for key, cell in found["shuffled"].items()} == pytest.approx(same)
    assert table_of(sounds, "noise", protocol="sets", paired=False)["noise"]["fd"].value == pytest.approx(noise["fd"])


def test_a_sound_is_right_if_it_is_nearest_to_its_label():
    figure = next(figure for figure in find_protocol("echoframe").figures if figure.kind == "label accuracy")

    def side(rows: list[list[float]], labels: str) -> SoundSet:
        return replace(side_of(np.array(rows, dtype=np.float32)), labels=labels.split())

    real = side([[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0.9, 0.1], [0, 0, 1]], "dog dog cat cat rain")
    made = side([[0, 1, 0], [1, 0, 0], [0, 1, 0], [0, 0.4, 0.6], [0, 0, 1]], "")
    found = measure(figure, real, made)
    assert found is not None
    assert found.values is not None
    assert found.values.tolist() == [0, 1, 1, 0, 1]
    # a clip's own sound is no help: two of a label that are unlike each other are wrong
    odd = side([[1, 0, 0], [0, 0.6, 0.4], [0, 1, 0], [0, 0.9, 0.1]], "dog dog cat cat")
    found = measure(figure, odd, odd)
    assert found is not None
    assert found.values is not None
    assert found.values.tolist() == [0, 0, 1, 1]
    assert measure(figure, side([[1, 0], [0, 1]], "dog cat"), side([[1, 0], [0, 1]], "")) is None  # that is R@1
    assert measure(figure, side([[1, 0], [0, 1]], "dog dog"), side([[1, 0], [0, 1]], "")) is None


def test_a_distance_of_enough_clips_goes_to_infinity():
    def side(seed: int) -> SoundSet:
        return side_of(np.random.default_rng(seed).normal(size=(150, 8)))

    figure = next(figure for figure in find_protocol("sets").figures if figure.kind == "frechet infinity")
    plain = measure(next(f for f in find_protocol("sets").figures if f.kind == "frechet"), side(1), side(2))
    found = measure(figure, side(1), side(2))
    assert found is not None
    assert plain is not None
    assert abs(found.value) < 0.5 * plain.value  # two draws of one thing are 0 apart
    assert measure(figure, SoundSet(sounds=side(1).sounds[:99]), side(2)) is None


def test_the_clap_score_is_the_cosine_with_the_label_s_words(sounds, monkeypatch):
    class Reader(BandJudge):
        def read(self, texts: list[str]) -> torch.Tensor:
            self.texts = texts
            return torch.eye(16)[[int(text.split()[1]) for text in texts]]

    judge = Reader(name="clap")
    monkeypatch.setattr(module, "load_judge", lambda name, **_: judge)
    config = EvaluateConfig(
        reference=sounds / "real",
        generated={"same": sounds / "same"},
        clips=sounds / "list.csv",
        protocol="clap",
        draws=20,
        weights={"clap": sounds},
    )
    found = evaluate(config)
    assert judge.texts == ["label 0", "label 1", "label 2"]
    heard = [judge(torch.from_numpy(sound(n)[::2].copy()).float()[None]).embeddings.mean(1)[0] for n in range(2)]
    for n, one in enumerate(heard):
        expected = float(one[n % 3] / one.norm())
        assert found.clips["same"]["score"][f"clip{n:02d}"] == pytest.approx(expected, abs=0.02)
    assert "score" not in {column.key for column in evaluate(replace(config, clips=None)).table.columns}


def test_a_shuffled_system_is_at_its_own_chance_and_the_floor_is_below_all(sounds, judge):
    found = table_of(sounds, "same", "noise")
    chance = found["chance: same, pairs shuffled"]
    assert "fd" not in chance  # no pairs, no chance
    assert chance["cosine"].value < 0.99
    floor = found["floor: reference against itself"]
    assert floor["cosine"].value == pytest.approx(1)
    assert 0 < floor["fd"].value < found["noise"]["fd"].value
    assert floor["fd"].n == N // 2
    assert found["bound: nearest other reference"]["cosine"].value < 1
    assert found["bound: mean of the references"]["recall_10"].value == pytest.approx(10 / N)
    difference = found["same - noise"]["recall_10"]
    assert difference.value == pytest.approx(found["same"]["recall_10"].value - found["noise"]["recall_10"].value)
    assert difference.low is not None
    assert difference.low > 0


def test_the_same_seed_gives_the_same_table(sounds, judge):
    assert table_of(sounds, "late", seed=3) == table_of(sounds, "late", seed=3)
    assert table_of(sounds, "late", seed=3) != table_of(sounds, "late", seed=4)


def test_a_second_run_hears_nothing_anew_and_a_damaged_file_is_heard_again(sounds, judge, tmp_path):
    first = table_of(sounds, "late", cache=tmp_path)
    assert judge.n_calls == 2 * N
    assert table_of(sounds, "late", cache=tmp_path) == first
    assert judge.n_calls == 2 * N
    kept = sorted(tmp_path.rglob("*.safetensors"))
    assert len(kept) == 4 * N  # judge and timing, of 2 N sounds
    next(path for path in kept if "aisfx" in path.as_posix()).write_bytes(b"damaged")
    assert table_of(sounds, "late", cache=tmp_path) == first
    assert judge.n_calls == 2 * N + 1
    judge.sha256 = "1" * 64  # other weights hear for themselves
    table_of(sounds, "late", cache=tmp_path)
    assert judge.n_calls == 4 * N + 1


def test_what_is_missing_extra_broken_silent_or_long_is_listed(sounds, judge, tmp_path):
    ours, real = tmp_path / "ours", tmp_path / "real"
    for folder, names in ((real, "abcdef"), (ours, "abcdeg")):
        folder.mkdir()
        for n, name in enumerate(names):
            soundfile.write(folder / f"{name}.wav", sound(n), RATE)
    (ours / "b.wav").write_bytes(b"no sound")
    soundfile.write(ours / "c.wav", np.zeros(0), RATE)
    soundfile.write(ours / "d.wav", np.zeros(11 * RATE), RATE)
    found = evaluate(EvaluateConfig(reference=real, generated={"ours": ours}, draws=20))
    notes = " ".join(found.table.notes)
    assert found.stems == ("a", "d", "e")
    assert "Missing in reference: 1 (g)" in notes
    assert "Missing in ours: 1 (f)" in notes
    assert "as ours could not be judged: 2 (b, c)" in notes
    assert "Silent in ours, and judged so: 1 (d)" in notes
    assert "Longer than what is heard, in ours: 1 (d)" in notes
    assert found.judged["ours"] == ("a", "d", "e")
    assert found.remarks == {"silent": {"ours": ("d",)}, "cut": {"ours": ("d",)}}
    assert "cannot be read as a sound" in found.dropped["ours"]["b"]
    listed = tmp_path / "list.csv"
    listed.write_text("a\ne\n")
    notes = evaluate(EvaluateConfig(reference=real, generated={"ours": ours}, clips=listed, draws=20)).table.notes
    assert any(note.startswith("Not counted, as not in the list, in ours: 4 (b, c, d, g)") for note in notes)


def test_every_sound_of_a_clip_is_judged_with_it_and_counted(sounds, judge, tmp_path):
    """As `generate --seeds 0-1` names them; the first is the real sound, the second noise."""
    few = 12
    for n in range(few):
        for seed, folder in enumerate(("real", "noise")):
            (tmp_path / f"clip{n:02d}.s{seed}.wav").symlink_to(sounds / folder / f"clip{n:02d}.wav")
    (tmp_path / "list.csv").write_text("".join(f"clip{n:02d},label {n % 3}\n" for n in range(few)))
    systems = {"both": tmp_path, "same": sounds / "same", "noise": sounds / "noise"}
    config = EvaluateConfig(reference=sounds / "real", generated=systems, draws=20, clips=tmp_path / "list.csv")
    found = evaluate(config)
    lines = {line.name: line for line in found.table.lines}
    both, same, noise = (lines[name].cells for name in systems)
    assert found.stems == tuple(f"clip{n:02d}" for n in range(few))
    assert set(both) == set(same)
    for key, cell in both.items():  # of pairs and of sets
        assert cell.value == pytest.approx((same[key].value + noise[key].value) / 2), key
        assert cell.n == few
    assert [counts(lines[name]) for name in systems] == [f"{few} ({2 * few} sounds)", str(few), str(few)]
    assert counts(lines["chance: both, pairs shuffled"]) == f"{few} ({2 * few} sounds)"
    # clips are drawn, not sounds
    values = np.array(list(found.clips["both"]["cosine"].values()))
    one = bootstrap_interval(of_values(values).statistic, few, draws=20)
    assert (both["cosine"].low, both["cosine"].high) == (one.low, one.high)
    said = " ".join(found.table.notes)
    assert f"Several sounds of a clip in both: {2 * few} of {few} clips; a figure is the mean" in said
    assert found.judged["both"][:3] == ("clip00.s0", "clip00.s1", "clip01.s0")
    seeds = lines["both: mean of 2 seeds"].cells["cosine"]
    assert (seeds.value, seeds.n) == (pytest.approx(both["cosine"].value), few)
    assert seeds.deviation == pytest.approx(abs(same["cosine"].value - noise["cosine"].value) / 2**0.5)
    _, values, page, *_ = write_report(found, tmp_path / "out")
    assert all(f"<small>clip11.s{seed}</small>" in page.read_text() for seed in (0, 1))
    assert json.loads(values.read_text())["pairs"]["samples"]["both"]["clip00"] == ["clip00.s0", "clip00.s1"]


def test_systems_that_are_seeds_of_one_have_a_row_of_their_mean(sounds, judge):
    systems = {"mlp.s0": "same", "mlp.s1": "noise", "other": "same"}
    generated = {name: sounds / folder for name, folder in systems.items()}
    table = evaluate(EvaluateConfig(reference=sounds / "real", generated=generated, draws=20)).table
    (line,) = (line for line in table.lines if line.kind == "seeds")
    assert line.name == "mlp: mean of 2 seeds"
    values = [one.cells["kad"].value for one in table.lines[:2]]
    assert line.cells["kad"].value == pytest.approx(np.mean(values))
    assert line.cells["kad"].deviation == pytest.approx(np.std(values, ddof=1))
    assert {column.group for column in table.columns} == {*GROUPS}


def test_clips_with_more_sounds_than_others_count_as_one_each(sounds, judge, tmp_path):
    names = {"clip00.s0": "real", "clip00.s1": "noise", "clip01": "real", "clip02.s7": "silence", "clip03.s1": "real"}
    for name, folder in names.items():
        (tmp_path / f"{name}.wav").symlink_to(sounds / folder / f"{name[:6]}.wav")
    (tmp_path / "clip03.s2.wav").write_bytes(b"no sound")
    found = evaluate(EvaluateConfig(reference=sounds / "real", generated={"ours": tmp_path}, draws=20))
    assert found.stems == ("clip00", "clip01", "clip02")
    assert list(found.dropped["ours"]) == ["clip03.s2"]
    assert counts(found.table.lines[0]) == "3 (4 sounds)"
    cosine = found.clips["ours"]["cosine"]
    assert cosine["clip01"] == pytest.approx(1)
    (tmp_path / "one.csv").write_text("clip00")
    alone = table_of(sounds, "noise", clips=tmp_path / "one.csv")["noise"]["cosine"].value
    assert cosine["clip00"] == pytest.approx((1 + alone) / 2)
    assert found.table.lines[0].cells["cosine"].value == pytest.approx(np.mean(list(cosine.values())))
    assert found.remarks["silent"] == {"ours": ("clip02.s7",)}


def test_channels_that_cancel_and_lengths_within_a_tenth_are_told_apart_from_silent_and_long(sounds, judge, tmp_path):
    for folder in ("real", "ours"):
        (tmp_path / folder).mkdir()
        for n, name in enumerate("abc"):
            soundfile.write(tmp_path / folder / f"{name}.wav", sound(n), RATE)
    stereo = np.stack([sound(0), -sound(0)], axis=1)
    soundfile.write(tmp_path / "ours" / "a.wav", stereo, RATE)
    soundfile.write(tmp_path / "ours" / "b.wav", np.resize(sound(1), round(10.08 * RATE)), RATE)
    soundfile.write(tmp_path / "ours" / "c.wav", np.resize(sound(2), round(10.2 * RATE)), RATE)
    found = evaluate(EvaluateConfig(reference=tmp_path / "real", generated={"ours": tmp_path / "ours"}, draws=20))
    assert found.remarks == {"cancels": {"ours": ("a",)}, "cut": {"ours": ("c",)}}
    assert any(note.startswith("Cancels in mono, as its channels are") for note in found.table.notes)


def test_a_clip_without_onsets_on_either_side_says_nothing_of_onsets(sounds, judge, tmp_path):
    """A steady engine beside silence, and beside another engine: neither is right nor wrong about when."""
    engine = 0.1 * np.sin(2 * np.pi * 90 * np.arange(3 * RATE) / RATE)
    for folder, others in (("real", engine), ("ours", np.zeros(3 * RATE)), ("theirs", engine)):
        (tmp_path / folder).mkdir()
        for n in range(3):
            soundfile.write(tmp_path / folder / f"struck{n}.wav", sound(n), RATE)
        soundfile.write(tmp_path / folder / "engine.wav", others, RATE)
    soundfile.write(tmp_path / "theirs" / "engine.wav", sound(3), RATE)  # onsets where there are none
    systems = {name: tmp_path / name for name in ("ours", "theirs")}
    found = evaluate(EvaluateConfig(reference=tmp_path / "real", generated=systems, draws=20))
    lines = {line.name: line.cells["onset_f1_100"] for line in found.table.lines if "onset_f1_100" in line.cells}
    assert (lines["ours"].n, lines["ours"].value) == (3, 1.0)
    assert (lines["theirs"].n, lines["theirs"].value) == (4, 0.75)
    assert (lines["ours - theirs"].n, lines["ours - theirs"].value) == (3, 0.0)  # on the clips that both have
    assert lines["floor: reference against itself"].n == 3
    assert set(found.clips["ours"]["onset_f1_100"]) == {"struck0", "struck1", "struck2"}
    assert found.remarks["steady"] == {"ours": ("engine",)}
    assert any(note.startswith("Without an onset, as its reference is, so that") for note in found.table.notes)


def test_a_sound_that_ends_early_is_silent_from_there_and_is_named(sounds, judge, tmp_path):
    (tmp_path / "tiny").mkdir()
    for n in range(N):
        soundfile.write(tmp_path / "tiny" / f"clip{n:02d}.wav", sound(n)[:5], RATE, subtype="FLOAT")
    found = evaluate(EvaluateConfig(reference=sounds / "real", generated={"tiny": tmp_path / "tiny"}, draws=20))
    cells = found.table.lines[0].cells
    assert cells["envelope"].value < 0.5
    assert cells["lag"].value > 0.1
    assert len(found.remarks["short"]["tiny"]) == N
    assert any(note.startswith(f"Ends before its reference, and is silent from there, in tiny: {N} (clip00")
               for note in found.table.notes)  # fmt: skip


def test_what_has_no_column_is_said_with_the_reason(sounds, judge, tmp_path):
    def notes(rows: str, **more) -> str:
        (tmp_path / "list.csv").write_text(rows)
        config = EvaluateConfig(
            reference=sounds / "real",
            generated={"same": sounds / "same"},
            clips=tmp_path / "list.csv",
            draws=20,
            **more,
        )
        return " ".join(evaluate(config).table.notes)

    said = notes("clip00,a\nclip01,a\nclip02,b\nclip03,\n")
    assert "No coverage: it needs 6 clips." in said
    assert "No R@10: it needs 11 clips." in said
    assert "No label accuracy: 1 of the clips have no label in the list." in said
    assert "No motion" not in said  # nobody gave films
    assert "No label accuracy: it needs a list of clips with labels, some of them with two" in notes(
        "clip00,a\nclip01,b\n"
    )
    assert "No IS: it needs 100 clips." in notes("clip00,a\nclip01,a\n", protocol="audioldm_eval")


def test_an_interval_of_a_share_ends_at_1_and_that_of_density_where_it_does():
    rng = np.random.default_rng(0)
    reference = rng.normal(size=(14, 4))
    sides = {"one": side_of(reference + 0.01 * rng.normal(size=(14, 4)))}
    figures = [figure for figure in find_protocol("sets").figures if figure.kind in ("density", "coverage")]
    line = make_rows(figures, side_of(reference), sides, draws=20, seed=0).lines[0]
    assert line.cells["coverage"].high == 1
    assert line.cells["density"].high is not None
    assert line.cells["density"].high > line.cells["density"].value > 1


def side_of(points: np.ndarray) -> SoundSet:
    return SoundSet(
        sounds=[
            SoundFeatures(
                embeddings={"aisfx": torch.from_numpy(point)[None]},
                logits={},
                timing=None,
                is_silent=False,
                cancels=False,
                is_cut=False,
                duration_s=1.0,
            )
            for point in points
        ]
    )


def test_names_are_words_and_no_markup(sounds, judge, tmp_path, capsys):
    options = ["--draws", "20", "--cache", str(tmp_path / "kept"), "-o", str(tmp_path / "out"), "--quiet"]
    systems = ["--generated", f"x$^$|<b>={sounds / 'same'}", "--generated", f"late={sounds / 'late'}"]  # both count
    assert main(["evaluate", "--reference", str(sounds / "real"), *systems, *options]) == 0
    said = capsys.readouterr().out
    assert "| x$^$\\|&lt;b> |" in said
    assert "| late |" in said
    with pytest.raises(InputError, match=r'"a\\nb" cannot be a system\'s name; choose another before the ='):
        EvaluateConfig(reference=sounds / "real", generated={"a\nb": sounds / "same"})
    with pytest.raises(InputError, match='"video" cannot be a system\'s name'):
        EvaluateConfig(reference=sounds / "real", generated={"video": sounds / "same"})
    for draws, seed in ((3, 0), (20, -1)):
        with pytest.raises(
            InputError, match="--draws .*, --seed .*; expected 20 draws or more, and a seed of 0 or more"
        ):
            EvaluateConfig(reference=sounds / "real", generated={"a": sounds / "same"}, draws=draws, seed=seed)


def test_one_clip_has_means_without_intervals_and_no_distances(sounds, judge, tmp_path):
    (tmp_path / "one.csv").write_text("clip00")
    found = table_of(sounds, "late", clips=tmp_path / "one.csv")
    assert "fd" not in found["late"]
    assert found["late"]["cosine"].low is None
    assert not [name for name in found if name.startswith("chance")]


def test_motion_is_compared_where_films_are_given(sounds, judge, tmp_path):
    for n in range(4):
        write_video(tmp_path / f"clip{n:02d}.mp4", n_frames=50)
    (tmp_path / "list.csv").write_text("".join(f"clip{n:02d}\n" for n in range(5)))
    found = evaluate(
        EvaluateConfig(
            reference=sounds / "real",
            generated={"same": sounds / "same"},
            video=tmp_path,
            clips=tmp_path / "list.csv",
            draws=20,
        )
    )
    assert found.stems == tuple(f"clip{n:02d}" for n in range(4))
    assert "has no video clip04" in found.dropped["video"]["clip04"]
    assert "motion" in found.clips["same"]


def test_sets_are_compared_whatever_their_names(sounds, judge, tmp_path):
    for n in range(15):
        soundfile.write(tmp_path / f"other{n}.wav", sound(100 + n), RATE)
    config = EvaluateConfig(
        reference=sounds / "real", generated={"other": tmp_path, "noise": sounds / "noise"}, paired=False, draws=20
    )
    found = evaluate(config)
    lines = {line.name: line for line in found.table.lines}
    assert list(lines) == ["other", "noise", "floor: reference against itself"]
    assert set(lines["other"].cells) == {"fd", "kad", "coverage"}
    fd = lines["other"].cells["fd"]
    assert fd.n == 15
    assert fd.low is not None
    assert fd.low < fd.value < lines["noise"].cells["fd"].value / 3
    assert f"do not belong together in pairs ({N} of reference, 15 of other, {N} of noise)" in found.table.notes[0]
    assert (found.stems, len(found.judged["other"])) == ((), 15)
    assert "No cosine aiSFX: it needs pairs." in found.table.notes
    with pytest.raises(InputError, match="a list of clips and a folder of videos only work with pairs"):
        EvaluateConfig(reference=tmp_path, generated={"a": tmp_path}, paired=False, clips=tmp_path)


def test_bad_arguments_are_named(sounds, judge, tmp_path):
    with pytest.raises(InputError, match="no system to judge; give one or more"):
        EvaluateConfig(reference=sounds / "real", generated={})
    with pytest.raises(InputError, match='"reference" cannot be a system\'s name'):
        EvaluateConfig(reference=sounds / "real", generated={"reference": sounds / "same"})
    with pytest.raises(
        InputError, match='"fid" is not a protocol; expected one of echoframe, sets, clap, av-benchmark'
    ):
        find_protocol("fid")
    (tmp_path / "clip00.wav").write_bytes(b"")
    with pytest.raises(
        InputError, match="no clip could be judged in every folder; the first: .*clip00.wav: cannot be read as a sound"
    ):
        evaluate(EvaluateConfig(reference=sounds / "real", generated={"ours": tmp_path}))


def test_a_table_refuses_what_is_no_number_and_what_has_no_column():
    with pytest.raises(InputError, match="a table's value is nan; expected a number"):
        Cell(value=float("nan"), n=3)
    with pytest.raises(InputError, match=r"T: columns \['a'\], cells of \['b'\]; expected each column once"):
        Table(title="T", columns=[Column(key="a", title="A")], lines=[Line(name="x", cells={"b": Cell(value=1, n=1)})])


def test_columns_whose_judge_is_not_there_are_left_out_and_named(sounds, monkeypatch, tmp_path):
    def one_of_them(name, **_):
        if name != "vggish":
            raise InputError(f"{name}: is not here")
        return BandJudge(name="vggish")

    monkeypatch.setattr(module, "load_judge", one_of_them)
    config = EvaluateConfig(reference=sounds / "real", generated={"late": sounds / "late"}, protocol="seed", draws=20)
    table = evaluate(config).table
    assert [column.key for column in table.columns] == ["fad"]
    assert table.columns[0].protocol == "seed"
    assert table.notes[-1] == "Left out, for want of a judge: passt: is not here."
    assert table.lines[0].cells["fad"].n == N  # clips, not patches
    with pytest.raises(
        InputError, match="protocol specvqgan: no judge is available: melception: is not here; or fetch"
    ):
        evaluate(replace(config, protocol="specvqgan"))
    with pytest.raises(InputError, match='weights for "ear": protocol seed has judges vggish, passt'):
        evaluate(replace(config, weights={"ear": tmp_path}))


def test_every_protocol_names_its_judges_and_no_key_twice():
    for protocol in PROTOCOLS.values():
        keys = [figure.key for figure in protocol.figures]
        assert len(set(keys)) == len(keys)
        assert protocol.judges
        assert all(figure.about for figure in protocol.figures)
        assert set(protocol.listening_for) <= set(protocol.judges)


def test_the_command_writes_a_table_its_values_and_a_page(sounds, judge, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = main(
        ["evaluate", "--reference", str(sounds / "real"), "--generated", f"late={sounds / 'late'}"]
        + [f"<b>same={sounds / 'same'}", "--draws", "20", "--cache", "kept", "-o", "out"]
    )
    assert done == 0
    said = capsys.readouterr()
    assert "| late |" in said.out
    assert f"- Judge aisfx: a test; sha256 of its weights {'0' * 16}." in said.out
    assert "sounds heard" in said.err
    values = json.loads((tmp_path / "out" / "evaluation.json").read_text())
    assert values["clips"]["late"]["lag"]["clip00"] == pytest.approx(0.2, abs=0.02)
    assert values["table"]["columns"][0]["judge_sha256"] == "0" * 64
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert "&lt;b&gt;same" in page
    assert "<b>same" not in page
    linked = re.search(r'data-sound="([^"]*late/clip00.wav)"', page)
    assert linked
    assert (tmp_path / "out" / linked[1]).resolve() == (sounds / "late" / "clip00.wav").resolve()


def test_a_page_of_many_clips_says_that_it_shows_the_first(sounds, judge, tmp_path, monkeypatch):
    monkeypatch.setattr("echoframe.evaluation.report.MOST_CLIPS", 3)
    found = evaluate(EvaluateConfig(reference=sounds / "real", generated={"same": sounds / "same"}, draws=20))
    assert f"The first 3 of {N} clips." in html(found, tmp_path)
    assert [path.name for path in write_report(found, tmp_path / "new")] == [
        f"evaluation.{suffix}" for suffix in ("md", "json", "html", "csv", "tex")
    ]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--generated", "ours"], '--generated "ours": expected NAME=FOLDER'),
        (["--generated", "a=x", "a=y"], "a is given twice; give each its own name"),
        (["--generated", "a=x", "--weights", "vggish"], '--weights "vggish": expected JUDGE=FILE'),
        (["--generated", "a=/none"], "no such folder; give a folder of sound files"),
        (["--generated", "a=x", "--protocol", "fad"], '"fad" is not a protocol'),
    ],
)
def test_what_cannot_be_evaluated_is_one_line_and_exit_code_2(sounds, arguments, complaint, capsys):
    assert main(["evaluate", "--reference", str(sounds / "real"), *arguments]) == 2
    said = capsys.readouterr().err.strip()
    assert said.count("\n") == 0
    assert complaint in said
