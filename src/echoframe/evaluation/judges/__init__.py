"""Judges: frozen networks that hear a sound and say where it lies, and what it is. One seam for all of them."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Heard:
    """What a judge says of a batch of sounds of one length, float32, on the judge's device.

    embeddings: (B, N, D), N windows of each sound, one after the other. logits: (B, C), of the whole sound, before softmax or
    sigmoid; None where the judge has no classes.
    """

    embeddings: Float[Tensor, "batch windows dim"]
    logits: Float[Tensor, "batch classes"] | None = None


@runtime_checkable
class Judge(Protocol):
    """name: as in the registry. sample_rate: Hz at which it listens. dim: of an embedding. classes: how many, 0 if none.
    sha256: of its weights. source: where they come from, and their licence.
    """

    name: str
    sample_rate: int
    dim: int
    classes: int
    sha256: str
    source: str

    def __call__(self, waveform: Float[Tensor, "batch samples"]) -> Heard:
        """Hears mono sounds of one length at `sample_rate`, (B, S) in [-1, 1]; pads, cuts and windows as its authors do."""
        ...


@runtime_checkable
class ReadingJudge(Judge, Protocol):
    """A judge that has words in the same space."""

    def read(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """One vector a text, comparable by cosine with those of sounds."""
        ...
