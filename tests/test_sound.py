"""What `generate` takes and gives back: paths, arrays and lists; the sound's description, player, target and embedding."""

import base64
import io
import re
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import soundfile
import torch

import echoframe
from echoframe import read_provenance, remake
from echoframe.bundles.bundle import EMBEDDED
from echoframe.errors import InputError
from echoframe.media.frame_array import FrameArray
from echoframe.media.video import read_frames
from echoframe.spec import ClipSpec
from fakes import RATE, calls_of, fake_model, shown_to
from planted_video import numbers, write_video

SPEC = ClipSpec(duration_s=4.0, n_frames=8, frame_rate=2.0)


def planted(n_frames: int, *, height: int = 32, width: int = 48) -> np.ndarray:
    """(T, H, W, 3) uint8: frame i is of the grey level 10 i."""
    return np.broadcast_to(
        (10 * np.arange(n_frames, dtype=np.uint8))[:, None, None, None], (n_frames, height, width, 3)
    )


@pytest.fixture(scope="module")
def film(tmp_path_factory):
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    write_video(path, n_frames=12, rate=Fraction(4))
    return path


def test_an_array_is_seen_at_the_times_of_its_frame_rate():
    model = fake_model()
    sound = model.generate(planted(12), frame_rate=4.0, seed=7, whole=True)  # 3 s
    (shown,) = shown_to(model)
    # looked at every 0.5 s from 0.25 s on: frames 1, 3, ...; after 3 s the last one is held
    assert [round(float(image.mean()) / 10) for image in shown] == [1, 3, 5, 7, 9, 11, 11, 11]
    assert min(shown.shape[1:3]) == model.visual_encoder.short_side
    assert sound.waveform.shape == (1, 3 * RATE)
    mask = torch.tensor([[True] * 6 + [False] * 2])
    torch.testing.assert_close(calls_of(model)[0]["target"], model.mapper(model.visual_encoder(shown)[None], mask))


def test_an_array_gives_the_frames_that_the_file_gives(film):
    whole = read_frames(film, ClipSpec(duration_s=3.0, n_frames=12, frame_rate=4.0), short_side=64)
    (from_array,) = FrameArray(images=whole.images, frame_rate=4.0).windows(SPEC, [0.0], short_side=16)
    from_file = read_frames(film, SPEC, short_side=16)
    assert from_array.times_s == from_file.times_s
    np.testing.assert_array_equal(from_array.mask, from_file.mask)
    assert numbers(from_array.images) == numbers(from_file.images)


def test_an_array_longer_than_a_window_is_seen_in_windows():
    sound = fake_model().generate(planted(20), frame_rate=2.0)  # 10 s, windows of 4 s
    assert sound.waveform.shape == (1, 10 * RATE)
    assert [round(float(image.mean()) / 10) for image in sound.frames] == pytest.approx(
        [1, 3, 6, 8, 11, 13, 16, 18], abs=1
    )


def test_one_frame_is_a_still_image():
    sound = fake_model().generate(planted(1))
    assert sound.waveform.shape == (1, 10 * RATE)
    assert len(sound.frames) == 1


@pytest.mark.parametrize(
    ("images", "frame_rate", "words"),
    [
        (planted(2).astype(np.float32), 25.0, "float32, expected .frames, height, width, 3. of uint8 in RGB order"),
        (planted(2)[..., 0], 25.0, r"shape \(2, 32, 48\) of uint8, expected"),
        (planted(2)[:0], 25.0, r"shape \(0, 32, 48, 3\)"),
        (planted(2), None, "2 frames without a frame rate; give frame_rate, such as 25"),
        (planted(2), 0.0, "frame_rate is 0.0; expected frames per second above 0"),
        (planted(2), float("nan"), "frame_rate is nan"),
    ],
)
def test_an_array_that_is_no_video_is_told(images, frame_rate, words):
    with pytest.raises(InputError, match=words):
        fake_model().generate(images, frame_rate=frame_rate)


def test_a_file_knows_its_own_frame_rate(film):
    with pytest.raises(InputError, match="frame_rate is 25, but a file knows its own; leave it out"):
        fake_model().generate(film, frame_rate=25)


