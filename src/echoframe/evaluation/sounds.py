"""Folders of sounds: what is in them, which belong together, and how a protocol listens to one.

*Conventions*: two files belong together if their names are the same but for the suffix. NAME.s0, NAME.s1, ... are several
sounds of the clip NAME, as `echoframe generate --seeds` writes them, unless a clip has that name. A sound is mono in the
end; where it is longer than the protocol hears, the rest is not read, and is counted. Second 0 of a film is its first
picture: its sound is silent before it begins, and where it has a gap.
"""

import csv
import hashlib
import io
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import av
import av.error
import numpy as np
import soundfile
import torch
from av.audio.stream import AudioStream
from av.container import InputContainer
from jaxtyping import Float
from torch import Tensor

from echoframe.data.decode import MISSING_S, Channels, SoundTrack, fill_track
from echoframe.errors import AudioError, InputError
from echoframe.media.audio import n_samples
from echoframe.media.demux import CONTAINERS, own_sound
from echoframe.media.video import VIDEO_SUFFIXES

SOUNDS = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aif", ".aiff", ".m4a")
_COMMON_FILMS = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v")
FILMS = (*_COMMON_FILMS, *sorted(VIDEO_SUFFIXES - {*_COMMON_FILMS, ".apng", ".gif"}))  # which have no sound
BY_LIBAV = (*FILMS, ".m4a", ".mp3")  # libsndfile knows no AAC, and of a damaged MP3 it tells the screen, not us
WRITTEN = (".json", ".md", ".txt", ".csv", ".png", ".html", ".tex")  # by `echoframe`, beside sounds
HEADS = ("id", "name", "file", "stem", "clip", "video")
LABEL_HEADS = ("label", "class", "category", "text")
SILENT = 1e-4  # a peak of -80 dBFS
CANCELLED = 0.01  # of a peak: 40 dB; a codec leaves so much of channels that are each other's opposite
_SAMPLE = re.compile(r"(.+)\.s([0-9]{1,19})")  # as `plans` names a clip's sound of one seed
Found = TypeVar("Found", Mapping[str, tuple[str, ...]], tuple[str, ...])
MORE_S = 0.1  # containers round: only what goes on for longer than this is more


@dataclass(frozen=True, kw_only=True, slots=True)
class Listening:
    """How a protocol takes a sound: its first `clip_s` seconds, the mean of its channels or the first of them, and with
    its mean taken away (`centred`) or not.
    """

    clip_s: float = 10.0
    channels: Channels = "mean"
    centred: bool = False


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Excerpt:
    """waveform: (1, S) float32, as `Listening` says. duration_s: of what was kept. is_cut: whether there was more sound.

    cancels: whether its channels leave next to nothing of each other when they are mixed.
    """

    waveform: Float[Tensor, "1 samples"]
    sample_rate: int
    is_cut: bool
    cancels: bool

    @property
    def duration_s(self) -> float:
        return self.waveform.shape[1] / self.sample_rate

    @property
    def is_silent(self) -> bool:
        return not self.cancels and float(self.waveform.abs().max()) < SILENT


@dataclass(frozen=True, kw_only=True, slots=True)
class Pairing:
    """stems: in every folder, sorted; empty where no two belong together. files: by folder and stem. samples: by folder and
    clip, the stems of its sounds where they have other names than the clip, or are several. exact: by folder, stems such as
    cat.s0 that are taken for the clip cat.s0, though there is a clip cat too. missing: by folder, names that are wanted or
    that another folder has. extra: by folder, files that the list of wanted names lacks. unused: by folder, names of files
    that are passed over, as they are no sound that can be read.
    """

    stems: tuple[str, ...]
    files: Mapping[str, Mapping[str, Path]]
    samples: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    exact: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    missing: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    extra: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    unused: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def sounds_of(self, folder: str, clip: str) -> tuple[str, ...]:
        """The stems of the clip's sounds in that folder."""
        return self.samples.get(folder, {}).get(clip, (clip,))


def find_sounds(folder: Path) -> dict[str, Path]:
    """Sounds, and films for their sound, right in `folder`, by stem. Raises InputError if there is none, if two have one
    stem, or if a name is no text.
    """
    # what `echoframe generate` leaves beside each other: the sound counts, not the film made of it
    found = _by_stem(folder, FILMS) | _by_stem(folder, SOUNDS)
    if not found:
        raise InputError(f"{folder}: there is no sound in it; expected files ending in {', '.join(SOUNDS + FILMS)}")
    return dict(sorted(found.items()))


def find_films(folder: Path) -> dict[str, Path]:
    """Films right in `folder`, by stem, whatever sounds lie there. Raises InputError if there is none, or two of a stem."""
    found = _by_stem(folder, FILMS)
    if not found:
        raise InputError(f"{folder}: there is no video in it; expected files ending in {', '.join(FILMS)}")
    return found


