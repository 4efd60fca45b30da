"""Animated WebP, which libav cannot play: by Pillow, as an animated PNG that it can."""

import io
from functools import lru_cache
from pathlib import Path

from PIL import Image

from echoframe.errors import VideoError
from echoframe.media.stills import BROKEN, moves, reason_of


def is_animated_webp(path: Path) -> bool:
    """Whether the file at `path` is a WebP with more than one image, by what it holds."""
    try:
        with path.open("rb") as file:
            head = file.read(21)
    except OSError:
        return False
    # the extended header's animation bit: https://developers.google.com/speed/webp/docs/riff_container
    return head[:4] == b"RIFF" and head[8:16] == b"WEBPVP8X" and len(head) == 21 and bool(head[20] & 2) and moves(path)


def as_apng(path: Path) -> bytes:
    """The animation at `path` as the bytes of an animated PNG: no pixel and no time changes.

    Raises VideoError if it is broken or cut off.
    """
    found = path.stat()
    return _as_apng(path, found.st_size, found.st_mtime_ns)


@lru_cache(maxsize=1)  # a film is opened some times in a row
def _as_apng(path: Path, _size: int, _changed: int) -> bytes:
    images: list[Image.Image] = []
    durations: list[int] = []
    try:
        with Image.open(path, formats=("WEBP",)) as film:
            for number in range(getattr(film, "n_frames", 1)):
                film.seek(number)
                images.append(film.convert("RGBA"))
                durations.append(int(film.info.get("duration", 0)) or 100)  # what browsers make of 0 ms
        png = io.BytesIO()
        images[0].save(png, "PNG", save_all=True, append_images=images[1:], duration=durations, compress_level=1)
    except BROKEN as error:
        raise VideoError(
            f"{path}: cannot be read as an animation ({reason_of(error)}); save or download it again"
        ) from error
    return png.getvalue()
