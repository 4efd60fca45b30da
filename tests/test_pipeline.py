"""The cascade with fakes: what each part is given, how windows join, which candidate is kept, what is refused."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from echoframe import EchoFrame, read_provenance
from echoframe.bundles.bundle import load_bundle
from echoframe.errors import BundleError, InputError, OutputError, VideoError
from echoframe.loading import from_bundle, remake
from echoframe.media.video import probe
from echoframe.options import Request, SampleOptions
from echoframe.output import file_sha256
from echoframe.windows import Chance, add_faded, seen_mask
from fakes import DIM, RATE, FakeGenerator, calls_of, fake_model, shown_to
from planted_video import numbers, write_video
from tiny_bundles import write_tiny_mini


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """3 s, 12 frames that say their number."""
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, n_frames=12, rate=Fraction(4))
    return path


@pytest.fixture(scope="module")
def long_film(tmp_path_factory) -> Path:
    """10 s, 40 frames that say their number."""
    path = tmp_path_factory.mktemp("film") / "long.mp4"
    write_video(path, n_frames=40, rate=Fraction(4))
    return path


@pytest.fixture
def still(tmp_path) -> Path:
    Image.new("RGB", (40, 30), (200, 40, 40)).save(tmp_path / "still.png")
    return tmp_path / "still.png"


def test_every_part_is_given_what_the_one_before_gave(film):
    model = fake_model()
    steps: list[tuple[int, int]] = []
    sound = model.generate(
        film, seed=7, guidance=1.5, whole=True, progress=lambda done, total, _: steps.append((done, total))
    )
    (shown,) = shown_to(model)
    # looked at every 0.5 s from 0.25 s on: frames 1, 3, ... of 4 a second; after 3 s the last one is held
    assert numbers(shown) == [1, 3, 5, 7, 9, 11, 11, 11]
    assert min(shown.shape[1:3]) == model.visual_encoder.short_side
    (call,) = calls_of(model)
    assert call["duration_s"] == 3.0
    assert call["seeds"] == [Chance(seed=7, clip=file_sha256(film)).of_candidate(0)]
    assert call["options"] == SampleOptions(steps=3, guidance=1.5, scheduler="ddim")
    visual = model.visual_encoder(shown)[None]
    mask = torch.tensor([[True] * 6 + [False] * 2])
    torch.testing.assert_close(call["target"], model.mapper(visual, mask))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert sound.waveform.shape == (1, 3 * RATE)
    assert sound.frames.shape[0] == len(sound.times_s) == 8


def test_a_still_lasts_ten_seconds_and_is_shown_once(still):
    sound = fake_model().generate(still)
    assert sound.waveform.shape == (1, 10 * RATE)
    assert len(sound.frames) == 1


def test_only_the_frames_of_a_shorter_sound_count(long_film):
    model = fake_model()
    model.generate(long_film, duration_s=1.0)
    (shown,) = shown_to(model)
    seen = torch.tensor([[True, True] + [False] * 6])  # at 0.25 and 0.75 s
    torch.testing.assert_close(calls_of(model)[0]["target"], model.mapper(model.visual_encoder(shown)[None], seen))


def test_each_part_of_a_long_shot_is_looked_at_and_heeded_where_it_lies(long_film):
    model = fake_model()
    sound = model.generate(long_film, seed=5, whole=True)
    (call,) = calls_of(model)
    assert call["duration_s"] == 10.0
    assert call["seeds"] == [Chance(seed=5, clip=file_sha256(long_film)).of_candidate(0)]
    # looked at three times, from 0, 3.33 and 6.67 s on; heard in three windows of 4 s that share a second
    firsts = [numbers(shown)[0] for shown in shown_to(model)]
    assert firsts == [1, 14, 27]
    mask = torch.tensor([[True] * 7 + [False]])  # eight frames, half a second apart: the last one lies in the next part
    seen = torch.cat([model.mapper(model.visual_encoder(shown)[None], mask) for shown in list(shown_to(model))])
    assert call["target"].shape == (1, 3, DIM)
    first = torch.nn.functional.normalize(seen[0] * 10 / 3 + seen[1] * 2 / 3, dim=0)
    torch.testing.assert_close(call["target"][0, 0], first)
    assert sound.waveform.shape == (1, 10 * RATE)
    assert numbers(sound.frames) == pytest.approx([2, 7, 12, 17, 22, 27, 32, 37], abs=1)


@pytest.mark.parametrize("duration_s", [4.001, 7.0, 10.2345, 31.4159])
def test_a_duration_gives_exactly_that_many_samples(film, duration_s):
    model = fake_model()
    sound = model.generate(film, duration_s=duration_s)
    assert sound.waveform.shape == (1, round(duration_s * RATE))
    assert [call["duration_s"] for call in calls_of(model)] == [pytest.approx(duration_s, abs=1 / RATE)]
    # whatever is looked at past the end of the film sees its last frame
    assert {numbers(shown)[-1] for shown in shown_to(model)} == {11}


def test_a_container_that_claims_to_be_longer_than_its_pictures(film, monkeypatch):
    from dataclasses import replace

    from echoframe.media import frame_array

    monkeypatch.setattr(frame_array, "probe", lambda path: replace(probe(path), duration_s=12.0))
    sound = fake_model().generate(film)
    assert sound.waveform.shape == (1, 12 * RATE)
    assert numbers(sound.frames)[-1] == 11


def test_the_fade_keeps_the_power_of_unlike_noise():
    random = torch.Generator().manual_seed(0)
    one, two = torch.randn(2, 1, 60_000, generator=random)
    joined = torch.zeros(1, 90_000)
    add_faded(joined, one, 0, n_fade=0)
    add_faded(joined, two, 30_000, n_fade=30_000)
    assert torch.equal(joined[:, :30_000], one[:, :30_000])
    assert torch.equal(joined[:, 60_000:], two[:, 30_000:])
    powers = joined[:, 30_000:60_000].square().reshape(10, -1).mean(dim=1)
    assert powers.sub(1).abs().max() < 0.1


def test_at_least_one_frame_is_always_seen():
    nothing = np.zeros(3, dtype=bool)
    assert seen_mask(nothing, (9.0, 9.5, 10.0), 9.8).tolist() == [True, False, False]
    assert seen_mask(~nothing, (9.0, 9.5, 10.0), 9.0).tolist() == [True, False, False]
    assert seen_mask(~nothing, (9.0, 9.5, 10.0), 9.8).tolist() == [True, True, False]


def test_the_candidate_nearest_to_the_target_is_kept(film):
    model = fake_model()
    sound = model.generate(film, seed=3, candidates=6, loudness_lufs=None)
    (call,) = calls_of(model)
    waveforms = FakeGenerator().generate(call["target"], duration_s=3.0, seeds=call["seeds"])
    assert model.audio_encoder is not None
    scores = (model.audio_encoder(waveforms, RATE) * call["target"]).sum(dim=1).tolist()  # each with its own
    assert call["seeds"][0] == Chance(seed=3, clip=file_sha256(film)).of_candidate(0)
    assert len(set(call["seeds"])) == 6
    (reasons,) = sound.provenance.result.candidate_reasons
    assert [each["target"] for each in reasons] == pytest.approx(scores, abs=1e-5)
    assert {each["soundness"] for each in reasons} == {1.0}
    assert sound.provenance.result.candidate_scores[0] == pytest.approx(
        [0.25 * score + 0.3 for score in scores], abs=1e-5
    )
    middle = slice(100, -100)  # the ends are faded
    assert torch.equal(sound.waveform[0, middle], waveforms[int(np.argmax(scores)), middle])
    assert len(set(scores)) > 1


def test_nearest_labels_are_those_of_the_sound(film):
    model = fake_model()
    sound = model.generate(film)
    assert model.audio_encoder is not None
    cosines = model.audio_encoder(sound.waveform, RATE)[0, :2].tolist()
    assert dict(sound.nearest) == pytest.approx({"hum": cosines[0], "whistle": cosines[1]}, abs=1e-3)
    assert sound.provenance.result.nearest == dict(sound.nearest)
    assert fake_model(with_ears=False).generate(film).nearest == ()


def test_the_same_seed_gives_the_same_samples_another_seed_others(film):
    one, again, other = (fake_model().generate(film, seed=seed).waveform for seed in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)


def test_saved_and_made_again_to_the_bit(film, tmp_path):
    sound = fake_model().generate(film, seed=4, candidates=3, duration_s=9.5)
    for name in ("a.wav", "b.flac"):
        sound.save(str(tmp_path / name))
        record = read_provenance(tmp_path / f"{name}.json")
        again = remake(fake_model(), record)
        assert torch.equal(again.waveform, sound.waveform)
    samples, _ = soundfile.read(tmp_path / "a.wav", dtype="float32")
    assert np.abs(samples - sound.waveform[0].numpy()).max() <= 1.6 / 32767
    with pytest.raises(BundleError, match="is not what the sound was made with, fake 1"):
        remake(fake_model(sha256="0" * 64), record)
    (tmp_path / "other.mp4").write_bytes(film.read_bytes() + b"\0")
    with pytest.raises(InputError, match="the input has changed, give the original file"):
        remake(fake_model(), record, info=probe(tmp_path / "other.mp4"))


def test_save_refuses_what_it_should_not_write(film, tmp_path):
    sound = fake_model().generate(film)
    with pytest.raises(OutputError, match='suffix ".ogg" is not a sound format that can be written; use one of .wav'):
        sound.save(tmp_path / "a.ogg")
    (tmp_path / "a.wav.json").write_text('{"annotation": 1}')
    with pytest.raises(OutputError, match="a.wav.json: exists and was not written by EchoFrame"):
        sound.save(tmp_path / "a.wav")
    with pytest.raises(OutputError, match="cannot be written"):
        sound.save(tmp_path / "a.wav.json" / "a.wav")
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav.json"]


def test_save_refuses_the_clip_itself(still, tmp_path):
    link = tmp_path / "still.wav"
    still.rename(link)  # a picture by its content, whatever its name
    sound = fake_model().generate(link)
    with pytest.raises(OutputError, match="is the input; choose another name for the sound"):
        sound.save(link)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"duration_s": 0.0}, "duration 0.0 s: expected a number of seconds above 0"),
        ({"duration_s": -1.0}, "expected a number of seconds above 0"),
        ({"duration_s": float("inf")}, "expected a number of seconds above 0"),
        ({"duration_s": 3601.0}, "longer than 3600 s; use --force to allow it"),
        ({"duration_s": 1e-5}, "shorter than one sample"),
        ({"seed": -1}, "seed -1: expected a whole number"),
        ({"candidates": 65}, "candidates 65: expected 1 to 64; 3 is usual"),
        ({"steps": 0}, "steps 0: expected 1 to 1000"),
        ({"scheduler": "magic"}, '"magic" is not known'),
    ],
)
def test_impossible_settings_are_refused_before_anything_runs(film, options, words):
    model = fake_model()
    with pytest.raises(InputError, match=words):
        model.generate(film, **options)
    assert calls_of(model) == []


def test_an_hour_can_be_forced(film):
    assert fake_model().resolve(probe(film), Request(duration_s=4000.0), force=True).duration_s == 4000.0


def test_candidates_need_ears(film):
    with pytest.raises(InputError, match="no audio encoder to rank them; ask for 1"):
        fake_model(with_ears=False).generate(film, candidates=2)


def test_a_clip_that_is_none(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        fake_model().generate(tmp_path / "none.mp4")
    (tmp_path / "text.mp4").write_text("words")
    with pytest.raises(VideoError, match="not a video that can be read"):
        fake_model().generate(tmp_path / "text.mp4")


def test_a_bundle_becomes_a_cascade(film, tmp_path):
    write_tiny_mini(tmp_path / "tiny")
    model = from_bundle(load_bundle(tmp_path / "tiny", device="cpu"), source="tiny")
    assert isinstance(model, EchoFrame)
    assert (model.identity.source, model.identity.name, model.identity.version) == ("tiny", "tiny-mini", "0.1")
    assert (model.device, model.dtype) == ("cpu", "float32")
    state = torch.get_rng_state()
    sound = model.generate(film, duration_s=0.5, seed=1)
    assert torch.equal(state, torch.get_rng_state())  # the global generator is the caller's own
    assert sound.provenance.settings.steps == model.defaults.steps == 2
    assert torch.equal(model.generate(film, duration_s=0.5, seed=1).waveform, sound.waveform)


def test_the_noise_of_a_sound_is_the_clips_own_and_not_its_names(film, long_film, tmp_path):
    renamed = tmp_path / "another name.mp4"
    renamed.write_bytes(film.read_bytes())
    model = fake_model()
    for clip in (film, renamed, long_film):
        model.generate(clip, seed=7, duration_s=2.0)
    one, same, other = (call["seeds"] for call in calls_of(model))
    assert one == same
    assert one != other


def test_a_record_of_the_old_rule_is_made_again_by_it(film):
    model = fake_model()
    record = model.generate(film, seed=7).provenance
    old = replace(record, format="echoframe-provenance/1")
    remake(model, old)
    remake(model, record)
    assert [call["seeds"] for call in calls_of(model)[1:]] == [[7], calls_of(model)[0]["seeds"]]
