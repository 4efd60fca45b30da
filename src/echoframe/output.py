"""Files and folders that are written whole or not at all, their sha256, and the sound formats by suffix.

This is the one place that makes temporary names: `.STEM.TOKEN.tmp.SUFFIX`, in the folder of the file they become.
"""

import contextlib
import errno
import hashlib
import io
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Float

from echoframe.errors import InputError, OutputError

# suffix: (libsndfile's format, subtype)
SOUND_FORMATS = {".wav": ("WAV", "PCM_16"), ".flac": ("FLAC", "PCM_16"), ".mp3": ("MP3", "MPEG_LAYER_III")}
LONGEST_NAME = 255  # bytes of a file's name, on the file systems of Linux and macOS

_PARTIAL = re.compile(r"\..+\.[0-9a-f]{8}\.tmp(\.[^.]*)?")


def file_sha256(path: Path) -> str:
    """The sha256 of the file at `path`, in hex. Raises InputError if it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); give a file that can be read") from error


def partial_path(final: Path) -> Path:
    """A temporary name for what becomes `final`: in the same folder, with the same suffix, another at each call."""
    stem, rest = final.stem, f".{secrets.token_hex(4)}.tmp{final.suffix}"
    while len(stem) > 1 and len(os.fsencode(f".{stem}{rest}")) > LONGEST_NAME:
        stem = stem[:-1]  # the final name may just be allowed
    return final.with_name(f".{stem}{rest}")


def check_name(path: Path) -> None:
    """Raises OutputError if the name of `path` is longer than file systems allow."""
    length = len(os.fsencode(path.name))
    if length > LONGEST_NAME:
        raise OutputError(
            f"{path}: its name would be {length} bytes long, expected at most {LONGEST_NAME}; give a shorter one with -o"
        )


def is_partial(path: Path) -> bool:
    """Whether the name of `path` is one that `partial_path` gives."""
    return _PARTIAL.fullmatch(path.name) is not None


def remove_partials(folder: Path) -> None:
    """Removes the files that a killed run left half written in `folder`. No other program may be writing into it."""
    for path in folder.glob(".*.tmp*"):
        if is_partial(path) and path.is_file():
            path.unlink(missing_ok=True)


@contextmanager
def replacing(finals: Sequence[Path]) -> Iterator[list[Path]]:
    """As `atomic_files`, for callers with words of their own: an OSError stays an OSError."""
    partials = [partial_path(path) for path in finals]
    try:
        yield partials
        for partial in partials:
            _flush(partial)
        for partial, final in zip(partials, finals, strict=True):
            os.replace(partial, final)
    finally:
        for partial in partials:
            with contextlib.suppress(OSError):
                partial.unlink()


@contextmanager
def atomic_files(finals: Sequence[Path]) -> Iterator[list[Path]]:
    """Temporary names, one per final path, in the same folder and with the same suffix, to write to.

    The folders are made where they are not there. When the block ends well, all are flushed to the disk and renamed in
    the order given; when it ends with any exception (Ctrl-C too), all are removed and the final paths are as before.
    Raises OutputError for an OSError.
    """
    try:
        for folder in {path.parent for path in finals}:
            folder.mkdir(parents=True, exist_ok=True)
        with replacing(finals) as partials:
            yield partials
    except OSError as error:
        raise OutputError(_describe(error, finals[0])) from error


@contextmanager
def atomic_folder(final: Path) -> Iterator[Path]:
    """A new folder beside `final` to fill, which becomes `final` if the block ends well and is removed if it does not.

    If the block makes `final` unnecessary, it removes the folder itself. An OSError stays one: of the rename too, where
    `final` is there and not empty.
    """
    partial = partial_path(final)
    try:
        partial.mkdir(parents=True)
        yield partial
        if partial.exists():
            os.rename(partial, final)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _describe(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{path}: the disk is full ({error.strerror}); nothing was written, free some space and try again"
    return f"{path}: cannot be written ({error.strerror or error}); choose another folder with -o"


def check_folder(folder: Path, *, option: str = "-o") -> None:
    """Raises OutputError unless files can be made in `folder`. Tries it: what the mode bits say can be untrue.

    option: with which another one is chosen.
    """
    if not folder.exists():
        raise OutputError(f"{folder}: no such output folder; make it first, or choose another with {option}")
    if not folder.is_dir():
        raise OutputError(f"{folder}: is a file, expected an output folder; choose another with {option}")
    trial = folder / f".echoframe-{secrets.token_hex(4)}.tmp"
    try:
        if not os.access(folder, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        trial.touch(exist_ok=False)
        trial.unlink()
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written to ({error.strerror}); choose another folder with {option}"
        ) from error


def check_place(folder: Path, *, option: str = "-o") -> None:
    """Raises OutputError unless `folder` can be written to, or, where it is not there yet, be made. Makes nothing."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    check_folder(there, option=option)


def make_folder(folder: Path, *, option: str = "-o") -> None:
    """Makes `folder`, and those above it, where it is not there. Raises OutputError unless files can be made in it."""
    check_place(folder, option=option)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be made a folder ({error.strerror}); choose another with {option}"
        ) from error


def check_sound_suffix(path: Path) -> None:
    """Raises OutputError unless the suffix of `path` is one of `SOUND_FORMATS`."""
    if path.suffix.lower() not in SOUND_FORMATS:
        known = ", ".join(SOUND_FORMATS)
        raise OutputError(
            f'{path}: suffix "{path.suffix}" is not a sound format that can be written; use one of {known}'
        )


def encode_sound(waveform: Float[np.ndarray, "channels samples"], sample_rate: int, *, suffix: str) -> bytes:
    """The bytes of a sound file: float32 (C, S) in [-1, 1], clipped -> 16-bit WAV or FLAC, or MP3, by `suffix`."""
    file_format, subtype = SOUND_FORMATS[suffix.lower()]
    samples = np.clip(waveform.T, -1.0, 1.0)
    if subtype == "PCM_16":
        samples = np.rint(samples * 32767.0).astype(np.int16)
    import soundfile  # only here: what writes weights needs no library of sounds

    # to memory first: libsndfile does not say that a disk is full, a plain write does
    buffer = io.BytesIO()
    try:
        soundfile.write(buffer, samples, sample_rate, format=file_format, subtype=subtype)
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip(" .")
        raise OutputError(f"sound at {sample_rate} Hz cannot be written as {suffix} ({reason}); use .wav") from error
    return buffer.getvalue()


def write_sound(path: Path, waveform: Float[np.ndarray, "channels samples"], sample_rate: int) -> None:
    """Writes float32 (C, S) in [-1, 1] to a sound file at `path`, whole or not at all; the suffix says the format."""
    check_sound_suffix(path)
    data = encode_sound(waveform, sample_rate, suffix=path.suffix)
    with atomic_files([path]) as (partial,):
        partial.write_bytes(data)
