"""Many files read and encoded: by Ray Data on a laptop or a cluster, or in one plain loop. Both call the same code.

A *row* is a plain dictionary of numbers, text and bytes: what travels between Ray's processes. The rows that come back
are in the order of those that went in; one is missing only if its process died whenever it was tried.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from echoframe.data.decode import Clip, as_file, read_clip
from echoframe.data.embedding_set import Failure, Row
from echoframe.data.encode import ClipEncoder, EncoderChoice
from echoframe.errors import EchoFrameError, InputError
from echoframe.media.stills import check_file
from echoframe.spec import ClipSpec

# a clip on its way between processes: plain values, which Ray can send
ClipFields = dict[str, Any]
WAVE = 10_000  # rows given to Ray at once: neither its memory nor ours grows with their number
DIED = "the process that worked on it died each time"
THREADS = 4  # of an encoder on CPUs: more do not go faster for one clip
_NO_FRAMES = {"images": b"", "height": 0, "width": 0, "mask": b"", "sound": b"", "rate": 0}
_NO_NUMBERS = {"visual": b"", "mask": b"", "audio": b"", "duration_s": 0.0}


@dataclass(frozen=True, kw_only=True, slots=True)
class DecodeOptions:
    """How clips are decoded. short_side: pixels. threads: of one decoder, 0 is one per core."""

    spec: ClipSpec
    short_side: int
    with_sound: bool
    threads: int = 0

    @property
    def clip_bytes(self) -> int:
        """The size of a decoded clip of 16:9, about."""
        return self.spec.n_frames * self.short_side**2 * 16 // 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """What is done with a row {n, ...}; what goes wrong has to be in the row that comes back, under the same n.

    read: row -> row, on CPUs. encoder: a class that is made with `arguments`, and whose objects do row -> row, on_gpu or
    not. row_bytes: the size of a row between the two, about. threads: of an encoder on CPUs, at most.
    """

    read: Callable[[ClipFields], ClipFields]
    encoder: type[Any]
    arguments: tuple[Any, ...]
    row_bytes: int
    on_gpu: bool
    threads: int = THREADS


@dataclass(frozen=True, kw_only=True, slots=True)
class Pool:
    """What Ray is asked for. *_cpus, gpus: of one decoder or encoder. threads: of one encoder."""

    decoders: int
    decoder_cpus: float
    encoders: int
    encoder_cpus: float
    gpus: float
    threads: int


def plan_pool(node_cpus: Sequence[float], *, gpus: int, workers: int | None, threads: int = THREADS) -> Pool:
    """As many encoders as GPUs, and a decoder on each core; without a GPU the cores are shared half and half.

    threads: of an encoder on CPUs, at most.

    An idle decoder costs nothing: it waits until the encoders have taken what it made.

    >>> plan_pool([8.0], gpus=0, workers=None)
    Pool(decoders=8, decoder_cpus=0.5, encoders=2, encoder_cpus=2.0, gpus=0.0, threads=4)
    >>> plan_pool([1.0, 1.0], gpus=0, workers=None)
    Pool(decoders=2, decoder_cpus=0.5, encoders=2, encoder_cpus=0.5, gpus=0.0, threads=1)
    >>> plan_pool([16.0], gpus=1, workers=None)
    Pool(decoders=16, decoder_cpus=1.0, encoders=1, encoder_cpus=0.0, gpus=1.0, threads=4)
    """
    cores = [max(int(cpus), 1) for cpus in node_cpus if cpus > 0] or [1]
    decoders = workers or sum(cores)
    if gpus:
        share = min(1.0, sum(cores) / decoders)
        return Pool(decoders=decoders, decoder_cpus=share, encoders=gpus, encoder_cpus=0.0, gpus=1.0, threads=THREADS)
    smallest = min(cores)
    threads = smallest // math.ceil(smallest / threads)
    return Pool(
        decoders=decoders,
        decoder_cpus=math.floor(min(1.0, sum(cores) / 2 / decoders) * 1e4) / 1e4,
        encoders=sum(n // threads for n in cores),
        encoder_cpus=threads / 2,
        gpus=0.0,
        threads=threads,
    )


def decode_row(row: ClipFields, options: DecodeOptions) -> ClipFields:
    """One clip's frames and sound: {n, path, offset, size} -> {n, stage, reason, images, ...}; stage "" is no failure."""
    path, stage = Path(row["path"]), "read"
    shown = path
    try:
        if row["offset"] < 0:
            check_file(path)
            stage = "decode"
            clip = _read_clip(path, options)
        else:
            with path.open("rb") as file:
                file.seek(row["offset"])
                data = file.read(row["size"])
            if len(data) < row["size"]:
                raise InputError(f"{path}: ends within this clip; fetch or pack it again")
            stage = "decode"
            with as_file(data, suffix=".mp4") as shown:
                clip = _read_clip(shown, options)
    except Exception as error:  # libav and its wrapper raise of every kind for a damaged film: a row, not a crash
        return {"n": row["n"], **_failed(stage, error, shown), **_NO_FRAMES, "duration_s": 0.0}
    height, width = clip.images.shape[1:3]
    return {
        "n": row["n"],
        **_failed("", None, path),
        "images": clip.images.tobytes(),
        "height": height,
        "width": width,
        "mask": clip.mask.tobytes(),
        "sound": clip.sound.tobytes(),
        "rate": clip.sample_rate,
        "duration_s": clip.duration_s,
    }


