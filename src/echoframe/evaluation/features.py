"""What judges hear in each file, kept by the file's content: a second evaluation of the same sounds is immediate."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from echoframe.audio import resample
from echoframe.evaluation.alignment import envelope, onset_strength, onsets
from echoframe.evaluation.judges import Judge
from echoframe.evaluation.sounds import Excerpt, Listening, listen
from echoframe.output import atomic_files

TIMING = "timing"
TIMING_RATE = 16_000  # Hz
VERSION = 1  # of what is kept; another number, and everything is heard again
Tensors = dict[str, Tensor]


def default_cache() -> Path:
    """Where features are kept: $XDG_CACHE_HOME/echoframe/features, or ~/.cache/echoframe/features."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "echoframe" / "features"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Timing:
    """onsets: (K,) in seconds. envelope: (T,) in dB. strength: (T,) onset strength. All float64."""

    onsets: Float[Tensor, " onsets"]
    envelope: Float[Tensor, " frames"]
    strength: Float[Tensor, " strengths"]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SoundFeatures:
    """One file. embeddings: by judge, (N, D); logits: by judge, (C,), for those that have classes."""

    embeddings: Mapping[str, Float[Tensor, "windows dim"]]
    logits: Mapping[str, Float[Tensor, " classes"]]
    timing: Timing | None
    is_silent: bool
    is_cut: bool


class Ear:
    """Files to features. judges: by name, each with the way its protocol listens. listening: of the alignment in time.

    cache: the folder to keep features in, or None for none.
    """

    def __init__(self, judges: Mapping[str, tuple[Judge, Listening]], listening: Listening, cache: Path | None) -> None:
        self._judges, self._listening, self._cache = judges, listening, cache

    def __call__(self, path: Path, *, timed: bool) -> SoundFeatures:
        """Raises AudioError if the file is no sound."""
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if self._cache else ""
        excerpts: dict[Listening, Excerpt] = {}

        def part(name: str, judge: Judge | None, listening: Listening) -> Tensors:
            kept = self._file(digest, name, judge.sha256 if judge else "", listening)
            found = _read(kept)
            if found is None:
                if listening not in excerpts:
                    excerpts[listening] = listen(path, listening)
                found = _hear(excerpts[listening], judge)
                _write(kept, found)
            return found

        parts = {name: part(name, judge, listening) for name, (judge, listening) in self._judges.items()}
        return _features(parts, part(TIMING, None, self._listening) if timed else None)

    def _file(self, digest: str, name: str, sha256: str, listening: Listening) -> Path | None:
        if self._cache is None:
            return None
        about = {"version": VERSION, "part": name, "judge": sha256, "listening": asdict(listening)}
        made = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:16]
        return self._cache / f"{name}-{made}" / digest[:2] / f"{digest}.safetensors"


def _hear(excerpt: Excerpt, judge: Judge | None) -> Tensors:
    facts = {"is_silent": torch.tensor(excerpt.is_silent), "is_cut": torch.tensor(excerpt.is_cut)}
    if judge is not None:
        said = judge(resample(excerpt.waveform, excerpt.sample_rate, judge.sample_rate))
        tensors = {"embeddings": said.embeddings[0].float().cpu()}
        return facts | tensors | ({} if said.logits is None else {"logits": said.logits[0].float().cpu()})
    samples = resample(excerpt.waveform, excerpt.sample_rate, TIMING_RATE)[0].double().numpy()
    arrays = {
        "onsets": onsets(samples, TIMING_RATE),
        "envelope": envelope(samples, TIMING_RATE),
        "strength": onset_strength(samples, TIMING_RATE),
    }
    return facts | {name: torch.from_numpy(array) for name, array in arrays.items()}


def _read(path: Path | None) -> Tensors | None:
    if path is None or not path.is_file():
        return None
    try:
        return load(path.read_bytes())
    except (SafetensorError, OSError):
        return None  # a damaged file is heard again and written anew


def _write(path: Path | None, tensors: Tensors) -> None:
    if path is None:
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_files([path]) as (partial,):
        partial.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))


def _features(judged: Mapping[str, Tensors], timing: Tensors | None) -> SoundFeatures:
    some = next(iter(judged.values()))
    return SoundFeatures(
        embeddings={name: tensors["embeddings"] for name, tensors in judged.items()},
        logits={name: tensors["logits"] for name, tensors in judged.items() if "logits" in tensors},
        timing=Timing(**{key: timing[key] for key in ("onsets", "envelope", "strength")}) if timing else None,
        is_silent=bool(some["is_silent"]),
        is_cut=bool(some["is_cut"]),
    )
