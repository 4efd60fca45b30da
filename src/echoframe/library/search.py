"""What of a library is nearest to a point of the audio space, and what its words say."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.data.verify import opened
from echoframe.errors import InputError
from echoframe.library.ears import ears_of
from echoframe.library.entries import Entry, Found
from echoframe.library.recording import read_piece
from echoframe.library.store import Store
from echoframe.library.wording import WordIndex
from echoframe.media.demux import shown_picture
from echoframe.media.stills import check_file, is_picture
from echoframe.pipeline import EchoFrame
from echoframe.sound.steered import place_of

_MOST = 4096  # neighbours that sqlite-vec gives at once
_MORE = 4  # times as many are asked for where some of them cannot be used
_LEAST = 50
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
    """Searches one library; keeps the words of its files from one search to the next."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._words: tuple[dict[str, int], WordIndex] | None = None

    def forget(self) -> None:
        """The rows have changed."""
        self._words = None

    def near(self, vector: Float[np.ndarray, " dim"], k: int) -> list[Found]:
        """The `k` pieces nearest to a vector that are in files that are there, the nearest first."""
        asked = k
        while True:
            asked = min(max(asked, 1), _MOST)
            near = self._store.nearest(vector, asked)
            found = self._found([(each.number, each.cosine, each.cosine) for each in near])
            if len(found) >= k or len(near) < asked or asked == _MOST:
                return found[:k]
            asked *= _MORE

    def say(self, text: str, vector: Float[np.ndarray, " dim"] | None, k: int) -> list[Found]:
        """The `k` pieces that fit words best: by how much of them their files say, 0 to 1, plus their cosine."""
        rows, index = self._known_words()
        likeness, n_most = index.likeness(text), min(max(_MORE * k, _LEAST), _MOST)
        cosines: dict[int, float] = {}
        if vector is not None:
            cosines = {each.number: each.cosine for each in self._store.nearest(vector, n_most)}
        contents = list(rows)
        for row in largest(likeness, n_most):
            for number in self._store.numbers_of(contents[row]):
                if number not in cosines:
                    cosines[number] = 0.0 if vector is None else float(self._store.vector(number) @ vector)
        scored = []
        for number, cosine in cosines.items():
            row = rows.get(self._store.piece(number)[0])
            scored.append((number, cosine + (0.0 if row is None else float(likeness[row])), cosine))
        return self._found(sorted(scored, key=lambda each: (-each[1], each[0])))[:k]

    def _known_words(self) -> tuple[dict[str, int], WordIndex]:
        """The row of each content in the index of words, and the index."""
        if self._words is None:
            known = self._store.known_words()
            rows = {sha256: row for row, (sha256, _) in enumerate(known)}
            self._words = rows, WordIndex(words for _, words in known)
        return self._words

    def _found(self, scored: Iterable[tuple[int, float, float]]) -> list[Found]:
        """Pieces by number with score and cosine; those without a file that is there are left out."""
        files: dict[str, tuple[list[Entry], dict[str, str]]] = {}
        found = []
        for number, score, cosine in scored:
            sha256, piece = self._store.piece(number)
            if sha256 not in files:
                there = [entry for entry in self._store.of_content(sha256) if entry.state == "done"]
                files[sha256] = there, self._store.words_at(str(there[0].path)) if there else {}
            entries, words = files[sha256]
            if entries:
                found.append(
                    Found(
                        path=entries[0].path,
                        also=tuple(entry.path for entry in entries[1:]),
                        piece=piece,
                        score=score,
                        similarity=cosine,
                        sample_rate=entries[0].sample_rate,
                        channels=entries[0].channels,
                        words=words,
                    )
                )
        return found


def largest(values: Float[np.ndarray, " rows"], n: int) -> list[int]:
    """The rows of the `n` largest values above 0, falling; the first of equal ones."""
    rows = np.flatnonzero(values)
    if len(rows) > n:
        least = np.partition(values[rows], len(rows) - n)[len(rows) - n]
        above, equal = rows[values[rows] > least], rows[values[rows] == least]
        rows = np.concatenate([above, equal[: n - len(above)]])
    return rows[np.argsort(-values[rows], kind="stable")].tolist()
