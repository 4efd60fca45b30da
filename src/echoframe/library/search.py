"""What of a library is nearest to a point of the audio space, and what its words say."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.data.verify import opened
from echoframe.errors import InputError
from echoframe.library.ears import ears_of
from echoframe.library.entries import Entry, Found, Kind
from echoframe.library.index import Fitting, Index
from echoframe.library.recording import read_piece
from echoframe.library.store import Store
from echoframe.library.wording import WordIndex
from echoframe.media.demux import shown_picture
from echoframe.media.stills import check_file, is_picture
from echoframe.pipeline import EchoFrame
from echoframe.sound.steered import place_of

# how well sounds meet a target: (D,), (N, D) -> (N,)
Fit: TypeAlias = Callable[[Tensor, Tensor], Tensor]
MOST = 4096  # pieces that a search lists
_MOST_S = 60.0  # of a sound that is searched for


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Part:
    """A part of a film or a sound, in seconds, and its point of the audio space, (1, D) of length 1."""

    start_s: float
    stop_s: float
    target: Float[Tensor, "1 dim"]


def target_of_text(model: EchoFrame, text: str) -> Float[Tensor, "1 dim"] | None:
    """The point of the audio space that words mean, (1, D) of length 1; None where the model knows none of them."""
    try:
        place = place_of(text, model.mapper, model.generator, model.labels)
    except InputError:  # the words of the files may still say them
        return None
    return None if place is None else place[None].float().cpu()


def parts_of_file(model: EchoFrame, path: Path, *, seed: int = 0) -> list[Part]:
    """A film or a picture as its shots, each with the target of its sound; a sound as it is, by its first minute.

    Raises InputError, VideoError or AudioError for a file that cannot be read.
    """
    check_file(path)
    if has_picture(path):
        return [
            Part(start_s=shot.start_s, stop_s=shot.stop_s, target=target.cpu())
            for shot, target in model.predict_targets(path, seed=seed)
        ]
    samples, rate = read_piece(path, 0.0, _MOST_S)
    target = ears_of(model).embed_whole(torch.from_numpy(samples), rate)
    return [Part(start_s=0.0, stop_s=samples.shape[1] / rate, target=target)]


def has_picture(path: Path) -> bool:
    """Whether a file is a film or a picture, and not a sound with a cover. Raises VideoError if FFmpeg cannot open it."""
    if is_picture(path):
        return True
    with opened(path) as container:
        return shown_picture(container) is not None


class Searcher:
    """Searches one library; keeps its embeddings, and the words of its files, until its rows change."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = -1
        self._index: Index | None = None
        self._words: WordIndex | None = None

    def forget(self) -> None:
        """The rows have changed."""
        self._index = self._words = None

    def near(
        self, targets: Float[np.ndarray, "targets dim"], k: int, kind: Kind | None = None, fit: Fit | None = None
    ) -> list[list[Found]]:
        """The `k` pieces of a kind that are nearest to each target, (N, D) of length 1, the nearest first.

        fit: tells the nearest apart, in the place of the cosine.
        """
        _check(k)
        with self._store.database.reading():
            index = self._known()
            if fit is None:
                return self._found(index.nearest(targets, k, kind))
            some = index.nearest(targets, MOST, kind)
            return self._found(
                _fitting(each, fit(torch.from_numpy(target), torch.from_numpy(index.vectors(each))))[:k]
                for target, each in zip(targets, some, strict=True)
            )

    def say(self, text: str, target: Float[np.ndarray, " dim"] | None, k: int, kind: Kind | None = None) -> list[Found]:
        """The `k` pieces that fit words best: by how much of them their files say, 0 to 1, plus their cosine."""
        _check(k)
        with self._store.database.reading():
            index = self._known()
            likeness = self._known_words(index).likeness(text)
            (found,) = self._found([index.fitting(likeness, target, k, kind)])
            return found

    def _known(self) -> Index:
        """The embeddings, read again if another program has written."""
        version = self._store.database.version()
        if version != self._version:
            self.forget()
        if self._index is None:
            self._index, self._version = Index(self._store.embedded()), version
        return self._index

    def _known_words(self, index: Index) -> WordIndex:
        """What the files of each of the index's contents say."""
        if self._words is None:
            known = self._store.known_words()
            self._words = WordIndex(known.get(sha256, "") for sha256 in index.contents)
        return self._words

    def _found(self, answers: Iterable[Iterable[Fitting]]) -> list[list[Found]]:
        files: dict[str, tuple[list[Entry], dict[str, str]]] = {}
        return [[self._as_found(each, files) for each in answer] for answer in answers]

    def _as_found(self, fitting: Fitting, files: dict[str, tuple[list[Entry], dict[str, str]]]) -> Found:
        """files: by content, with the words of the first; those that are read here are kept there."""
        sha256, piece = self._store.piece(fitting.number)
        if sha256 not in files:
            there = [entry for entry in self._store.of_content(sha256) if entry.state == "done"]
            files[sha256] = there, self._store.words_at(str(there[0].path))
        (first, *others), words = files[sha256]
        return Found(
            path=first.path,
            also=tuple(entry.path for entry in others),
            piece=piece,
            score=fitting.score,
            similarity=fitting.cosine,
            sample_rate=first.sample_rate,
            channels=first.channels,
            words=words,
        )


def _fitting(found: Sequence[Fitting], scores: Float[Tensor, " pieces"]) -> list[Fitting]:
    """Those pieces with other scores, falling."""
    fitting = [each._replace(score=score) for each, score in zip(found, scores.tolist(), strict=True)]
    return sorted(fitting, key=lambda each: -each.score)


def _check(k: int) -> None:
    if not 1 <= k <= MOST:
        raise InputError(f"k {k}; expected a number of pieces from 1 to {MOST}")