def _read_clip(path: Path, options: DecodeOptions) -> Clip:
    return read_clip(
        path, options.spec, short_side=options.short_side, with_sound=options.with_sound, threads=options.threads
    )


class RowEncoder:
    """{n, stage, reason, images, ...} -> {n, stage, reason, visual, mask, audio, duration_s}."""

    def __init__(self, choice: EncoderChoice) -> None:
        self._encode = ClipEncoder(choice)

    def __call__(self, row: ClipFields) -> ClipFields:
        """The row's embeddings; one that failed already passes."""
        head = {name: row[name] for name in ("n", "stage", "reason")}
        if row["stage"]:
            return head | _NO_NUMBERS
        mask = np.frombuffer(row["mask"], dtype=bool)
        images = np.frombuffer(row["images"], dtype=np.uint8).reshape(len(mask), row["height"], row["width"], 3)
        sound = np.frombuffer(row["sound"], dtype=np.float32)
        clip = Clip(images=images, mask=mask, sound=sound, sample_rate=row["rate"], duration_s=row["duration_s"])
        try:
            found = self._encode(clip)
        except Exception as error:  # out of memory, a sound that is no number: a row, not a crash
            return head | _failed("encode", error, None) | _NO_NUMBERS
        return head | {
            "visual": found.visual.tobytes(),
            "mask": found.mask.tobytes(),
            "audio": found.audio.tobytes(),
            "duration_s": found.duration_s,
        }


def _failed(stage: str, error: Exception | None, path: Path | None) -> ClipFields:
    words = " ".join(str(error).split()) if error is not None else ""
    if error is not None and not isinstance(error, EchoFrameError):
        words = f"{type(error).__name__}: {words}"
    return {"stage": stage, "reason": words.removeprefix(f"{path}: ")[:300]}


def to_result(row: ClipFields, key: str) -> Row | Failure:
    """What a row that came back says."""
    if row["stage"]:
        return Failure(key=key, stage=row["stage"], reason=row["reason"])
    mask = np.frombuffer(row["mask"], dtype=bool)
    return Row(
        visual=np.frombuffer(row["visual"], dtype=np.float16).reshape(len(mask), -1),
        mask=mask,
        audio=np.frombuffer(row["audio"], dtype=np.float32),
        duration_s=row["duration_s"],
    )


def run_plain(rows: Sequence[ClipFields], steps: Steps) -> Iterator[ClipFields]:
    """Every row through both steps, one after the other, in this process."""
    encode = steps.encoder(*steps.arguments)
    for row in rows:
        yield encode(steps.read(row))


def in_order(rows: Iterator[ClipFields], n_rows: int) -> Iterator[ClipFields | None]:
    """The row of each n from 0 to `n_rows` - 1; None for one that did not come back, because its process died."""
    row = next(rows, None)
    for n in range(n_rows):
        if row is not None and row["n"] == n:
            yield row
            row = next(rows, None)
        else:
            yield None
