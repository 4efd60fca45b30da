"""Two ears for finished variants: YAMNet, which no training here knows, and aiSFX, the space the generator is conditioned on.

*Conventions*: what is heard is kept on disk by what was heard, so that measuring resumes. `scores` are YAMNet's mean class
scores, (521,); `embedding` is aiSFX's unit vector, (512,). *Label hit*: a class that the frozen table gives the label is
among the five best specific ones. *KL* and *agreement hit* are those of protocol `yamnet` (`echoframe evaluate`). Chance
is the mean over shuffled pairs: every sound with the label, or the real sound, of another one, up to `SHUFFLES` times.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from echoframe.encoders import AudioEncoder
from echoframe.evaluation.agreement import agreement_divergences, agreement_hits, label_hits
from echoframe.evaluation.judges.yamnet import YamnetJudge
from echoframe.media.audio import resample
from echoframe.output import atomic_files

SHUFFLES = 50
SHORTEST_S = 2.4  # a shorter sound is repeated for aiSFX, whose blocks last 2.32 s
SoundMaker = Callable[[], tuple[Tensor, int]]


@dataclass(frozen=True, kw_only=True)
class Heard:
    """scores: (521,) float64. embedding: (512,) float64, unit length."""

    scores: np.ndarray
    embedding: np.ndarray


class Ears:
    """Hears sounds, (1, S) and their sample rate, once. folder: where what was heard is kept."""

    def __init__(self, judge: YamnetJudge, encoder: AudioEncoder, folder: Path) -> None:
        self.judge, self._encoder, self._folder = judge, encoder, folder
        folder.mkdir(parents=True, exist_ok=True)
        digest = hashlib.sha256()
        for name, weights in sorted(encoder.state_dict().items() if isinstance(encoder, nn.Module) else ()):
            digest.update(name.encode() + weights.float().cpu().numpy().tobytes())
        self._hashes = {"scores": judge.sha256, "embedding": digest.hexdigest()}

    def hear(self, about: Mapping[str, object], make: SoundMaker) -> Heard:
        """Both ears' answer for the sound that `make` gives and `about` names among all others."""
        sounds: list[tuple[Tensor, int]] = []

        def once() -> tuple[Tensor, int]:
            if not sounds:
                sounds.append(make())
            return sounds[0]

        return Heard(scores=self.scores(about, once), embedding=self.embedding(about, once))

    def scores(self, about: Mapping[str, object], make: SoundMaker) -> np.ndarray:
        """YAMNet's alone."""
        return self._kept("scores", about, lambda: self._listen(*make()))

    def embedding(self, about: Mapping[str, object], make: SoundMaker) -> np.ndarray:
        """aiSFX's alone."""
        return self._kept("embedding", about, lambda: self._embed(*make()))

    def _listen(self, waveform: Tensor, rate: int) -> Tensor:
        return class_scores(self.judge, resample(waveform.cpu(), rate, self.judge.sample_rate))

    def _embed(self, waveform: Tensor, rate: int) -> Tensor:
        times = max(1, -int(-SHORTEST_S * rate // waveform.shape[1]))
        return self._encoder(waveform.cpu().repeat(1, times), rate)[0].double().cpu()

    def _kept(self, ear: str, about: Mapping[str, object], make: Callable[[], Tensor]) -> np.ndarray:
        text = json.dumps({"ear": self._hashes[ear], **about}, sort_keys=True)
        name = hashlib.sha256(text.encode()).hexdigest()[:32]
        path = self._folder / name[:2] / f"{name}.npy"
        if not path.exists():
            path.parent.mkdir(exist_ok=True)
            with torch.no_grad(), atomic_files([path]) as (partial,):
                np.save(partial, make().numpy())
        return np.load(path)


def class_scores(judge: YamnetJudge, waveform: Tensor) -> Tensor:
    """The judge's mean scores of a sound, (1, S) at its sample rate -> (521,) float64."""
    return judge(waveform).embeddings[0].double().mean(dim=0)


def right_classes(judge: YamnetJudge, labels: Sequence[str]) -> np.ndarray:
    """1 at the classes that count for each label, (n, 521)."""
    return judge.read(list(labels)).double().numpy()


@dataclass(frozen=True, kw_only=True)
class Hits:
    """values: (n,), one a sound. chance: what shuffled pairs reach."""

    values: np.ndarray
    chance: float

    @property
    def mean(self) -> float:
        return float(self.values.mean())


def heard_labels(scores: np.ndarray, right: np.ndarray, *, k: int = 5) -> Hits:
    """Label hits of (n, 521) scores; right: from `right_classes`."""
    return _of_pairs(lambda a, b: label_hits(a, b, k=k), scores, right)


def heard_alike(reference: np.ndarray, generated: np.ndarray) -> Hits:
    """Agreement hits with the real sounds, (n, 521) each."""
    return _of_pairs(agreement_hits, reference, generated)


def divergences(reference: np.ndarray, generated: np.ndarray) -> Hits:
    """KL(reference || generated) of each pair."""
    return _of_pairs(agreement_divergences, reference, generated)


def _of_pairs(measure: Callable[[np.ndarray, np.ndarray], np.ndarray], one: np.ndarray, other: np.ndarray) -> Hits:
    steps = np.unique(np.linspace(1, max(len(one) - 1, 1), SHUFFLES).round().astype(int))
    rolled = [measure(one, np.roll(other, step, axis=0)).mean() for step in steps] if len(one) > 1 else []
    return Hits(values=measure(one, other), chance=float(np.mean(rolled)) if rolled else float("nan"))


def mean_over_labels(values: np.ndarray, labels: Sequence[str]) -> float:
    """The mean of the labels' means."""
    names = np.array(labels)
    return float(np.mean([values[names == label].mean() for label in sorted(set(labels))]))
