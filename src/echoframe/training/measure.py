"""How well a mapper does on clips it was not trained on."""

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from echoframe.data.embedding_reader import Clips, EmbeddingSets
from echoframe.evaluation.metrics import cosines, recall_at, retrieval_ranks, squared_errors
from echoframe.mappers.networks import LearnedMapper

BATCH = 256
WINDOW = 2000  # clips in memory at once
FEW = 50  # clips of a split, below which a figure says little


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Means over the clips of a split. mse: of the numbers, after normalisation. cosine: to the clip's own embedding.

    recall_1, recall_5, recall_10: share of clips whose own embedding is among the so many nearest of all `n`.
    median_rank: of it. length: of the answer before normalisation (a regression's is short where it is unsure), mse_raw:
    mse before it.
    """

    n: int
    mse: float
    cosine: float
    recall_1: float
    recall_5: float
    recall_10: float
    median_rank: float
    length: float
    mse_raw: float

    def values(self) -> dict[str, float]:
        """By name."""
        return asdict(self)


def few_words(n_clips: int, split: str) -> str:
    """What to know before a split of so few clips is believed, "" for enough of them.

    >>> few_words(50, "val")
    ''
    """
    if n_clips >= FEW:
        return ""
    return (
        f"{split} has {n_clips} clips, so one clip is worth {1 / n_clips:.0%} of each recall; for figures to choose a "
        f"mapper by, extract more of them ({FEW} at least), or raise val_share"
    )


def windows_of(sets: EmbeddingSets, rows: np.ndarray) -> Iterator[Clips]:
    """The clips of those rows, some at a time."""
    for first in range(0, len(rows), WINDOW):
        yield sets.load(rows[first : first + WINDOW])


@torch.no_grad()
def answers(mapper: LearnedMapper, clips: Clips, *, device: torch.device, seed: int = 0) -> Tensor:
    """What a mapper answers for each clip, (N, Da), before normalisation where it has such a thing. seed: of a prior."""
    found = []
    for first in range(0, len(clips), BATCH):
        some = clips[slice(first, first + BATCH)].to(device)
        visual = some.visual.float()
        seeds = range(seed * len(clips) + first, seed * len(clips) + first + len(some))
        found.append(mapper.answer(visual, some.mask, seeds=seeds).float().cpu())
    return torch.cat(found)


def measure(predicted: np.ndarray, audio: np.ndarray) -> Figures:
    """The figures of answers (N, Da) of any length beside the true unit vectors. Raises InputError for one that is NaN."""
    lengths = np.linalg.norm(predicted, axis=1)
    unit = predicted / np.maximum(lengths, 1e-12)[:, None]
    ranks = retrieval_ranks(audio, unit)
    return Figures(
        n=len(audio),
        mse=float(squared_errors(audio, unit).mean()),
        cosine=float(cosines(audio, unit).mean()),
        recall_1=recall_at(ranks, 1),
        recall_5=recall_at(ranks, 5),
        recall_10=recall_at(ranks, 10),
        median_rank=float(np.median(ranks)),
        length=float(lengths.mean()),
        mse_raw=float(squared_errors(audio, predicted).mean()),
    )


def predict_all(
    answer: Callable[[Clips], np.ndarray], sets: EmbeddingSets, rows: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """(predicted, audio) of all those rows, each (N, Da)."""
    pairs = [(answer(clips), clips.audio.numpy()) for clips in windows_of(sets, rows)]
    predicted, audio = zip(*pairs, strict=True)
    return np.concatenate(predicted), np.concatenate(audio)
