"""A protocol's figures from what the judges heard: each as a value, and as a function of which clips are counted."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

import numpy as np
from jaxtyping import Float, Int

from echoframe.evaluation import agreement, alignment, metrics
from echoframe.evaluation.bootstrap import Statistic, linear, per_clip
from echoframe.evaluation.features import SoundFeatures, Timing
from echoframe.evaluation.metrics import Classes
from echoframe.evaluation.motion import FRAME_RATE
from echoframe.evaluation.protocols import Figure
from echoframe.media.onsets import onset_f1

NEAREST = 5  # neighbours of precision, recall, density and coverage
IS_PARTS = 10  # of the inception score, in every protocol
Rows = Int[np.ndarray, " rows"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundSet:
    """The sounds of one folder, in the pairing's order. further: of each clip, the sounds after its first; may be empty
    where no clip has any. labels: one each, or empty. motion: of each film, or empty. words:
    by judge, the labels as it reads them, (n, D).
    """

    sounds: Sequence[SoundFeatures]
    further: Sequence[Sequence[SoundFeatures]] = ()
    labels: Sequence[str] = ()
    motion: Sequence[Float[np.ndarray, " frames"]] = ()
    words: Mapping[str, Float[np.ndarray, "n dim"]] = field(default_factory=dict)

    def take(self, rows: Rows) -> "SoundSet":
        """Other sounds in their places; labels and films stay where they are: these belong to the reference."""
        further = [self.further[i] for i in rows] if self.further else ()
        return replace(self, sounds=[self.sounds[i] for i in rows], further=further)

    @property
    def counts(self) -> Int[np.ndarray, " clips"]:
        """How many sounds each clip has."""
        further = [len(some) for some in self.further] or [0] * len(self.sounds)
        return 1 + np.array(further, dtype=np.int64)

    @property
    def every(self) -> list[SoundFeatures]:
        """All sounds, clip after clip."""
        further = self.further or [()] * len(self.sounds)
        return [sound for first, some in zip(self.sounds, further, strict=True) for sound in (first, *some)]

    @property
    def rounds(self) -> list["SoundSet"]:
        """Sets of one sound a clip: of the first ones, of the second ones, ...; a clip with fewer begins again."""
        own = [(first, *some) for first, some in zip(self.sounds, self.further, strict=True)] if self.further else []
        numbers = range(max(map(len, own), default=1))
        return [replace(self, sounds=[some[k % len(some)] for some in own] or self.sounds, further=()) for k in numbers]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Measured:
    """value: of n clips. statistic: what an interval is drawn from, by `method` (see bootstrap). values: (n,), one a clip,
    where the figure is their mean; None where it belongs to the whole set. A clip of which it says nothing has NaN there, and
    is not one of the n. most: the largest it can be.
    """

    n: int
    value: float
    statistic: Statistic
    method: Literal["bca", "halves"] = "bca"
    values: Float[np.ndarray, " clips"] | None = None
    most: float = np.inf


def fewest(figure: Figure) -> int:
    """Clips without which there is no such figure."""
    return int(figure.at) + 1 if figure.kind == "recall at" else _FEWEST.get(figure.kind, 1)


def measure(figure: Figure, reference: SoundSet, generated: SoundSet, *, paired: bool = True) -> Measured | None:
    """The figure of `generated`, whose n-th sound belongs to the n-th of `reference`; None where it cannot be had: too few
    clips, no labels, no films. Where clips have several sounds it is the mean of the figures of `rounds`, and of a clip the
    mean over its own. Not `paired`: figures of sets only; then the generated sounds are drawn, the reference stays.
    """
    found = [_measured_once(figure, reference, one, paired=paired) for one in generated.rounds]
    return found[0] if len(found) == 1 else _mean_of_rounds(found, generated.counts)


def _mean_of_rounds(found: Sequence[Measured | None], counts: Int[np.ndarray, " clips"]) -> Measured | None:
    said = [(k, one) for k, one in enumerate(found) if one is not None]
    if not said:
        return None
    values = [np.where(counts > k, one.values, np.nan) for k, one in said if one.values is not None]
    if values:
        known = [(~np.isnan(some)).astype(np.int64) for some in values]
        with np.errstate(invalid="ignore"):  # 0 / 0 of a clip of which no sound says anything
            means = np.nansum(values, axis=0) / np.sum(known, axis=0)
        return None if np.isnan(means).all() else of_values(means)
    first, each = said[0][1], [one.statistic for _, one in said]
    return replace(
        first,
        value=float(np.mean([one.value for _, one in said])),
        statistic=lambda rows: float(np.mean([statistic(rows) for statistic in each])),
    )


def _measured_once(figure: Figure, reference: SoundSet, generated: SoundSet, *, paired: bool) -> Measured | None:
    """The figure of one sound a clip."""
    if min(len(reference.sounds), len(generated.sounds)) < fewest(figure):
        return None
    values = _PER_CLIP.get(figure.kind)
    if values is not None:
        found = values(figure, reference, generated) if paired else None
        return None if found is None or np.isnan(found).all() else of_values(found)
    return _of_sets(figure, reference, generated, paired=paired)


def of_values(values: Float[np.ndarray, " clips"]) -> Measured:
    """A mean over clips: those of which the figure says something, the others are NaN. Some have to be left."""
    said = values[~np.isnan(values)]
    return Measured(
        n=len(said), value=float(said.mean()), statistic=lambda rows: float(said[rows].mean()), values=values
    )


def embeddings_of(side: SoundSet, judge: str) -> Float[np.ndarray, "n dim"]:
    """One embedding a sound, the mean of its windows, float64."""
    return np.stack([sound.embeddings[judge].double().mean(dim=0).numpy() for sound in side.sounds])


def _windows(side: SoundSet, figure: Figure) -> tuple[np.ndarray, np.ndarray]:
    """All rows to compare, (w, D), and the clip of each, (w,)."""
    if figure.windows == "mean":
        points = embeddings_of(side, figure.judge)
        return points, np.arange(len(points))
    rows = [sound.embeddings[figure.judge].double().numpy() for sound in side.sounds]
    return np.concatenate(rows), np.repeat(np.arange(len(rows)), [len(some) for some in rows])


def _logits(side: SoundSet, figure: Figure) -> np.ndarray:
    return np.stack([sound.logits[figure.judge].double().numpy() for sound in side.sounds])


def _of_sets(figure: Figure, reference: SoundSet, generated: SoundSet, *, paired: bool) -> Measured:
    n = len(generated.sounds)
    if figure.kind == "inception":
        logits, how = _logits(generated, figure), {"splits": IS_PARTS, "seed": int(figure.variant)}
        value = metrics.inception_score(logits, **how).mean
        return Measured(n=n, value=value, statistic=linear(value, metrics.inception_influences(logits, **how)))
    (x, clips_of_x), (y, clips_of_y) = _windows(reference, figure), _windows(generated, figure)
    if figure.kind in _SMOOTH:
        distance, influences = _SMOOTH[figure.kind]
        value, (of_x, of_y) = distance(x, y), influences(x, y)
        moved = per_clip(of_y, clips_of_y, n) + (per_clip(of_x, clips_of_x, n) if paired else 0)
        return Measured(n=n, value=value, statistic=linear(value, moved))
    compare = _OTHER[figure.kind]

    def statistic(rows: Rows) -> float:
        return compare(x[rows] if paired else x, y[rows])

    most = np.inf if figure.kind == "density" else 1.0
    return Measured(n=n, value=compare(x, y), statistic=statistic, method="halves", most=most)


def _neighbours(name: str) -> Callable[[np.ndarray, np.ndarray], float]:
    return lambda x, y: getattr(metrics.coverage(x, y, k=NEAREST), name)


def _infinity(x: np.ndarray, y: np.ndarray) -> float:
    return metrics.frechet_infinity(x, y, seed=0, steps=10, parts_of="both", lines=8).value


NEIGHBOURLY = ("precision", "recall", "density", "coverage")
_FEWEST = {"frechet": 2, "kernel": 2, "frechet infinity": 100, **dict.fromkeys(NEIGHBOURLY, NEAREST + 1)}
_FEWEST["inception"] = 10 * IS_PARTS  # of parts of one clip it is 1, whatever the clips
_SMOOTH = {
    "frechet": (metrics.frechet_distance, metrics.frechet_influences),
    "frechet infinity": (_infinity, metrics.frechet_influences),
    "kernel": (metrics.kernel_distance, metrics.kernel_influences),
}
_OTHER: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {name: _neighbours(name) for name in NEIGHBOURLY}


def _kl(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray:
    return metrics.kl_divergence(
        _logits(reference, figure), _logits(generated, figure), classes=cast(Classes, figure.variant)
    )


def _agreement(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray:
    classes = [_logits(side, figure).argmax(axis=1) for side in (reference, generated)]
    return metrics.label_accuracy(classes[0], classes[1])


def _placed(figure: Figure, reference: SoundSet, generated: SoundSet) -> tuple[np.ndarray, np.ndarray]:
    one, other = embeddings_of(reference, figure.judge), embeddings_of(generated, figure.judge)
    return one, other


def _cosine(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray:
    return metrics.cosines(*_placed(figure, reference, generated))


def _recall_at(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray:
    ranks = metrics.retrieval_ranks(*_placed(figure, reference, generated))
    return (ranks <= figure.at).astype(np.float64)


def _label_accuracy(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray | None:
    """Right where the nearest mean of a label's references is that of the clip's label. The clip's own is left out of it,
    but for a label that has no other.
    """
    labels = np.array(reference.labels)
    names, counts = np.unique(labels, return_counts=True)
    if len(names) < 2 or counts.max() < 2:
        return None  # as many labels as clips: that is R@1
    one, other = _placed(figure, reference, generated)
    one = one / np.maximum(np.linalg.norm(one, axis=1, keepdims=True), 1e-12)
    sums = np.stack([one[labels == name].sum(axis=0) for name in names])
    sums /= np.linalg.norm(sums, axis=1, keepdims=True)
    own = np.searchsorted(names, labels)
    near = other @ sums.T  # (n, labels)
    rest = np.stack([one[labels == label].sum(axis=0) for label in labels]) - one * (counts[own] > 1)[:, None]
    rest /= np.maximum(np.linalg.norm(rest, axis=1, keepdims=True), 1e-12)
    near[np.arange(len(own)), own] = (other * rest).sum(axis=1)
    return (near.argmax(axis=1) == own).astype(np.float64)


def _class_hit(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray:
    return agreement.agreement_hits(*_placed(figure, reference, generated))


def _class_divergence(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray:
    return agreement.agreement_divergences(*_placed(figure, reference, generated))


def _label_hit(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray | None:
    right = reference.words.get(figure.judge)
    if right is None or not (right > 0).any(axis=1).all():
        return None  # a label that the table lacks has no right classes
    return agreement.label_hits(embeddings_of(generated, figure.judge), right)


def _clap(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray | None:
    words = reference.words.get(figure.judge)
    return None if words is None else metrics.cosines(words, embeddings_of(generated, figure.judge))


def _timings(side: SoundSet) -> list[Timing]:
    return [sound.timing for sound in side.sounds if sound.timing is not None]


def _onset_f1(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray:
    both = zip(_timings(reference), _timings(generated), strict=True)
    scores = [onset_f1(a.onsets.numpy(), b.onsets.numpy(), tolerance_s=figure.at) for a, b in both]
    return np.array([np.nan if score is None else score.f1 for score in scores])


def _envelope_correlation(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray:
    both = zip(_timings(reference), _timings(generated), strict=True)
    return np.array([alignment.envelope_correlation(a.envelope.numpy(), b.envelope.numpy()) for a, b in both])


def _lag(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray:
    both = zip(_timings(reference), _timings(generated), strict=True)
    return np.array([abs(alignment.best_lag(a.envelope.numpy(), b.envelope.numpy()).lag_s) for a, b in both])


def _motion_correlation(figure: Figure, reference: SoundSet, generated: SoundSet) -> np.ndarray | None:
    if not reference.motion:
        return None
    both = zip(_timings(generated), reference.motion, strict=True)
    return np.array(
        [alignment.motion_correlation(sound.strength.numpy(), film, frame_rate=FRAME_RATE) for sound, film in both]
    )


_PER_CLIP: dict[str, Callable[[Figure, SoundSet, SoundSet], np.ndarray | None]] = {
    "kl": _kl,
    "agreement": _agreement,
    "class hit": _class_hit,
    "class divergence": _class_divergence,
    "label hit": _label_hit,
    "cosine": _cosine,
    "recall at": _recall_at,
    "label accuracy": _label_accuracy,
    "clap": _clap,
    "onset f1": _onset_f1,
    "envelope correlation": _envelope_correlation,
    "lag": _lag,
    "motion correlation": _motion_correlation,
}