def _by_stem(folder: Path, suffixes: Sequence[str]) -> dict[str, Path]:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; give a folder of sound files or videos")
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.suffix.lower() not in suffixes or not path.is_file():
            continue
        if str(path).encode(errors="ignore").decode() != str(path):
            raise InputError(f"{ascii(str(path))}: is not UTF-8, expected a name that is text; rename it")
        if path.stem in found:
            other = found[path.stem].name
            raise InputError(f"{path}: {other} has the same stem; keep one of them, as pairs are found by stem")
        found[path.stem] = path
    return found


def _unused(folder: Path, stems: Collection[str]) -> tuple[str, ...]:
    return tuple(
        path.name.encode(errors="backslashreplace").decode()
        for path in sorted(folder.iterdir())
        if not (path.name.startswith(".") or path.suffix.lower() in WRITTEN or _is_known(path, stems))
    )


def _is_known(path: Path, stems: Collection[str]) -> bool:
    """Whether it is the sound or film that counts for its stem, or lies beside it."""
    return path.suffix.lower() in SOUNDS + FILMS and path.stem in stems and path.is_file()


def unpaired(folders: Mapping[str, Path]) -> Pairing:
    """Every sound of every folder, none belonging to another."""
    files = {name: find_sounds(folder) for name, folder in folders.items()}
    unused = {name: _unused(folder, files[name]) for name, folder in folders.items()}
    return Pairing(stems=(), files=files, unused=_not_empty(unused))


def pair(
    folders: Mapping[str, Path],
    *,
    wanted: Sequence[str] | None = None,
    films: Collection[str] = (),
    sampled: Collection[str] = (),
) -> Pairing:
    """The stems that all folders share; wanted: only these, if given. films: names of the folders that are searched for
    films, not for sounds. sampled: of those in which a clip may have several sounds. Raises InputError if fewer than one clip
    is left.
    """
    files = {name: (find_films if name in films else find_sounds)(folder) for name, folder in folders.items()}
    clips = set(wanted) if wanted is not None else set().union(*(some for n, some in files.items() if n not in sampled))
    sounds = {n: _by_clip(some, clips) if n in sampled else {s: (s,) for s in some} for n, some in files.items()}
    every = set(wanted) if wanted is not None else set().union(*sounds.values())
    stems = sorted(every.intersection(*sounds.values()))
    unused = {name: _unused(folder, files[name]) for name, folder in folders.items()}
    if not stems:
        counts = ", ".join(f"{folders[name]} has {len(some)}, as {min(some)}" for name, some in files.items())
        among = f" among the {len(every)} wanted" if wanted is not None else ""
        raise InputError(f"no file name is in every folder{among} ({counts}); pairs are found by stem")
    return Pairing(
        stems=tuple(stems),
        files=files,
        samples=_not_empty({n: {c: s for c, s in some.items() if s != (c,)} for n, some in sounds.items()}),
        exact=_not_empty({n: tuple(s for s in files[n] if s in clips and _clip_of(s) in clips) for n in sampled}),
        missing=_not_empty({name: tuple(sorted(every - set(some))) for name, some in sounds.items()}),
        extra=_not_empty(
            {
                n: tuple(sorted(s for c, own in some.items() if c not in every for s in own))
                for n, some in sounds.items()
            }
        ),
        unused=_not_empty(unused),
    )


def _not_empty(found: Mapping[str, Found]) -> dict[str, Found]:
    return {name: some for name, some in found.items() if some}


def _by_clip(stems: Collection[str], clips: Collection[str]) -> dict[str, tuple[str, ...]]:
    """The stems by the clip they belong to: NAME.sK to NAME, in the order of K, unless it is one of `clips` itself."""
    found: dict[str, list[str]] = {}
    for stem in sorted(stems, key=lambda stem: (_clip_of(stem) or stem, _number_of(stem))):
        found.setdefault(stem if stem in clips else _clip_of(stem) or stem, []).append(stem)
    return {clip: tuple(own) for clip, own in found.items()}


def _clip_of(stem: str) -> str:
    """The name before the number of a sample; "" if the stem has none."""
    found = _SAMPLE.fullmatch(stem)
    return found[1] if found else ""


def _number_of(stem: str) -> int:
    found = _SAMPLE.fullmatch(stem)
    return int(found[2]) if found else -1


def listen(path: Path, listening: Listening) -> Excerpt:
    """The sound at `path`, at its own sample rate. Raises AudioError for a file that is no sound, is empty, holds NaN, or is
    broken where it is heard.
    """
    mono, rate, is_cut, loudest = (_by_libav if path.suffix.lower() in BY_LIBAV else _by_libsndfile)(path, listening)
    if not mono.size:
        raise AudioError(f"{path}: holds no samples; give a sound that is not empty")
    if not np.isfinite(mono).all():
        raise AudioError(f"{path}: holds NaN or infinite samples; write the file again from its source")
    cancels = listening.channels == "mean" and loudest >= SILENT and float(np.abs(mono).max()) < CANCELLED * loudest
    if listening.centred:
        mono = mono - mono.mean(dtype=np.float64)
    waveform = torch.from_numpy(np.ascontiguousarray(mono, dtype=np.float32))[None]
    return Excerpt(waveform=waveform, sample_rate=rate, is_cut=is_cut, cancels=cancels)


