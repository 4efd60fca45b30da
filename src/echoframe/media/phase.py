"""A waveform from a log-mel: magnitudes spread over the STFT's bins, then phases that agree with each other.

*Method*: fast Griffin-Lim (Perraudin, Balazs and Sondergaard, "A fast Griffin-Lim algorithm", WASPAA 2013, algorithm 1).
It begins at the phases of a fixed white noise, so that steady sounds stay without pitch, or at phases that the magnitudes
ask for: how a magnitude changes from bin to bin says how the phase goes on from frame to frame, and the other way round
(Prusa, Balazs and Sondergaard, "A noniterative method for reconstruction of phase from STFT magnitude", IEEE/ACM TASLP
2017, for Gaussian windows; here for Hann's, whose tones and clicks have closed forms). There a heap integrates from peak to
peak; here the phase is summed along time, and then each bin takes the phase that its four neighbours ask for, louder ones
weighing more, a few times over: array operations alone.

A long sound is made a stretch at a time. A sample depends on frames nearby alone, but for the phase that is summed along
time; with so many frames around a stretch, and that sum carried on, the samples are those that one piece would give.
"""

import math
from collections.abc import Callable, Iterator
from typing import Literal

import torch
from jaxtyping import Complex, Float
from torch import Tensor
from torch.nn import functional

from echoframe.media.audio import mel_basis
from echoframe.media.stretches import drawn_rows, stretches
from echoframe.spec import MelSpec

Start = Literal["noise", "gradient"]

MOMENTUM = 0.99  # the paper's alpha
CORRECTIONS = 4  # multiplicative steps from mel bands to bins; more change little
NEIGHBOUR_ROUNDS = 4


def griffin_lim(
    mel: Float[Tensor, "batch frames mels"], spec: MelSpec, *, iterations: int, start: Start = "noise"
) -> Float[Tensor, "batch samples"]:
    """A waveform whose log-mel is nearly `mel` ((log mel - offset) / scale, as `log_mel` gives).

    (B, F, n_mels) -> (B, F * hop) float32. The same input gives the same output: the noise has a seed of its own.
    """
    magnitude = linear_magnitude(mel, spec)
    if start == "gradient":
        angles = gradient_angles(magnitude, spec)
    else:
        noise = torch.randn(mel.shape[1] * spec.hop_length, generator=torch.Generator().manual_seed(0))
        angles = _angles_of(noise, magnitude, spec)
    return _agreed(magnitude, angles, spec, iterations)


def griffin_lim_in_pieces(
    mel_between: Callable[[int, int], Float[Tensor, "1 frames mels"]],
    n_frames: int,
    spec: MelSpec,
    *,
    iterations: int,
    start: Start,
    longest: int,
) -> Iterator[Float[Tensor, "1 samples"]]:
    """The samples of `griffin_lim`, in order, from at most `longest` frames and a few around them at a time.

    mel_between: gives frames of the log-mel from the first to before the last; both grow from call to call.
    """
    hop = spec.hop_length
    reach = math.ceil(spec.n_fft / hop) - 1  # frames on each side that share samples with a frame
    # each iteration reaches so far, the last inverse and the noise's spectrum as well; then the neighbours' rounds
    parts = stretches(n_frames, longest=longest, context=(iterations + 2) * reach + NEIGHBOUR_ROUNDS + 1)
    noise = drawn_rows((hop,), torch.Generator().manual_seed(0))
    first: Tensor | None = None  # phases of the part's first frame
    for part, following in zip(parts, [*parts[1:], None], strict=True):
        magnitude = linear_magnitude(mel_between(part.low, part.high), spec)
        if start == "gradient":
            angles, summed = _gradient(magnitude, spec, first)
            if following is not None:
                first = summed[:, :, [following.low - part.low]] % (2 * math.pi)
        else:
            angles = _angles_of(noise.between(part.low, part.high).flatten(), magnitude, spec)
        samples = _agreed(magnitude, angles, spec, iterations)
        yield samples[:, (part.start - part.low) * hop : (part.stop - part.low) * hop]


