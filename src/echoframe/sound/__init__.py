"""The sound that the cascade gives back: its samples, what made it, a player for notebooks, and its way into a file."""

import base64
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import wraps
from html import escape
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, cast, overload, runtime_checkable

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from echoframe.errors import OutputError
from echoframe.output import atomic_files, check_sound_suffix, encode_sound
from echoframe.progress import ProgressCallback, nth_of
from echoframe.provenance import Provenance, check_replaceable, record_path, to_json
from echoframe.timing.watch import Watched

PLAYER_LIMIT_S = 600.0  # a player holds its sound as text: ten minutes at 16 kHz are 26 MB of it
Options = ParamSpec("Options")


@dataclass(frozen=True, kw_only=True, repr=False)
class Sound:
    """A generated sound.

    Attributes:
        waveform: (C, S) float32 samples in [-1, 1], on the CPU; one channel, unless a library's recordings have more.
        sample_rate: samples per second, in Hz.
        provenance: what made the sound; `save` writes it as JSON.
        frames: (N, H, W, 3) uint8 RGB, up to 8 of the frames that the model saw.
        times_s: when each of `frames` is shown, in seconds.
        nearest: sound labels and their cosine with the sound, the nearest first.
        target: (1, Da) float32 of length 1, the point of the audio space that the sound was generated from. The target
            of a sound made in several windows is the mean of the windows' targets, brought to length 1.
        embedding: (1, Da) float32 of length 1, the same for the sound that was made, before its loudness was changed;
            None if the model has no audio encoder.
        reasons: why it fits, by the names of `echoframe.options.RANK`: of a sound of several passages the means, by their
            lengths. Empty if the model has no audio encoder.
        watched: the cues and the borders of shots that were seen in the film; None if it was not watched.
        layers: of a sound that was made of a library, what its sum is of, by the names in `echoframe.sound.placed.LAYERS`:
            (C, S) each. Empty for all others.
    """

    waveform: Float[Tensor, "channels samples"]
    sample_rate: int
    provenance: Provenance
    frames: UInt8[np.ndarray, "n height width 3"]
    times_s: tuple[float, ...]
    nearest: tuple[tuple[str, float], ...] = ()
    target: Float[Tensor, "1 dim"]
    embedding: Float[Tensor, "1 dim"] | None = None
    reasons: Mapping[str, float] = field(default_factory=dict)
    watched: Watched | None = None
    layers: Mapping[str, Float[Tensor, "channels samples"]] = field(default_factory=dict)

    @property
    def duration_s(self) -> float:
        """The length of the sound in seconds."""
        return self.waveform.shape[1] / self.sample_rate

    def __repr__(self) -> str:
        bundle, seed = self.provenance.bundle, self.provenance.settings.seed
        heard = f', nearest "{self.nearest[0][0]}"' if self.nearest else ""
        made_by = f"{bundle.name} {bundle.version}".strip()
        return f"Sound({self.duration_s:.2f} s at {self.sample_rate / 1000:g} kHz, {made_by}, seed {seed}{heard})"

    def _repr_html_(self) -> str:
        """A player for notebooks, which holds the sound itself as a 16-bit WAV file."""
        caption = escape(repr(self))
        if self.duration_s > PLAYER_LIMIT_S:
            return f"{caption}<br>The sound is too long for a player in the page; save it and open the file."
        data = base64.b64encode(encode_sound(self.waveform.numpy(), self.sample_rate, suffix=".wav")).decode()
        return f'<audio controls src="data:audio/wav;base64,{data}"></audio><br>{caption}'

    def save(self, path: str | Path) -> None:
        """Writes the sound to a file, and its record beside it: NAME.wav and NAME.wav.json.

        Either both files are written whole, or neither is.

        Args:
            path: a file name that ends with .wav, .flac or .mp3. A file of this name is replaced.

        Raises:
            OutputError: the suffix is not known, the folder is missing or cannot be written to, the file is the input
                itself, or EchoFrame did not write the JSON that lies there.
        """
        path = Path(path)
        check_sound_suffix(path)
        if path.resolve() == Path(self.provenance.input.path):
            raise OutputError(f"{path}: is the input; choose another name for the sound")
        beside = record_path(path)
        check_replaceable(beside)
        data = encode_sound(self.waveform.numpy(), self.sample_rate, suffix=path.suffix)
        provenance = replace(self.provenance, outputs={path.name: hashlib.sha256(data).hexdigest()})
        with atomic_files([path, beside]) as (sound_file, provenance_file):
            sound_file.write_bytes(data)
            provenance_file.write_text(to_json(provenance), encoding="utf-8")


@runtime_checkable
class _Bound(Protocol[Options]):
    @overload
    def __call__(
        self, source: str | Path | np.ndarray | None, *args: Options.args, **options: Options.kwargs
    ) -> Sound: ...
    @overload
    def __call__(
        self, source: list[str] | list[Path], *args: Options.args, **options: Options.kwargs
    ) -> list[Sound]: ...


@runtime_checkable
class OneOrList(Protocol, Generic[Options]):
    """A method that makes a `Sound` of a source, and a list of them of a list of sources. For type checkers only."""

    def __get__(self, model: Any, kind: type | None = None) -> _Bound[Options]: ...


def one_or_list(method: Callable[Concatenate[Any, Any, Options], Sound]) -> OneOrList[Options]:
    """`method` that takes a list of sources as well, one after the other, with the same options for each."""

    make_one = cast("Callable[..., Sound]", method)

    @wraps(method)
    def call(
        model: Any, source: Any, *args: Any, progress: ProgressCallback | None = None, **options: Any
    ) -> Sound | list[Sound]:
        if not isinstance(source, list | tuple):
            return make_one(model, source, *args, progress=progress, **options)
        progresses = [nth_of(progress, i, len(source)) for i in range(len(source))]
        return [
            make_one(model, each, *args, progress=own, **options) for each, own in zip(source, progresses, strict=True)
        ]

    return cast("OneOrList[Options]", call)