def _by_libsndfile(path: Path, listening: Listening) -> tuple[np.ndarray, int, bool, float]:
    try:
        with soundfile.SoundFile(str(path)) as file:
            rate, n_whole = file.samplerate, file.frames
            wanted = n_samples(listening.clip_s, rate)
            samples = file.read(wanted, dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, OSError) as error:
        raise AudioError(f"{path}: cannot be read as a sound ({error}); write it again as WAV or FLAC") from error
    if len(samples) < min(wanted, n_whole) - MISSING_S * rate:
        raise _broken(path, f"breaks off at {len(samples) / rate:.1f} s of {n_whole / rate:.1f} s")
    mono = samples[:, 0] if listening.channels == "first" else samples.mean(axis=1, dtype=np.float64)
    return mono, rate, n_whole > wanted + MORE_S * rate, float(np.abs(samples).max(initial=0))


def _by_libav(path: Path, listening: Listening) -> tuple[np.ndarray, int, bool, float]:
    track = SoundTrack(listening.clip_s + MORE_S, channels=listening.channels)
    options = {"format_whitelist": CONTAINERS}
    try:
        with av.open(f"file:{path}", mode="r", container_options=options, metadata_errors="replace") as container:
            fault = fill_track(track, container, _sound_stream(container, path), path, heard_s=listening.clip_s)
    except (av.error.FFmpegError, OSError) as error:
        kind, better = ("video", "MP4 or WAV") if path.suffix.lower() in FILMS else ("sound", "WAV or FLAC")
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        raise AudioError(f"{path}: not a {kind} that can be read ({reason}); write it again as {better}") from error
    if fault:
        raise _broken(path, fault)
    return track.samples()[: n_samples(listening.clip_s, track.rate)], track.rate, track.is_full, track.loudest


def _sound_stream(container: InputContainer, path: Path) -> AudioStream:
    if not container.streams.audio:
        kinds = ", ".join(stream.type for stream in container.streams) or "nothing"
        raise AudioError(f"{path}: has no sound (only {kinds}); leave it out")
    stream = own_sound(container)
    if stream is None:
        raise AudioError(f"{path}: the codec of its sound is not known here; convert it to AAC or WAV")
    return stream


def _broken(path: Path, fault: str) -> AudioError:
    return AudioError(f"{path}: its sound {fault}; take the file from a copy, or leave it out")


def read_clips(path: Path) -> dict[str, str]:
    """Names and labels of a list of clips: CSV, or TSV by its suffix, NAME[,label] a row; a name's suffix does not count.

    A first row is a head if it is a known one, alone or before "label" or the like: a clip may be called "video". Raises
    InputError, with the line, for a row without a name or with more columns than the head, or two, and a clip of two labels.
    """
    rows = _rows(path)
    head = [cell.lower() for cell in rows[0][1]] if rows else []
    has_head = bool(head) and head[0] in HEADS and (len(head) == 1 or head[1] in LABEL_HEADS)
    columns = max(2, len(head)) if has_head else 2
    found: dict[str, str] = {}
    for line, cells in rows[1 if has_head else 0 :]:
        if len(cells) > columns:
            raise InputError(
                f"{path}, line {line}: {len(cells)} columns ({', '.join(cells)[:60]}), expected NAME,label; put a label that "
                "holds a comma in quotes"
            )
        name, label = _stem(cells[0]), cells[1] if len(cells) > 1 else ""
        if not name:
            raise InputError(f"{path}, line {line}: no name before its label ({label[:60]}); expected NAME,label")
        if found.setdefault(name, label) != label:
            raise InputError(
                f'{path}, line {line}: {name} is "{label}", but "{found[name]}" further up; keep one of the two labels'
            )
    if not found:
        raise InputError(f"{path}: lists no clip; expected rows of NAME,label")
    return found


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    """The line on which each row that is not blank begins, and its cells."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read ({error}); give a CSV file with rows of NAME,label") from error
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    reader, rows, line = csv.reader(io.StringIO(text), delimiter=delimiter, strict=True), [], 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            rows += [(line, cells)] if any(cells) else []
            line = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}, line {line}: not a row of a list ({error}); look at its quotes") from error
    return rows


def _stem(name: str) -> str:
    suffix = Path(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in SOUNDS + FILMS else name


def hash_of_names(names: Sequence[str]) -> str:
    """sha256 of the sorted names, a line each: which list of clips a figure was computed on.

    >>> hash_of_names(["b", "a"])[:8] == hash_of_names(["a", "b"])[:8]
    True
    """
    return hashlib.sha256("".join(f"{name}\n" for name in sorted(names)).encode()).hexdigest()