def test_the_record_of_an_array_says_so_and_cannot_be_made_again_from_a_file(tmp_path, capsys):
    from echoframe.apps.cli import main

    model, images = fake_model(), planted(12)
    model.generate(images, frame_rate=4.0).save(tmp_path / "a.wav")
    record = read_provenance(tmp_path / "a.wav.json")
    assert (record.input.path, record.input.n_frames, record.input.frame_rate) == ("", 12, 4.0)
    again = model.generate(images.copy(), frame_rate=4.0).provenance
    assert again.input.sha256 == record.input.sha256
    assert again.result.samples_sha256 == record.result.samples_sha256
    brighter = model.generate(images + 1, frame_rate=4.0).provenance
    assert brighter.input.sha256 != record.input.sha256
    words = "from an array of 12 frames and cannot be made again from a file; call generate with the same array"
    with pytest.raises(InputError, match=words):
        remake(model, record)
    assert main(["generate", "--from", str(tmp_path / "a.wav.json"), "-o", str(tmp_path)]) == 2
    assert words in capsys.readouterr().err.replace("\n", " ")


def test_a_list_gives_a_list_in_its_order(film):
    other = film.with_name("other.mp4")
    write_video(other, n_frames=4, rate=Fraction(4))
    model = fake_model()
    steps: list[tuple[int, int]] = []
    sounds = model.generate([film, other], seed=3, progress=lambda done, total, _: steps.append((done, total)))
    assert [sound.waveform.shape[1] for sound in sounds] == [3 * RATE, RATE]
    assert steps == [(i, 6) for i in range(1, 7)]
    alone = fake_model().generate(other, seed=3)
    assert torch.equal(sounds[1].waveform, alone.waveform)
    assert model.generate([], seed=3) == []


def test_the_target_and_the_embedding_are_unit_vectors_of_the_audio_space(film):
    model = fake_model()
    sound = model.generate(film, candidates=3)
    torch.testing.assert_close(sound.target, calls_of(model)[0]["target"][:1])
    assert sound.embedding is not None
    assert sound.target.shape == sound.embedding.shape == (1, 4)
    near = [reasons["target"] for reasons in sound.provenance.result.candidate_reasons[0]]
    assert float((sound.target * sound.embedding).sum()) == pytest.approx(max(near), abs=1e-5)
    without = fake_model(with_ears=False).generate(film)
    assert without.embedding is None
    torch.testing.assert_close(without.target, sound.target)


def test_the_target_of_several_windows_is_their_mean(film):
    model = fake_model()
    sound = model.generate(film, duration_s=10.0)
    (call,) = calls_of(model)
    assert call["target"].shape == (1, 3, 4)
    mean = call["target"].mean(dim=1)
    torch.testing.assert_close(sound.target, mean / mean.norm())


def test_a_sound_describes_itself_in_one_line(film):
    sound = fake_model().generate(film, seed=7)
    (heard, _), *_ = sound.nearest
    assert repr(sound) == f'Sound(3.00 s at 1 kHz, fake 1, seed 7, nearest "{heard}")'
    assert repr(replace(sound, nearest=())) == "Sound(3.00 s at 1 kHz, fake 1, seed 7)"


def test_a_notebook_shows_a_player_with_the_sound_in_it(film, monkeypatch):
    sound = fake_model().generate(film, seed=7)
    (data,) = re.findall(r'^<audio controls src="data:audio/wav;base64,([^"]+)"></audio>', sound._repr_html_())
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(data)), dtype="float32")
    assert rate == RATE
    np.testing.assert_allclose(samples, sound.waveform[0].numpy(), atol=1e-4)
    assert "&quot;" in sound._repr_html_()
    monkeypatch.setattr("echoframe.sound.PLAYER_LIMIT_S", 2.0)
    assert "<audio" not in sound._repr_html_()
    assert "too long for a player" in sound._repr_html_()


def test_the_models_have_names():
    names = echoframe.available_models()
    assert names[0] == "mini"
    assert {*EMBEDDED, "audioldm-s", "audioldm-m-vitb32"} <= {*names}
