"""The cascade in time with the picture: a sound for each shot, its cues, the candidate that fits them, `--from`."""

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image
from torch import Tensor

from echoframe import EchoFrame, read_provenance
from echoframe.apps import cli
from echoframe.apps import generate as command
from echoframe.jobs.together import render_together
from echoframe.loading import remake
from echoframe.mappers.networks import MapperConfig
from echoframe.media.video import probe
from echoframe.options import Request
from echoframe.output import file_sha256
from echoframe.timing.cues import Cues
from echoframe.windows import Chance
from fakes import DIM, RATE, FakeGenerator, calls_of, fake_model, shown_to
from moving_pictures import bouncing, coloured, held, wall
from planted_video import write_video
from tiny_bundles import write_tiny_mini

RED, GREEN = (1.0, 0.3, 0.3), (0.3, 1.0, 0.3)  # "hum" and "whistle" to the mapper below
DARK_RED = (0.5, 0.15, 0.15)
SURE = 0.4
HITS = (0.6, 1.2, 1.8, 2.4)


class ColourMapper:
    """The mean colour of the frames that count is the target."""

    config = MapperConfig(visual_dim=3, audio_dim=DIM)

    def __call__(self, visual: Tensor, mask: Tensor, *, seeds: object = None) -> Tensor:
        mean = (visual * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True)
        return torch.nn.functional.normalize(torch.nn.functional.pad(mean, (0, DIM - 3)), dim=1)


def model_of_colours(*, generator: FakeGenerator | None = None) -> EchoFrame:
    model = fake_model(generator=generator)
    model.use_mapper(ColourMapper())
    return model


def shot(nth: int, colour: tuple[float, float, float], n_frames: int) -> np.ndarray:
    return held((coloured(wall(nth)) * np.array(colour)).astype(np.uint8), n_frames)


def film_of(*shots: tuple[tuple[float, float, float], int]) -> np.ndarray:
    """Pictures of a colour, each held for so many frames."""
    return np.concatenate([shot(nth, colour, n) for nth, (colour, n) in enumerate(shots, 1)])


def missed(cues: Cues, hits: Sequence[float]) -> list[float]:
    """The hits that no sure onset lies near."""
    sure = [each.time_s for each in cues.onsets if each.confidence >= SURE]
    return [hit for hit in hits if all(abs(hit - time_s) > 0.08 for time_s in sure)]


def colour_of(target: Tensor) -> str:
    return "red" if target.reshape(-1, DIM)[0, 0] > target.reshape(-1, DIM)[0, 1] else "green"


