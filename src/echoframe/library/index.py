"""The embeddings of a library in memory: which pieces are nearest to points of the audio space."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from echoframe.library.entries import Kind
from echoframe.library.store import Embedded

_TARGETS = 16  # that are compared at once
_CLOSE = 1e-6  # cosines that differ by less are told apart in double precision
_ROWS = 1024  # of those, at once


class Fitting(NamedTuple):
    """A piece by its number, how well it fits, and its cosine with what is looked for, -1 to 1."""

    number: int
    score: float
    cosine: float


class Index:
    """P pieces of C contents. contents: the hashes of these.

    Of pieces that fit equally well the one that was added first comes first, and a target's answer does not depend on
    the targets beside it.
    """

    def __init__(self, embedded: Embedded) -> None:
        places: dict[str, int] = {}
        self._content_of = np.array([places.setdefault(sha256, len(places)) for sha256 in embedded.contents], dtype=int)
        self.contents = list(places)
        self._numbers, self._vectors, self._kinds = embedded.numbers, embedded.vectors, np.array(embedded.kinds)

    def nearest(self, targets: Float[np.ndarray, "targets dim"], k: int, kind: Kind | None) -> list[list[Fitting]]:
        """The `k` pieces of a kind, or of both, with the largest cosines with each target of length 1, falling."""
        found = []
        for start in range(0, len(targets), _TARGETS):
            some = targets[start : start + _TARGETS]
            for target, cosines in zip(some, some @ self._vectors.T, strict=True):
                found.append(self._best(cosines, target, k, kind))
        return found

    def vectors(self, found: Sequence[Fitting]) -> Float[np.ndarray, "found dim"]:
        """The embeddings of pieces that were found here."""
        return self._vectors[[bisect_left(self._numbers, each.number) for each in found]]

    def fitting(
        self,
        likeness: Float[np.ndarray, " contents"],
        target: Float[np.ndarray, " dim"] | None,
        k: int,
        kind: Kind | None,
    ) -> list[Fitting]:
        """The `k` pieces with the largest sums of cosine and their content's likeness, falling.

        likeness: 0 to 1. target: of length 1; without one, cosines are 0, and a piece without likeness does not fit.
        """
        more = likeness[self._content_of]
        if target is None:
            nowhere = np.zeros(self._vectors.shape[1], dtype=np.float32)
            return self._best(np.where(more > 0, more, -np.inf), nowhere, k, kind, more)
        return self._best(self._vectors @ target + more, target, k, kind, more)

    def _best(
        self, scores: np.ndarray, target: np.ndarray, k: int, kind: Kind | None, more: np.ndarray | None = None
    ) -> list[Fitting]:
        """scores: (P,) in single precision, -inf where a piece does not fit. more: (P,) beside the cosines in them."""
        if kind is not None:
            scores = np.where(self._kinds == kind, scores, -np.inf)
        least = np.partition(scores, len(scores) - k)[len(scores) - k] - _CLOSE if k < len(scores) else -np.inf
        rows = np.flatnonzero((scores >= least) & (scores > -np.inf))
        # each piece is summed by itself, so that equal sounds have equal cosines
        parts = np.array_split(rows, len(rows) // _ROWS + 1)
        cosines = np.concatenate([(self._vectors[part].astype(np.float64) * target).sum(axis=1) for part in parts])
        exact = cosines if more is None else cosines + more[rows]
        order = np.argsort(-exact, kind="stable")[:k]
        best = zip(rows[order].tolist(), exact[order].tolist(), cosines[order].tolist(), strict=True)
        return [Fitting(self._numbers[row], score, cosine) for row, score, cosine in best]
