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

from echoframe.errors import AudioError, InputError, OutputError
from echoframe.evaluation.alignment import envelope
from echoframe.evaluation.judges import Judge
from echoframe.evaluation.sounds import Excerpt, Listening, listen
from echoframe.media.audio import resample
from echoframe.media.onsets import onset_strength, onsets
from echoframe.output import atomic_files, file_sha256, make_folder

TIMING = "timing"
TIMING_RATE = 16_000  # Hz
VERSION = 4  # of what is kept; another number, and everything is heard again
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
    """One file. embeddings: by judge, (N, D); logits: by judge, (C,), for those that have classes. is_silent, cancels:
    as in `Excerpt`. duration_s: of what was heard.
    """

    embeddings: Mapping[str, Float[Tensor, "windows dim"]]
    logits: Mapping[str, Float[Tensor, " classes"]]
    timing: Timing | None
    is_silent: bool
    cancels: bool
    is_cut: bool
    duration_s: float


class Ear:
    """Files to features. judges: by name, each with the way its protocol listens. listening: of the alignment in time.

    cache: the folder to keep features in, or None for none. Raises OutputError if nothing can be kept there.
    """

    def __init__(self, judges: Mapping[str, tuple[Judge, Listening]], listening: Listening, cache: Path | None) -> None:
        self._judges, self._listening, self._cache = judges, listening, cache
        if cache is not None:
            _make_cache(cache)

    def __call__(self, path: Path, *, timed: bool) -> SoundFeatures:
        """Raises AudioError if the file is no sound, or none that can be judged."""
        digest = _digest(path) if self._cache else ""
        excerpts: dict[Listening, Excerpt] = {}

        def part(name: str, judge: Judge | None, listening: Listening) -> Tensors:
            kept = self._file(digest, name, judge.sha256 if judge else "", listening)
            found = _read(kept, judge)
            if found is None:
                if listening not in excerpts:
                    excerpts[listening] = listen(path, listening)
                found = _heard_at(path, excerpts[listening], name, judge)
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


def _make_cache(folder: Path) -> None:
    try:
        make_folder(folder)
    except OutputError as error:
        reason = str(error).removeprefix(f"{folder}: ").partition(";")[0]
        raise OutputError(f"{folder}: {reason}; choose another folder for features with --cache") from error


def _digest(path: Path) -> str:
    try:
        return file_sha256(path)
    except InputError as error:
        raise AudioError(str(error)) from error


def _heard_at(path: Path, excerpt: Excerpt, name: str, judge: Judge | None) -> Tensors:
    try:
        found = _hear(excerpt, judge)
        if not _is_finite(found):
            raise AudioError("what it hears is not finite")
    except (AudioError, InputError) as error:
        peak = float(excerpt.waveform.abs().max())
        raise AudioError(
            f"{path}: cannot be judged by {name} ({error}); it lasts {excerpt.duration_s:.3g} s with samples up to "
            f"{peak:.3g}, expected up to 1; write it again from its source"
        ) from error
    return found


def _hear(excerpt: Excerpt, judge: Judge | None) -> Tensors:
    facts = {
        "is_silent": torch.tensor(excerpt.is_silent),
        "cancels": torch.tensor(excerpt.cancels),
        "is_cut": torch.tensor(excerpt.is_cut),
        "duration_s": torch.tensor(excerpt.duration_s, dtype=torch.float64),
    }
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


def _is_finite(tensors: Tensors) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors.values())


def _is_whole(tensors: Tensors, judge: Judge | None) -> bool:
    """Whether it is what `_hear` gives: the names, kinds of number and shapes, and all finite."""
    kinds = dict.fromkeys(("is_silent", "cancels", "is_cut"), (torch.bool, 0)) | {"duration_s": (torch.float64, 0)}
    if judge is None:
        kinds |= dict.fromkeys(("onsets", "envelope", "strength"), (torch.float64, 1))
    else:
        kinds |= {"embeddings": (torch.float32, 2)} | ({"logits": (torch.float32, 1)} if judge.classes else {})
    if {name: (tensor.dtype, tensor.ndim) for name, tensor in tensors.items()} != kinds or not _is_finite(tensors):
        return False
    if judge is None:
        return True
    windows, dim = tensors["embeddings"].shape
    return windows > 0 and dim == judge.dim and (not judge.classes or len(tensors["logits"]) == judge.classes)


def _read(path: Path | None, judge: Judge | None) -> Tensors | None:
    """What is kept at `path`; None if nothing is, or if it is damaged: then it is heard again and written anew."""
    if path is None:
        return None
    try:
        found = load(path.read_bytes())
    except (SafetensorError, OSError):
        return None
    return found if _is_whole(found, judge) else None


def _write(path: Path | None, tensors: Tensors) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_files([path]) as (partial,):
            partial.write_bytes(save({name: tensor.contiguous() for name, tensor in tensors.items()}))
    except (OSError, OutputError) as error:
        reason = (
            error.strerror if isinstance(error, OSError) else str(error).removeprefix(f"{path}: ").partition(";")[0]
        )
        raise OutputError(
            f"{path}: features cannot be kept there ({reason}); delete what is there, free some space, or choose another "
            "folder with --cache"
        ) from error


def _features(judged: Mapping[str, Tensors], timing: Tensors | None) -> SoundFeatures:
    some = next(iter(judged.values()))
    return SoundFeatures(
        embeddings={name: tensors["embeddings"] for name, tensors in judged.items()},
        logits={name: tensors["logits"] for name, tensors in judged.items() if "logits" in tensors},
        timing=Timing(**{key: timing[key] for key in ("onsets", "envelope", "strength")}) if timing else None,
        is_silent=bool(some["is_silent"]),
        cancels=bool(some["cancels"]),
        is_cut=bool(some["is_cut"]),
        duration_s=float(some["duration_s"]),
    )
