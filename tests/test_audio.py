"""Sound in and out: closed forms, and transformers and librosa as second opinions."""

import errno
import math
import os
import tempfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from transformers.audio_utils import mel_filter_bank

from echoframe.errors import AudioError, OutputError
from echoframe.media import audio
from echoframe.media.audio import fade_ends, log_mel, mel_filters, n_samples, pad_or_trim, read_audio, resample
from echoframe.spec import AUDIOLDM_MEL, MelSpec

GRIDS = [
    # sample_rate, n_fft, n_mels, f_min, f_max: AudioLDM, aiSFX, CLAP
    (16_000, 1024, 64, 0.0, 8_000.0),
    (44_100, 2048, 96, 0.0, 22_050.0),
    (48_000, 1024, 64, 50.0, 14_000.0),
]


def sine(frequency: float, *, sample_rate: int, duration_s: float = 1.0, amplitude: float = 0.5) -> torch.Tensor:
    times = torch.arange(n_samples(duration_s, sample_rate), dtype=torch.float64) / sample_rate
    return (amplitude * torch.sin(2 * math.pi * frequency * times)).float()[None]


def test_read_audio_mixes_to_mono(tmp_path: Path) -> None:
    stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, 8_000, subtype="FLOAT")
    waveform, rate = read_audio(tmp_path / "a.wav")
    assert rate == 8_000
    assert waveform.shape == (1, 100)
    assert torch.equal(waveform, torch.full((1, 100), 0.125))


def test_read_audio_resamples(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", sine(440, sample_rate=44_100)[0].numpy(), 44_100, subtype="FLOAT")
    waveform, rate = read_audio(tmp_path / "a.wav", sample_rate=16_000)
    assert rate == 16_000
    assert waveform.shape == (1, 16_000)
    # away from the ends, where the filter has no neighbours to see
    expected = sine(440, sample_rate=16_000)
    assert torch.allclose(waveform[:, 500:-500], expected[:, 500:-500], atol=1e-4)


def test_read_audio_needs_a_file(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"missing\.wav: no such file"):
        read_audio(tmp_path / "missing.wav")
    with pytest.raises(AudioError, match="no such file"):
        read_audio(tmp_path)


def test_read_audio_refuses_what_is_not_sound(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_text("not a sound file")
    with pytest.raises(AudioError, match=r"a\.wav: not a sound file that can be read"):
        read_audio(tmp_path / "a.wav")


def test_read_audio_refuses_an_empty_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0), 8_000)
    with pytest.raises(AudioError, match=r"a\.wav: holds no samples"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_read_audio_refuses_samples_that_are_no_numbers(tmp_path: Path, bad: float) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.0, bad, 0.0]), 8_000, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a\.wav: holds NaN or infinite samples"):
        read_audio(tmp_path / "a.wav")


@pytest.mark.parametrize(("from_rate", "to_rate"), [(16_000, 48_000), (44_100, 16_000), (22_050, 44_100)])
def test_resample_keeps_pitch_level_and_duration(from_rate: int, to_rate: int) -> None:
    waveform = torch.cat([sine(1_000, sample_rate=from_rate), sine(3_000, sample_rate=from_rate)])
    resampled = resample(waveform, from_rate, to_rate)
    expected = torch.cat([sine(1_000, sample_rate=to_rate), sine(3_000, sample_rate=to_rate)])
    assert resampled.shape == expected.shape
    edge = to_rate // 20
    assert torch.allclose(resampled[:, edge:-edge], expected[:, edge:-edge], atol=1e-4)


def test_resample_removes_what_the_new_rate_cannot_hold() -> None:
    resampled = resample(sine(7_000, sample_rate=48_000), 48_000, 8_000)
    assert resampled[:, 400:-400].abs().max() < 1e-3


def test_resample_at_the_same_rate_is_the_same_tensor() -> None:
    waveform = torch.randn(1, 10)
    assert resample(waveform, 8_000, 8_000) is waveform


def test_resampled_sound_does_not_change_with_later_calls() -> None:
    first = resample(sine(440, sample_rate=8_000), 8_000, 16_000)
    kept = first.clone()
    resample(torch.randn(1, 8_000), 8_000, 16_000)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("length", [0, 1, 5, 9])
def test_pad_or_trim_against_numpy(length: int) -> None:
    waveform = torch.arange(1.0, 11.0).reshape(2, 5)
    expected = np.pad(waveform.numpy(), ((0, 0), (0, 4)))[:, :length]
    assert np.array_equal(pad_or_trim(waveform, length).numpy(), expected)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("htk", [True, False])
@pytest.mark.parametrize("norm", ["slaney", "l1"])
def test_mel_filters_against_transformers(grid: tuple[int, int, int, float, float], htk: bool, norm: str) -> None:
    sample_rate, n_fft, n_mels, f_min, f_max = grid
    ours = mel_filters(
        sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, f_min=f_min, f_max=f_max, htk=htk, norm=norm
    )
    theirs = mel_filter_bank(
        num_frequency_bins=n_fft // 2 + 1,
        num_mel_filters=n_mels,
        min_frequency=f_min,
        max_frequency=f_max,
        sampling_rate=sample_rate,
        norm="slaney" if norm == "slaney" else None,
        mel_scale="htk" if htk else "slaney",
    ).T
    if norm == "l1":
        theirs = theirs / theirs.sum(axis=1, keepdims=True)
    assert ours.dtype == np.float32
    assert np.abs(ours - theirs).max() < 1e-6 * theirs.max()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("htk", [True, False])
