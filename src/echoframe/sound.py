"""What the cascade gives back, and its way into a file."""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from echoframe.errors import OutputError
from echoframe.output import atomic_files, check_sound_suffix, encode_sound
from echoframe.provenance import Provenance, check_replaceable, to_json


@dataclass(frozen=True, kw_only=True)
class Sound:
    """What came out. waveform: (1, S) float32 in [-1, 1] on the CPU; sample_rate in Hz.

    frames: up to 8 of those that were seen, (N, H, W, 3) uint8, and times_s, when each was on the screen.
    nearest: sound labels and their cosine with the sound, the nearest first.
    """

    waveform: Float[Tensor, "1 samples"]
    sample_rate: int
    provenance: Provenance
    frames: UInt8[np.ndarray, "n height width 3"]
    times_s: tuple[float, ...]
    nearest: tuple[tuple[str, float], ...] = ()

    def save(self, path: str | Path) -> None:
        """Writes a WAV, FLAC or MP3 file by suffix, and its provenance beside it under the same name with .json.

        Both whole or not at all. Raises OutputError if the file would be the clip itself, or its JSON someone else's.
        """
        path = Path(path)
        check_sound_suffix(path)
        if path.resolve() == Path(self.provenance.input.path):
            raise OutputError(f"{path}: is the input; choose another name for the sound")
        beside = path.with_suffix(".json")
        check_replaceable(beside)
        data = encode_sound(self.waveform.numpy(), self.sample_rate, suffix=path.suffix)
        provenance = replace(self.provenance, outputs={path.name: hashlib.sha256(data).hexdigest()})
        with atomic_files([path, beside]) as (sound_file, provenance_file):
            sound_file.write_bytes(data)
            provenance_file.write_text(to_json(provenance), encoding="utf-8")
