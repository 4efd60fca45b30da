"""Folders of sounds: what is in them, which belong together, and how a protocol listens to one.

*Conventions*: two files belong together if their names are the same but for the suffix. A sound is mono in the end; where
it is longer than the protocol hears, the rest is not read, and is counted.
"""

import csv
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import av
import av.error
import numpy as np
import soundfile
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.audio import n_samples
from echoframe.data.decode import SoundTrack
from echoframe.errors import AudioError, InputError

SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff")
FILMS = (".mp4", ".m4a", ".mov", ".mkv", ".webm", ".avi", ".m4v")
HEADS = ("id", "name", "file", "stem", "clip", "video")
SILENT = 1e-4  # a peak of -80 dBFS


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """How a protocol takes a sound: its first `clip_s` seconds, the mean of its channels or the first of them, and with
    its mean taken away (`centred`) or not.
    """

    clip_s: float = 10.0
    channels: Literal["mean", "first"] = "mean"
    centred: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Excerpt:
    """waveform: (1, S) float32, as `Listening` says. duration_s: of what was kept. is_cut: whether there was more."""

    waveform: Float[Tensor, "1 samples"]
    sample_rate: int
    is_cut: bool

    @property
    def is_silent(self) -> bool:
        return float(self.waveform.abs().max()) < SILENT


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairing:
    """stems: in every folder, sorted; empty where no two belong together. files: by folder and stem. missing: by folder,
    names that are wanted or that another folder has. extra: by folder, files that the list of wanted names lacks.
    """

    stems: tuple[str, ...]
    files: Mapping[str, Mapping[str, Path]]
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def find_sounds(folder: Path) -> dict[str, Path]:
    """Sounds, and films for their sound, right in `folder`, by stem. Raises InputError if there is none, or two of a stem."""
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a folder of sound files")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in SOUNDS + FILMS or not path.is_file():
            continue
        # what `echoframe generate` leaves beside each other: the sound counts, not the film made of it
        other = found.get(path.stem)
        kinds = {other.suffix.lower() in FILMS, path.suffix.lower() in FILMS} if other else set()
        if other and len(kinds) == 1:
            raise InputError(f"{path}: {other.name} has the same stem; keep one of them, as pairs are found by stem")
        if other is None or path.suffix.lower() in SOUNDS:
            found[path.stem] = path
    if not found:
        raise InputError(f"{folder}: no sound in it; expected files ending in {', '.join(SOUNDS + FILMS)}")
    return found


def unpaired(folders: Mapping[str, Path]) -> Pairing:
    """Every sound of every folder, none belonging to another."""
    return Pairing(stems=(), files={name: find_sounds(folder) for name, folder in folders.items()})


def pair(folders: Mapping[str, Path], *, wanted: Sequence[str] | None = None) -> Pairing:
    """The stems that all folders share; wanted: only these, if given. Raises InputError if fewer than one is left."""
    files = {name: find_sounds(folder) for name, folder in folders.items()}
    every = set(wanted) if wanted is not None else set().union(*files.values())
    stems = sorted(every.intersection(*files.values()))
    missing = {name: tuple(sorted(every - set(some))) for name, some in files.items()}
    extra = {name: tuple(sorted(set(some) - every)) for name, some in files.items()}
    if not stems:
        counts = ", ".join(f"{folders[name]} has {len(some)}, as {min(some)}" for name, some in files.items())
        among = f" among the {len(every)} wanted" if wanted is not None else ""
        raise InputError(f"no file name is in every folder{among} ({counts}); pairs are found by stem")
    return Pairing(
        stems=tuple(stems),
        files=files,
        missing={name: some for name, some in missing.items() if some},
        extra={name: some for name, some in extra.items() if some},
    )


def listen(path: Path, listening: Listening) -> Excerpt:
    """The sound at `path`, at its own sample rate. Raises AudioError for a file that is no sound, empty, or holds NaN."""
    seconds = listening.clip_s
    samples, rate, is_cut = (_of_film if path.suffix.lower() in FILMS else _of_sound)(path, seconds)
    if not samples.size:
        raise AudioError(f"{path}: holds no samples; give a sound that is not empty")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; write the file again from its source")
    mono = samples[:, 0] if listening.channels == "first" else samples.mean(axis=1, dtype=np.float64)
    if listening.centred:
        mono = mono - mono.mean(dtype=np.float64)
    waveform = torch.from_numpy(np.ascontiguousarray(mono, dtype=np.float32))[None]
    return Excerpt(waveform=waveform, sample_rate=rate, is_cut=is_cut)


def _of_sound(path: Path, seconds: float) -> tuple[np.ndarray, int, bool]:
    try:
        with soundfile.SoundFile(str(path)) as file:
            wanted = n_samples(seconds, file.samplerate)
            samples = file.read(wanted, dtype="float32", always_2d=True)
            return samples, file.samplerate, file.frames > wanted
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: not a sound that can be read ({error}); write it again as WAV or FLAC") from error


def _of_film(path: Path, seconds: float) -> tuple[np.ndarray, int, bool]:
    track = SoundTrack(seconds)
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise AudioError(
                    f"{path}: has no sound (only {', '.join(s.type for s in container.streams)}); leave it out"
                )
            stream = container.streams.audio[0]
            for packet in container.demux(stream):
                track.decode(stream, packet)
                if track.is_full:
                    break
            duration_s = (container.duration or 0) / 1e6
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or error
        raise AudioError(f"{path}: not a film that can be read ({reason}); write it again as MP4 or WAV") from error
    return track.samples()[:, None], track.rate, duration_s > seconds + 0.1  # containers round


def read_clips(path: Path) -> dict[str, str]:
    """Names and labels of a list of clips: CSV, or TSV by its suffix, NAME[,label] a row; a name's suffix does not count."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a CSV file with rows of NAME,label") from error
    rows = [
        row for row in csv.reader(io.StringIO(text), delimiter="\t" if path.suffix.lower() == ".tsv" else ",") if row
    ]
    if rows and rows[0][0].strip().lower() in HEADS:
        rows = rows[1:]
    found = {_stem(row[0].strip()): row[1].strip() if len(row) > 1 else "" for row in rows}
    if not found:
        raise InputError(f"{path}: lists no clip; expected rows of NAME,label")
    return found


def _stem(name: str) -> str:
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SOUNDS + FILMS else name


def hash_of_names(names: Sequence[str]) -> str:
    """sha256 of the sorted names, a line each: which list of clips a figure was computed on.

    >>> hash_of_names(["b", "a"])[:8] == hash_of_names(["a", "b"])[:8]
    True
    """
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()
