"""The audio encoder of a model, as a library hears by it, and the audio space that it hears in."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.bundles.manifest import Space
from echoframe.bundles.spaces import SAME_SPACE
from echoframe.data.encode import from_anywhere
from echoframe.encoders import AudioEncoder
from echoframe.errors import BundleError, InputError
from echoframe.library.cutting import WINDOW_S
from echoframe.media.audio import resample
from echoframe.pipeline import EchoFrame
from echoframe.windows import unit_mean

AT_ONCE = 4  # sounds of one length
_MOST_S = 60.0  # of a sound that is searched for
_PROBE_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Ears:
    """An encoder, and how it is to hear. rate: Hz that a sound is brought to first; 0 leaves it as it is.

    model: the name and version of the model that it is of. source: what `load` takes for that, from any folder.
    """

    encoder: AudioEncoder
    rate: int
    space: Space
    model: str
    source: str

    def embed(self, waveforms: Sequence[Float[np.ndarray, " samples"]], sample_rate: int) -> Float[np.ndarray, "n dim"]:
        """An embedding of length 1 for each mono sound: n x (S,) at `sample_rate` -> (n, D) float32.

        Sounds of one length are embedded together.
        """
        found = np.zeros((len(waveforms), self.space.dim), dtype=np.float32)
        by_length: dict[int, list[int]] = {}
        for number, waveform in enumerate(waveforms):
            by_length.setdefault(len(waveform), []).append(number)
        for numbers in by_length.values():
            for some in (numbers[i : i + AT_ONCE] for i in range(0, len(numbers), AT_ONCE)):
                found[some] = self._heard(np.stack([waveforms[i] for i in some]), sample_rate)
        return found

    def embed_whole(self, waveform: Float[Tensor, "channels samples"], sample_rate: int) -> Float[Tensor, "1 dim"]:
        """The point of a sound, (1, D) of length 1: the mean of its parts of ten seconds at most, in its first minute."""
        mono = waveform.mean(dim=0)[: round(_MOST_S * sample_rate)].detach().cpu().float().numpy()
        n = max(-(-len(mono) // round(WINDOW_S * sample_rate)), 1)
        parts = [part for part in np.array_split(mono, n) if part.size]
        if not parts:
            raise InputError("a waveform of 0 samples; give at least one")
        return unit_mean(torch.from_numpy(self.embed(parts, sample_rate)).split(1))

    def _heard(self, waveforms: np.ndarray, sample_rate: int) -> np.ndarray:
        sounds = torch.tensor(waveforms)  # into torch's own memory: a sum can depend on where its numbers are aligned
        if self.rate:
            sounds, sample_rate = resample(sounds, sample_rate, self.rate), self.rate
        return self.encoder(sounds, sample_rate).float().cpu().numpy()

    def about(self) -> dict[str, str]:
        """What a library keeps of it: the space's name and size, the model's, and where a known sound lies."""
        return {
            "space": self.space.name,
            "dim": str(self.space.dim),
            "model": self.model,
            "source": self.source,
            "probe": json.dumps([round(float(value), 6) for value in self._probe()]),
        }

    def check(self, about: dict[str, str], library: object) -> None:
        """Raises BundleError unless the library's embeddings are of this audio space: by name, size, and a known sound."""
        theirs = Space(name=about["space"], dim=int(about["dim"]))
        alike = 0.0
        if theirs == self.space:
            alike = float(np.dot(self._probe(), np.array(json.loads(about["probe"]))))
        if not alike > SAME_SPACE:
            how = f"; a known sound lies elsewhere (cosine {alike:.3f})" if theirs == self.space else ""
            raise BundleError(
                f"{library}: its sounds are in the audio space {theirs} of {about['model']}, not in {self.space} of "
                f"{self.model}{how}; use the model it was made with, or add the sounds to a new library"
            )

    def _probe(self) -> np.ndarray:
        """The embedding of a sound that rises from low to high, the same everywhere."""
        rate = self.encoder.sample_rate
        times = np.arange(round(_PROBE_S * rate)) / rate
        sweep = 0.5 * np.sin(2 * np.pi * rate * (0.01 * times + 0.1 * np.square(times)))
        return self._heard(sweep[None].astype(np.float32), rate)[0]


def ears_of(model: EchoFrame) -> Ears:
    """The ears of a model. Raises InputError if it has no audio encoder."""
    encoder = model.audio_encoder
    if encoder is None:
        raise InputError(f"{model.identity.name}: has no audio encoder, which a library needs; choose another model")
    # AudioLDM's own conditions were made of sounds at its own rate: a target of its space has to be compared with such
    name = model.mapper.config.audio_space or encoder.name
    return Ears(
        encoder=encoder,
        rate=model.generator.sample_rate if model.generator.has_text else 0,
        space=Space(name=name, dim=encoder.dim),
        model=f"{model.identity.name} {model.identity.version}".strip(),
        source=str(from_anywhere(model.identity.source)),
    )


def as_vector(target: Float[Tensor, "*one dim"] | Float[np.ndarray, "*one dim"], dim: int) -> np.ndarray:
    """A target, (D,) or (1, D), as (D,) float32 of length 1. Raises InputError for another shape, or for no direction."""
    vector = np.asarray(target.detach().cpu() if isinstance(target, Tensor) else target, dtype=np.float32).reshape(-1)
    length = float(np.linalg.norm(vector))
    if vector.shape != (dim,) or not np.isfinite(length) or not length:
        raise InputError(
            f"a target of {vector.size} numbers and length {length:.3g}; the library's embeddings have {dim} numbers"
        )
    return vector / length