@pytest.fixture(scope="module")
def two_shots(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s, red until 2 s and green from there."""
    images = film_of((RED, 20), (GREEN, 20))
    return write_video(tmp_path_factory.mktemp("shots") / "two.mp4", images=list(images), rate=Fraction(10))


@pytest.fixture(scope="module")
def struck(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """3.2 s in which a block bounces four times."""
    images = bouncing(HITS, length_s=3.2, rate=25)
    return write_video(tmp_path_factory.mktemp("struck") / "struck.mp4", images=list(images), options={"crf": "5"})


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_mini(path)
    return path


# a sound for each shot


def test_each_shot_has_its_own_frames_target_seed_and_sound(two_shots):
    model = model_of_colours()
    sound = model.generate(two_shots, seed=5, loudness_lufs=None)
    one, other = calls_of(model)
    clip = file_sha256(two_shots)
    assert [call["seeds"] for call in (one, other)] == [
        [Chance(seed=5, clip=clip, window=n).of_candidate(0)] for n in (0, 1)
    ]
    assert [colour_of(call["target"]) for call in (one, other)] == ["red", "green"]
    first, second = shown_to(model)
    assert first[:4, ..., 0].mean() > 2 * first[:4, ..., 1].mean()  # of the first shot, four looks lie in it
    assert second[..., 1].mean() > 2 * second[..., 0].mean()
    # each is as long as its shot and half of the fade of 50 ms
    assert [call["duration_s"] for call in (one, other)] == [pytest.approx(2.025), pytest.approx(2.025)]
    assert sound.waveform.shape == (1, 4 * RATE)
    begins, ends = (
        FakeGenerator().generate(call["target"], duration_s=call["duration_s"], seeds=call["seeds"])
        for call in (one, other)
    )
    torch.testing.assert_close(sound.waveform[:, 5:1975], begins[:, 5:1975])
    torch.testing.assert_close(sound.waveform[:, 2025:3995], ends[:, 50:2020])
    angle = (torch.arange(50) + 0.5) * (torch.pi / 100)
    faded = begins[:, 1975:] * angle.cos() + ends[:, :50] * angle.sin()
    torch.testing.assert_close(sound.waveform[:, 1975:2025], faded)
    assert sound.provenance.result.shots == (
        {"start_s": 0.0, "stop_s": 2.0, "label": "hum", "seed": one["seeds"][0]},
        {"start_s": 2.0, "stop_s": 4.0, "label": "whistle", "seed": other["seeds"][0]},
    )


def test_shots_that_sound_alike_share_a_sound_and_the_record_still_lists_them():
    model = model_of_colours()
    images = film_of((RED, 15), (DARK_RED, 15), (GREEN, 20))
    sound = model.generate(images, frame_rate=10.0)
    assert [call["duration_s"] for call in calls_of(model)] == [pytest.approx(3.025), pytest.approx(2.025)]
    shots = sound.provenance.result.shots
    assert [(each["start_s"], each["stop_s"], each["label"]) for each in shots] == [
        (0.0, 1.5, "hum"),
        (1.5, 3.0, "hum"),
        (3.0, 5.0, "whistle"),
    ]
    assert shots[0]["seed"] == shots[1]["seed"] != shots[2]["seed"]


def test_without_labels_shots_are_alike_whose_targets_are_near():
    images = film_of((RED, 15), (DARK_RED, 15), (GREEN, 20))
    model = fake_model(with_ears=False)
    model.use_mapper(ColourMapper())
    sound = model.generate(images, frame_rate=10.0)
    assert [call["duration_s"] for call in calls_of(model)] == [pytest.approx(3.025), pytest.approx(2.025)]
    assert [each["label"] for each in sound.provenance.result.shots] == ["", "", ""]


def test_whole_is_one_sound_of_all_that_is_seen(two_shots):
    model = model_of_colours()
    sound = model.generate(two_shots, whole=True)
    (call,) = calls_of(model)
    assert call["duration_s"] == 4.0
    assert [(each["start_s"], each["stop_s"]) for each in sound.provenance.result.shots] == [(0.0, 4.0)]
    assert sound.watched is None  # nothing of it is needed
    assert sound.provenance.result.onsets == ()


@pytest.mark.parametrize("duration_s", [3.217, 4.0, 5.5, 9.001])
def test_a_film_of_shots_is_exact_to_the_sample(two_shots, duration_s):
    model = model_of_colours()
    sound = model.generate(two_shots, duration_s=duration_s)
    assert len(calls_of(model)) == 2
    assert sound.waveform.shape == (1, round(duration_s * RATE))
    assert sound.waveform[0, -50:-10].abs().max() > 0.01
    assert sound.provenance.result.shots[-1]["stop_s"] == round(duration_s, 3)


def test_a_still_has_one_shot_and_no_cues(tmp_path):
    Image.fromarray(shot(1, RED, 1)[0]).save(tmp_path / "still.png")
    model = model_of_colours()
    for source in (tmp_path / "still.png", shot(1, RED, 1)):
        sound = model.generate(source, sync=1.0)
        assert len(sound.provenance.result.shots) == 1
        assert sound.provenance.result.onsets == ()
    assert [call["cues"][0].onsets for call in calls_of(model)] == [(), ()]


def test_shots_of_several_films_are_generated_together_and_sound_as_alone(two_shots, tmp_path):
    images = film_of((GREEN, 20), (RED, 20))
    other = write_video(tmp_path / "other.mp4", images=list(images), rate=Fraction(10))
    model, infos = model_of_colours(), [probe(two_shots), probe(other)]
    settings = [model.resolve(info, Request(seed=1, sync=1.0)) for info in infos]
    sounds = render_together(model, list(zip(infos, settings, strict=True)))
    assert [len(call["seeds"]) for call in calls_of(model)] == [2, 2]
    for info, wanted, sound in zip(infos, settings, sounds, strict=True):
        assert not isinstance(sound, Exception)
        alone = model_of_colours().render(info, wanted)
        assert torch.equal(sound.waveform, alone.waveform)
        assert sound.provenance.result.shots == alone.provenance.result.shots


class OftenSilent(FakeGenerator):
    """Nothing can be heard of the green before it was drawn a third time."""

    def generate(self, target, **asked) -> Tensor:
        n_before = sum(colour_of(call["target"]) == "green" for call in self.calls)
        waveforms = super().generate(target, **asked)
        return waveforms * 0 if colour_of(target) == "green" and n_before < 2 else waveforms


def test_a_silent_shot_alone_is_drawn_again(two_shots):
    model = model_of_colours(generator=OftenSilent())
    sound = model.generate(two_shots, seed=5)
    assert [colour_of(call["target"]) for call in calls_of(model)] == ["red", "green", "green", "green"]
    assert sound.provenance.result.redrawn == (0, 2)
    assert sound.provenance.notes == ()
    assert sound.waveform[0, 2100:].abs().max() > 0.01
    seeds = [call["seeds"][0] for call in calls_of(model)]
    assert sound.provenance.result.shots[1]["seed"] == seeds[-1]
    assert len(set(seeds)) == 4
    again = remake(model_of_colours(generator=OftenSilent()), sound.provenance)
    assert torch.equal(again.waveform, sound.waveform)
    silent = model_of_colours(generator=OftenSilent()).render(
        probe(two_shots), model.resolve(probe(two_shots), Request()), n_draws=2
    )
    assert silent.provenance.notes == (
        "nothing can be heard from 2.0 to 4.0 s, though it was drawn 2 times; try another seed or length",
    )


# cues


def test_a_passage_is_given_the_cues_of_its_own_time():
    red, green = bouncing(HITS, length_s=3.0, rate=25), bouncing(HITS, length_s=3.0, rate=25)
    red[..., 1:] //= 6
    green[..., [0, 2]] //= 3
    images = np.concatenate([red, green])
    model = model_of_colours()
    sound = model.generate(images, frame_rate=25.0, sync=1.0)
    one, other = (call["cues"][0] for call in calls_of(model))
    assert [call["duration_s"] for call in calls_of(model)] == [pytest.approx(3.025), pytest.approx(3.025)]
    assert len(missed(one, HITS)) <= 1
    assert len(missed(other, [hit + 0.025 for hit in HITS])) <= 1  # it begins half of the fade before the cut
    assert other.times_s[0] == pytest.approx(0.025)
    assert max(each.time_s for each in one.onsets) < 3.0
    assert sound.watched is not None
    assert len(sound.provenance.result.onsets) == len(sound.watched.cues.onsets)
    assert [call["options"].sync for call in calls_of(model)] == [1.0, 1.0]


@pytest.mark.parametrize(("sync", "whole"), [(0.0, False), (1.0, True), (0.0, True)])
def test_without_sync_no_cues_are_given_and_a_whole_film_has_all_of_them(struck, sync, whole):
    model = model_of_colours()
    sound = model.generate(struck, sync=sync, whole=whole)
    (call,) = calls_of(model)
    onsets = sound.provenance.result.onsets
    assert (call["cues"] == [None]) == (sync == 0)
    assert bool(onsets) == (sync > 0 or not whole)
    if sync:
        assert [round(each.time_s, 4) for each in call["cues"][0].onsets] == [each["time_s"] for each in onsets]


class Knocking(FakeGenerator):
    """All candidates have one pitch and knock: the one at `place` at the hits, the others between them."""

    def __init__(self, place: int) -> None:
        super().__init__()
        self.place = place

    def generate(self, target, *, duration_s, seeds, **asked) -> Tensor:
        quiet = 0.02 * super().generate(target, duration_s=duration_s, seeds=seeds, **asked)[:1].repeat(len(seeds), 1)
        noise = torch.randn(quiet.shape[1], generator=torch.Generator().manual_seed(0))
        times_s = torch.arange(quiet.shape[1]) / RATE
        for row, sound in enumerate(quiet):
            for hit in HITS:
                past = times_s - (hit if row == self.place else hit + 0.3)
                sound += 0.3 * noise * torch.where(past >= 0, (-past / 0.04).exp(), 0.0)
        return quiet


@pytest.mark.parametrize("place", [0, 2])
def test_of_candidates_the_one_in_time_wins_if_onsets_are_heeded(struck, place):
    model = model_of_colours(generator=Knocking(place))
    sound = model.generate(struck, candidates=3, sync=0.7)
    (call,) = calls_of(model)
    (scores,) = sound.provenance.result.candidate_scores
    assert int(np.argmax(scores)) == place
    assert sound.provenance.result.shots[0]["seed"] == call["seeds"][place]
    without = model_of_colours(generator=Knocking(place)).generate(struck, candidates=3, sync=0.0)
    (cosines,) = without.provenance.result.candidate_scores
    bonus = np.array(scores) - cosines
    assert bonus[place] > 0.2
    assert np.delete(bonus, place).max() < 0.1


# the command


def run(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def record_of(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("asked", [(), ("--whole",), ("--candidates", 3, "--sync", 0.5)])
def test_from_the_record_of_several_shots_the_same_samples_come_back(two_shots, tmp_path, monkeypatch, capsys, asked):
    model = model_of_colours()
    monkeypatch.setattr(command, "load", lambda *_, **__: model)
    made = ["--no-mux", "--json", "-o"]
    assert run("generate", two_shots, *asked, "--seed", 3, *made, tmp_path / "then") == 0
    told = json.loads(capsys.readouterr().out)
    n_calls = len(calls_of(model))
    then = record_of(tmp_path / "then" / "two.wav.json")
    assert told["shots"] == then["result"]["shots"]
    assert told["onsets"] == then["result"]["onsets"]
    assert len(told["shots"]) == n_calls == (1 if "--whole" in asked else 2)
    assert then["settings"]["whole"] == ("--whole" in asked)
    assert run("generate", "--from", tmp_path / "then" / "two.wav.json", *made, tmp_path / "now") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "remade"
    now = record_of(tmp_path / "now" / "two.wav.json")
    assert then["result"] == now["result"]
    then_wav, now_wav = (soundfile.read(tmp_path / folder / "two.wav")[0] for folder in ("then", "now"))
    assert np.array_equal(then_wav, now_wav)


def test_from_the_record_of_a_sound_in_time_the_same_samples_come_back(struck, bundle, tmp_path, capsys):
    made = ["--no-mux", "--json", "-o"]
    for sync in (0, 1):
        assert run("generate", struck, "--model", bundle, "--sync", sync, *made, tmp_path / f"then{sync}") == 0
    told = json.loads(capsys.readouterr().out.splitlines()[1])
    records = [record_of(tmp_path / f"then{sync}" / "struck.wav.json") for sync in (0, 1)]
    assert [each["settings"]["sync"] for each in records] == [0, 1]
    assert records[0]["result"]["samples_sha256"] != records[1]["result"]["samples_sha256"]
    assert told["onsets"] == records[1]["result"]["onsets"]
    sure = [each["time_s"] for each in told["onsets"] if each["confidence"] >= SURE]
    assert sum(any(abs(hit - time_s) <= 0.08 for time_s in sure) for hit in HITS) >= len(HITS) - 1
    assert all(set(each) == {"time_s", "strength", "confidence"} for each in told["onsets"])
    assert all(round(value, 4) == value for each in told["onsets"] for value in each.values())
    assert run("generate", "--from", tmp_path / "then1" / "struck.wav.json", *made, tmp_path / "now") == 0
    assert json.loads(capsys.readouterr().out)["status"] == "remade"
    assert record_of(tmp_path / "now" / "struck.wav.json")["result"] == records[1]["result"]


def test_a_picture_shows_what_was_seen(struck, bundle, tmp_path):
    for name, asked in (("seen", ()), ("unseen", ("--whole", "--sync", 0))):
        made = ["--no-mux", "--picture", "-o", tmp_path / name]
        assert run("generate", struck, "--model", bundle, *asked, *made) == 0
    heights = []
    for name in ("seen", "unseen"):
        with Image.open(tmp_path / name / "struck.png") as picture:
            heights.append(picture.height)
    assert heights[0] > heights[1]


@pytest.mark.parametrize("sync", ["-0.1", "1.5", "nan"])
def test_a_sync_out_of_range_is_refused(two_shots, bundle, tmp_path, capsys, sync):
    assert run("generate", two_shots, "--model", bundle, "--sync", sync, "-o", tmp_path) == 2
    assert f"sync {float(sync)}: expected a number from 0 to 1; 0.5 is usual" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_an_old_record_without_shots_is_made_again_in_one_passage(two_shots, tmp_path):
    model = model_of_colours()
    made = model.generate(two_shots, whole=True)
    made.save(tmp_path / "old.wav")
    values = record_of(tmp_path / "old.wav.json")
    for part, name in (("settings", "whole"), ("settings", "sync"), ("result", "shots"), ("result", "onsets")):
        del values[part][name]
    (tmp_path / "old.wav.json").write_text(json.dumps(values))
    old = read_provenance(tmp_path / "old.wav.json")
    assert old.settings == replace(made.provenance.settings, whole=True, sync=0.0)
    assert old.result.shots == old.result.onsets == ()
    assert torch.equal(remake(model, old).waveform, made.waveform)
