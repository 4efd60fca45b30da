"""Sound in and out: files, resampling, length, and the log-mel every model here is trained on.

Waveforms are float32 in [-1, 1], channels first: (C, S) or (B, S), S in samples.
"""

import math
import os
import tempfile
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
import soxr
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.errors import AudioError, OutputError
from echoframe.spec import MelSpec

FADE_S = 0.005
LONG = 1 << 22  # samples: 16 MiB


def read_audio(path: Path, *, sample_rate: int | None = None) -> tuple[Float[Tensor, "1 samples"], int]:
    """The sound file at `path`, mixed to mono, resampled to `sample_rate` (Hz) if given, and its sample rate.

    Raises AudioError if the file is missing, is not a sound file, is empty, or holds NaN or infinite samples.
    """
    if not path.is_file():
        raise AudioError(f"{path}: no such file; give the path of a sound file")
    try:
        samples, rate = soundfile.read(str(path), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(
            f"{path}: not a sound file that can be read ({error}); expected WAV, FLAC, OGG or MP3"
        ) from error
    if samples.shape[0] == 0:
        raise AudioError(f"{path}: holds no samples; give a sound file that is not empty")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; write the file again from its source")
    mono = torch.from_numpy(samples.mean(axis=1, dtype=np.float32))[None]
    if sample_rate is None or sample_rate == rate:
        return mono, rate
    return resample(mono, rate, sample_rate), sample_rate


def resample(
    waveform: Float[Tensor, "channels samples"], from_rate: int, to_rate: int
) -> Float[Tensor, "channels out"]:
    """`waveform` at another sample rate (Hz), by soxr's high-quality sinc: (C, S) -> (C, about S * to / from)."""
    if from_rate == to_rate:
        return waveform
    # copied: soxr may return memory it does not own for long
    resampled = np.array(soxr.resample(waveform.detach().cpu().numpy().T, from_rate, to_rate), dtype=np.float32)
    return torch.from_numpy(np.ascontiguousarray(resampled.T)).to(waveform.device)


def room_for(n_samples: int, channels: int = 1) -> Float[Tensor, "{channels} {n_samples}"]:
    """Silence to write a sound into, (C, n_samples). A long one lies in a file without a name, which the system may write to
    the disk while more is made, and which is gone with the process, however that ends. Raises OutputError if it has no room.
    """
    if n_samples * channels <= LONG:
        return torch.zeros(channels, n_samples)
    n_bytes = 4 * n_samples * channels
    try:
        with tempfile.TemporaryFile() as file:
            if hasattr(
                os, "posix_fallocate"
            ):  # without it, the first sample that a full disk cannot hold ends the process
                os.posix_fallocate(file.fileno(), 0, n_bytes)
            else:
                file.truncate(n_bytes)
            return torch.from_numpy(np.memmap(file, dtype=np.float32, mode="r+", shape=(channels, n_samples)))
    except OSError as error:
        raise OutputError(
            f"the folder for temporary files: no room for a sound of {n_bytes} bytes ({error.strerror}); free some space, "
            "or set TMPDIR to another folder"
        ) from error


def pad_or_trim(waveform: Float[Tensor, "channels samples"], n_samples: int) -> Float[Tensor, "channels {n_samples}"]:
    """`waveform` with exactly `n_samples` samples: cut, or silence added, at the end."""
    missing = n_samples - waveform.shape[-1]
    return torch.nn.functional.pad(waveform, (0, missing)) if missing > 0 else waveform[..., :n_samples]


def fade_ends(waveform: Float[Tensor, "channels samples"], sample_rate: int) -> Float[Tensor, "channels samples"]:
    """The waveform itself, its first and last 5 ms faded in place from and to zero, half a cosine: neither end clicks."""
    n = min(round(FADE_S * sample_rate), waveform.shape[1] // 2)
    ramp = 0.5 - 0.5 * torch.cos(math.pi * (torch.arange(n, device=waveform.device) + 0.5) / max(n, 1))
    waveform[:, :n] *= ramp
    waveform[:, waveform.shape[1] - n :] *= ramp.flip(0)
    return waveform


def n_samples(duration_s: float, sample_rate: int) -> int:
    """round(duration_s * sample_rate): the one place where a duration becomes a number of samples.

    >>> n_samples(10.24, 16_000)
    163840
    """
    return round(duration_s * sample_rate)


def mel_filters(
    *, sample_rate: int, n_fft: int, n_mels: int, f_min: float, f_max: float, htk: bool, norm: str
) -> Float[np.ndarray, "mels bins"]:
    """Triangular mel filters. norm "slaney": unit area in Hz; "l1": the weights of a band sum to 1. float32.

    As `librosa.filters.mel` (librosa 0.9.2, filters.py) with norm="slaney" or norm=1.
    """
    points_mel = np.linspace(_hz_to_mel(f_min, htk), _hz_to_mel(f_max, htk), n_mels + 2)
    points_hz = np.array([_mel_to_hz(m, htk) for m in points_mel])
    bins_hz = np.linspace(0, sample_rate / 2, n_fft // 2 + 1)
    ramps = points_hz[:, None] - bins_hz[None, :]  # (M + 2, bins)
    widths = np.diff(points_hz)
    rising = -ramps[:-2] / widths[:-1, None]
    falling = ramps[2:] / widths[1:, None]
    filters = np.maximum(0, np.minimum(rising, falling))
    if norm == "slaney":
        filters *= (2.0 / (points_hz[2:] - points_hz[:-2]))[:, None]
    else:
        # a narrow low band can fall between two bins and hold nothing: it stays zero
        sums = filters.sum(axis=1, keepdims=True)
        filters /= np.where(sums > 0, sums, 1)
    return filters.astype(np.float32)


def _hz_to_mel(hz: float, htk: bool) -> float:
    if htk:
        return 2595.0 * math.log10(1.0 + hz / 700.0)
    # Slaney: linear below 1 kHz, 27 bands per factor of 6.4 above
    return hz * 3 / 200 if hz < 1000 else 15.0 + math.log(hz / 1000.0) * 27.0 / math.log(6.4)


def _mel_to_hz(mel: float, htk: bool) -> float:
    if htk:
        return 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
    return mel * 200 / 3 if mel < 15.0 else 1000.0 * math.exp((mel - 15.0) * math.log(6.4) / 27.0)


@lru_cache(maxsize=8)
def mel_basis(spec: MelSpec, device: str) -> tuple[Tensor, Tensor]:
    """The Slaney filters (n_mels, n_fft // 2 + 1) and the Hann window (n_fft,) of `spec`, on `device`."""
    filters = mel_filters(
        sample_rate=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        f_min=spec.f_min,
        f_max=spec.f_max,
        htk=False,
        norm="slaney",
    )
    return torch.from_numpy(filters).to(device), torch.hann_window(spec.n_fft, device=device)


def log_mel(waveform: Float[Tensor, "batch samples"], spec: MelSpec) -> Float[Tensor, "batch frames mels"]:
    """(log mel - offset) / scale of `waveform` at `spec.sample_rate`: (B, S) -> (B, S // hop, n_mels).

    Frames are not centred: reflect padding of (n_fft - hop) / 2 on both sides, as HiFi-GAN (jik876/hifi-gan
    `meldataset.py`) and AudioLDM (`audioldm/audio/stft.py`). Differentiable.
    """
    filters, window = mel_basis(spec, str(waveform.device))
    padding = (spec.n_fft - spec.hop_length) // 2
    padded = torch.nn.functional.pad(waveform[:, None], (padding, padding), mode="reflect")[:, 0]
    spectrum = torch.stft(
        padded, spec.n_fft, hop_length=spec.hop_length, window=window, center=False, return_complex=True
    )
    magnitude = torch.sqrt(torch.view_as_real(spectrum).square().sum(-1) + 1e-9)  # (B, bins, frames)
    mel = torch.log(torch.clamp(filters @ magnitude, min=spec.floor))
    return (mel.transpose(1, 2) - spec.offset) / spec.scale
