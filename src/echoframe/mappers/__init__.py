"""Mappers: a clip in visual embeddings to one point of an audio space. One seam, and four ways to answer it.

`networks` regress, `prior` draws one of many fitting points, `label_prior` says what it sees and draws a recording of it,
`zero_shot` goes by way of words and learns nothing.
"""

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor


@runtime_checkable
class MapperSpaces(Protocol):
    """What every mapper's config says: the two spaces it joins, by name and number of dimensions."""

    @property
    def visual_space(self) -> str: ...
    @property
    def audio_space(self) -> str: ...
    @property
    def visual_dim(self) -> int: ...
    @property
    def audio_dim(self) -> int: ...


@runtime_checkable
class Mapper(Protocol):
    """Clips to unit vectors of an audio space."""

    @property
    def config(self) -> MapperSpaces: ...

    def __call__(
        self,
        visual: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"],
        *,
        seeds: Sequence[int] | None = None,
    ) -> Float[Tensor, "batch audio_dim"]:
        """One float32 unit vector a clip: (B, T, Dv), mask True where a frame is real -> (B, Da).

        seeds: one a clip; they choose among the points that fit. A mapper that knows one point ignores them. What
        stands in padded frames never changes a result.
        """
        ...


@runtime_checkable
class LabelMapper(Mapper, Protocol):
    """A mapper that goes by way of labels, so that they can be shown, and turned up and down."""

    @property
    def labels(self) -> tuple[str, ...]: ...

    @property
    def places(self) -> Float[Tensor, "labels audio_dim"]:
        """Where each label's sounds lie: one unit vector a label, (L, Da)."""
        ...

    def chances(
        self, visual: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch labels"]:
        """What each label is worth in each clip: rows that sum to 1."""
        ...

    def answer(self, chances: Float[Tensor, "batch labels"], seeds: Sequence[int]) -> Float[Tensor, "batch audio_dim"]:
        """The points that follow from such rows, of any sum above 0: what the mapper gives for what it sees itself."""
        ...