@pytest.mark.parametrize("norm", ["slaney", "l1"])
def test_mel_filters_against_librosa(grid: tuple[int, int, int, float, float], htk: bool, norm: str) -> None:
    librosa = pytest.importorskip("librosa")
    sample_rate, n_fft, n_mels, f_min, f_max = grid
    ours = mel_filters(
        sample_rate=sample_rate, n_fft=n_fft, n_mels=n_mels, f_min=f_min, f_max=f_max, htk=htk, norm=norm
    )
    theirs = librosa.filters.mel(
        sr=sample_rate, n_fft=n_fft, n_mels=n_mels, fmin=f_min, fmax=f_max, htk=htk, norm=1 if norm == "l1" else norm
    )
    assert np.abs(ours - theirs).max() < 1e-6 * theirs.max()


def test_a_band_between_two_bins_is_zero_not_nan() -> None:
    filters = mel_filters(sample_rate=48_000, n_fft=256, n_mels=64, f_min=0.0, f_max=14_000.0, htk=True, norm="l1")
    sums = filters.sum(axis=1)
    assert np.isfinite(filters).all()
    assert np.allclose(sums[sums > 0], 1)
    assert (sums == 0).any()


def test_log_mel_against_a_plain_transform() -> None:
    waveform = torch.randn(2, 8_000, generator=torch.Generator().manual_seed(0)) * 0.1
    spec = MelSpec(offset=-5.0, scale=2.5)
    padding = (spec.n_fft - spec.hop_length) // 2
    padded = np.pad(waveform.numpy().astype(np.float64), ((0, 0), (padding, padding)), mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(spec.n_fft) / spec.n_fft)
    filters = mel_filter_bank(513, 64, 0.0, 8_000.0, 16_000, norm="slaney", mel_scale="slaney")
    starts = range(0, padded.shape[1] - spec.n_fft + 1, spec.hop_length)
    frames = np.stack([padded[:, start : start + spec.n_fft] * window for start in starts], axis=1)
    expected = np.log(np.maximum(np.abs(np.fft.rfft(frames)) @ filters, spec.floor))
    found = log_mel(waveform, spec)
    assert found.shape == (2, spec.n_frames(8_000), 64)
    assert np.abs(found.numpy() - (expected + 5.0) / 2.5).max() < 1e-4


def test_log_mel_of_a_sine_peaks_in_its_band() -> None:
    edges = np.linspace(0, 15 + math.log(8) * 27 / math.log(6.4), 66)  # Slaney mels: 8 kHz at the top
    mel = 15 + math.log(2) * 27 / math.log(6.4)  # 2 kHz
    loudest = log_mel(sine(2_000, sample_rate=16_000), AUDIOLDM_MEL)[0, 50].argmax()
    assert int(loudest) == int(np.abs(edges[1:-1] - mel).argmin())


def test_twice_as_loud_is_log_two_more() -> None:
    waveform = torch.randn(1, 4_000, generator=torch.Generator().manual_seed(0))
    louder = log_mel(2 * waveform, AUDIOLDM_MEL)
    assert torch.allclose(louder - log_mel(waveform, AUDIOLDM_MEL), torch.tensor(math.log(2)), atol=1e-4)


def test_log_mel_of_silence_is_the_floor_and_has_a_gradient() -> None:
    waveform = torch.zeros(1, 1_600, requires_grad=True)
    mel = log_mel(waveform, AUDIOLDM_MEL)
    assert torch.allclose(mel, torch.tensor(math.log(1e-5)))
    mel.sum().backward()
    assert waveform.grad is not None
    assert torch.isfinite(waveform.grad).all()


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux lists what is mapped")
def test_room_for_a_long_sound_lies_in_a_file_that_nobody_has_to_remove(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(audio, "LONG", 1000)
    short, long = audio.room_for(1000), audio.room_for(1001)
    mapped = [line for line in Path("/proc/self/maps").read_text().splitlines() if str(tmp_path) in line]
    assert len(mapped) == 1
    assert list(tmp_path.iterdir()) == []
    assert (short.shape, long.shape) == ((1, 1000), (1, 1001))
    for room in (short, long):
        assert torch.equal(room, torch.zeros_like(room))
        room[:, 500:600] = torch.arange(100.0)
        room *= 2
        assert torch.equal(room[0, 500:600], 2 * torch.arange(100.0))
        assert int(room.count_nonzero()) == 99
    del room, long
    assert str(tmp_path) not in Path("/proc/self/maps").read_text()


@pytest.mark.parametrize("what", ["full", "nowhere"])
def test_no_room_for_a_long_sound_is_told_at_once(what: str, tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    if what == "full":
        monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path if what == "full" else tmp_path / "nowhere"))
    monkeypatch.setattr(audio, "LONG", 1000)
    with pytest.raises(
        OutputError, match=r"no room for a sound of 4004 bytes \(No s.*\); free some space, or set TMPDIR"
    ):
        audio.room_for(1001)
    assert list(tmp_path.iterdir()) == []


def test_ten_and_a_quarter_seconds_are_1024_frames() -> None:
    assert log_mel(torch.zeros(1, n_samples(10.24, 16_000)), AUDIOLDM_MEL).shape == (1, 1024, 64)


def test_faded_ends_begin_and_end_at_nothing_and_leave_the_middle():
    waveform = torch.ones(1, 1600)
    faded = fade_ends(waveform.clone(), 16_000)
    assert torch.equal(faded[:, 80:-80], waveform[:, 80:-80])
    assert faded[0, 0] < 1e-3
    assert faded[0, -1] < 1e-3
    assert (faded[0, :80].diff() > 0).all()
    torch.testing.assert_close(faded[0, :80], faded[0, -80:].flip(0))
    assert fade_ends(torch.ones(1, 1), 16_000).shape == (1, 1)