def _agreed(magnitude: Tensor, angles: Tensor, spec: MelSpec, iterations: int) -> Tensor:
    """The waveform of magnitudes whose angles have been brought to agree with each other."""
    window = mel_basis(spec, str(magnitude.device))[1]
    previous = torch.zeros_like(angles)
    for _ in range(iterations):
        rebuilt = _stft(_istft(magnitude * angles, spec, window), spec, window)
        angles = torch.sgn(rebuilt - MOMENTUM / (1 + MOMENTUM) * previous)
        previous = rebuilt
    return _istft(magnitude * angles, spec, window)


def _angles_of(noise: Float[Tensor, " samples"], magnitude: Tensor, spec: MelSpec) -> Tensor:
    window = mel_basis(spec, str(magnitude.device))[1]
    return torch.sgn(_stft(noise.to(magnitude.device)[None], spec, window)).expand_as(magnitude)


def gradient_angles(
    magnitude: Float[Tensor, "batch bins frames"], spec: MelSpec
) -> Complex[Tensor, "batch bins frames"]:
    """Phases that fit `magnitude`, as complex numbers of length one; a bin that is silent and alone may have zero."""
    return _gradient(magnitude, spec, None)[0]


def _gradient(magnitude: Tensor, spec: MelSpec, first: Tensor | None) -> tuple[Tensor, Tensor]:
    """`gradient_angles`, and the phases (B, bins, frames) that they began at. first: (B, bins, 1), of the first frame."""
    forward, upward = phase_steps(magnitude, spec)
    if first is None:
        phases = torch.rand((magnitude.shape[1], 1), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        first = (2 * math.pi * phases).to(magnitude.device).expand(len(magnitude), -1, -1)
    summed = torch.cat([first, first + forward.cumsum(2)], dim=2)
    angles, later, higher = _unit(summed), _unit(forward), _unit(upward)
    for _ in range(NEIGHBOUR_ROUNDS):
        heard = magnitude * angles
        asked = torch.zeros_like(heard)
        asked[:, :, 1:] += heard[:, :, :-1] * later
        asked[:, :, :-1] += heard[:, :, 1:] * later.conj()
        asked[:, 1:] += heard[:, :-1] * higher
        asked[:, :-1] += heard[:, 1:] * higher.conj()
        angles = torch.sgn(asked)
    return angles, summed


def phase_steps(
    magnitude: Float[Tensor, "batch bins frames"], spec: MelSpec
) -> tuple[Float[Tensor, "batch bins steps"], Float[Tensor, "batch less frames"]]:
    """Phase (radians, float64) from each frame to the next and from each bin to the next; frames count from their start.

    A tone delta bins below a bin has |S| of its neighbours in the ratio (1 - delta)(2 - delta) / (1 + delta)(2 + delta);
    a click t samples after a window's centre has cos^2 of pi (t - hop) / L and of pi (t + hop) / L in the frames around.
    Both are solved for delta and t, so that tones and clicks are met exactly.
    """
    log = magnitude.double().clamp(min=1e-7).log()
    over_bins, over_frames = torch.zeros_like(log), torch.zeros_like(log)
    over_bins[:, 1:-1] = log[:, 2:] - log[:, :-2]
    over_frames[:, :, 1:-1] = log[:, :, 2:] - log[:, :, :-2]
    length, hop = spec.n_fft, spec.hop_length
    contrast = -torch.tanh(over_bins / 2)
    below = 4 * contrast / (3 + (9 - 8 * contrast.square()).sqrt())
    bins = torch.arange(log.shape[1], device=log.device)[:, None]
    along_time = 2 * math.pi * hop / length * (bins - below)
    late = length / math.pi * torch.atan(torch.tanh(over_frames / 4) / math.tan(math.pi * hop / length))
    along_bins = -2 * math.pi / length * (late + length / 2)
    return (along_time[:, :, 1:] + along_time[:, :, :-1]) / 2, (along_bins[:, 1:] + along_bins[:, :-1]) / 2


def _unit(phase: Tensor) -> Tensor:
    """exp(i phase) in single precision."""
    turned = (phase % (2 * math.pi)).float()
    return torch.polar(torch.ones_like(turned), turned)


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
