"""What the codec makes of changes of a spectrogram: linear, so that training can change tokens and need no codec."""

import numpy as np
import torch

from echoframe.generators.mel_codec import MelCodec
from echoframe.spec import MelSpec

SEMITONES = (-1.0, -0.5, 0.5, 1.0)  # by which the packed matrices move a spectrum


def linear_maps(codec: MelCodec, mel: MelSpec) -> dict[str, np.ndarray]:
    """What the codec makes of changes of the spectrogram.

    level (C,), floor: the mean log-mel of a token is token @ level + floor. curves (n_mels, C): what is added to a token
    when a band rises by one. unit (C,): when all do. bands (M, C, C), band_offsets (M, C): token @ bands + band_offsets is
    the token of a spectrum moved by each of SEMITONES.
    """
    frames, size = codec.config.frames, codec.config.frames * codec.config.bands
    decode = (codec.basis * codec.spread[:, None]).double()  # (C, size)
    encode = (codec.basis / codec.spread[:, None]).double().T  # (size, C)
    curves = encode.unflatten(0, (frames, codec.config.bands)).sum(0)
    moved, offsets = [], []
    for semitones in SEMITONES:
        bands = torch.block_diag(*[move_bands(mel, semitones)] * frames)  # (size, size)
        moved.append(decode @ bands @ encode)
        offsets.append((codec.mean.double() @ bands - codec.mean.double()) @ encode)
    made = {
        "level": decode.mean(1),
        "floor": codec.mean.double().sum() / size,
        "curves": curves,
        "unit": curves.sum(0),
        "bands": torch.stack(moved),
        "band_offsets": torch.stack(offsets),
    }
    return {name: value.float().numpy() for name, value in made.items()}


def move_bands(mel: MelSpec, semitones: float) -> torch.Tensor:
    """(n_mels, n_mels): bands @ it is the spectrum `semitones` higher, by linear interpolation between band centres."""
    centres = band_centres(mel)
    asked = centres * 2 ** (-semitones / 12)
    upper = torch.searchsorted(centres, asked).clamp(1, mel.n_mels - 1)
    share = ((asked - centres[upper - 1]) / (centres[upper] - centres[upper - 1])).clamp(0, 1)
    matrix = torch.zeros(mel.n_mels, mel.n_mels, dtype=torch.float64)
    target = torch.arange(mel.n_mels)
    matrix[upper - 1, target] = 1 - share
    matrix[upper, target] += share
    return matrix


def band_centres(mel: MelSpec) -> torch.Tensor:
    """(n_mels,) Hz, evenly spaced on Slaney's scale: linear to 1 kHz, then 27 steps a factor of 6.4 (Auditory Toolbox)."""

    def to_mel(hertz: torch.Tensor) -> torch.Tensor:
        return torch.where(hertz < 1000, hertz * 3 / 200, 15 + 27 * (hertz.clamp(min=1) / 1000).log() / np.log(6.4))

    ends = to_mel(torch.tensor([mel.f_min, mel.f_max], dtype=torch.float64))
    steps = torch.linspace(float(ends[0]), float(ends[1]), mel.n_mels + 2, dtype=torch.float64)[1:-1]
    return torch.where(steps < 15, steps * 200 / 3, 1000 * 6.4 ** ((steps - 15) / 27))
