"""A waveform from a log-mel: magnitudes spread over the STFT's bins, then phases that agree with each other.

*Method*: fast Griffin-Lim (Perraudin, Balazs and Sondergaard, "A fast Griffin-Lim algorithm", WASPAA 2013, algorithm 1),
which begins at the phases of a fixed white noise: steady sounds stay without pitch.
"""

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional

from echoframe.media.audio import mel_basis
from echoframe.spec import MelSpec

MOMENTUM = 0.99  # the paper's alpha
CORRECTIONS = 4  # multiplicative steps from mel bands to bins; more change little


def griffin_lim(
    mel: Float[Tensor, "batch frames mels"], spec: MelSpec, *, iterations: int
) -> Float[Tensor, "batch samples"]:
    """A waveform whose log-mel is nearly `mel` ((log mel - offset) / scale, as `log_mel` gives).

    (B, F, n_mels) -> (B, F * hop) float32. The same input gives the same output: the noise has a seed of its own.
    """
    magnitude = linear_magnitude(mel, spec)
    window = mel_basis(spec, str(mel.device))[1]
    noise = torch.randn(mel.shape[1] * spec.hop_length, generator=torch.Generator().manual_seed(0))
    angles = torch.sgn(_stft(noise.to(mel.device)[None], spec, window)).expand_as(magnitude)
    previous = torch.zeros_like(angles)
    for _ in range(iterations):
        rebuilt = _stft(_istft(magnitude * angles, spec, window), spec, window)
        angles = torch.sgn(rebuilt - MOMENTUM / (1 + MOMENTUM) * previous)
        previous = rebuilt
    return _istft(magnitude * angles, spec, window)


def linear_magnitude(mel: Float[Tensor, "batch frames mels"], spec: MelSpec) -> Float[Tensor, "batch bins frames"]:
    """STFT magnitudes, smooth within a mel band, whose log-mel is (nearly) `mel`."""
    filters, _ = mel_basis(spec, str(mel.device))  # (M, bins)
    bands = torch.exp(mel * spec.scale + spec.offset).transpose(1, 2)  # (B, M, frames)
    triangles = filters / filters.amax(dim=1, keepdim=True).clamp(min=1e-9)
    # a bin takes the mean of the bands over it, weighted by their triangles
    spread = triangles.T / triangles.sum(dim=0).clamp(min=1e-3)[:, None]  # (bins, M)
    magnitude = spread @ (bands / filters.sum(dim=1).clamp(min=1e-9)[:, None])
    for _ in range(CORRECTIONS):
        magnitude = magnitude * (spread @ (bands / (filters @ magnitude).clamp(min=1e-7)))
    return magnitude


def _stft(waveform: Tensor, spec: MelSpec, window: Tensor) -> Complex[Tensor, "batch bins frames"]:
    padding = (spec.n_fft - spec.hop_length) // 2
    padded = functional.pad(waveform[:, None], (padding, padding), mode="reflect")[:, 0]
    return torch.stft(padded, spec.n_fft, hop_length=spec.hop_length, window=window, center=False, return_complex=True)


def _istft(spectrum: Complex[Tensor, "batch bins frames"], spec: MelSpec, window: Tensor) -> Tensor:
    # torch.istft refuses frames that are not centred
    frames = torch.fft.irfft(spectrum, dim=1) * window[None, :, None]
    padding, n_frames = (spec.n_fft - spec.hop_length) // 2, spectrum.shape[2]
    length = (n_frames - 1) * spec.hop_length + spec.n_fft
    shape = {"output_size": (1, length), "kernel_size": (1, spec.n_fft), "stride": (1, spec.hop_length)}
    summed = functional.fold(frames, **shape)[:, 0, 0]  # type: ignore[arg-type]
    weight = functional.fold(window.square()[None, :, None].expand(1, -1, n_frames), **shape)[:, 0, 0]  # type: ignore[arg-type]
    return (summed / weight.clamp(min=1e-8))[:, padding : padding + n_frames * spec.hop_length]
