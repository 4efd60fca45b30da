"""Stills: PNG, JPEG (with its EXIF orientation), WebP, BMP and TIFF, by Pillow; and the size any image is scaled to.

HEIC and AVIF photographs count as stills too; the decoder of films reads them.
"""

import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from echoframe.errors import InputError, VideoError
from echoframe.media.heif import is_heif

PICTURE_SUFFIXES = frozenset({".avif", ".bmp", ".heic", ".heif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
_FORMATS = ("BMP", "GIF", "JPEG", "PNG", "TIFF", "WEBP")
_SIGNATURES = (b"BM", b"GIF8", b"\xff\xd8\xff", b"\x89PNG", b"II*\0", b"MM\0*", b"RIFF")
_ANIMATED = ("GIF", "PNG", "WEBP")  # of a TIFF with more than one page, the first is taken
_MAX_ASPECT = 32  # beyond this a frame of 224 pixels on its short side would fill the memory
# all of these were seen to leave Pillow's readers on files that were cut off or altered
BROKEN = (
    *(OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError),
    *(struct.error, zlib.error, Image.DecompressionBombError),
)


def check_file(path: Path) -> None:
    """Raises InputError unless `path` is a file that may be read and is not empty."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise InputError(f"{path}: is a folder; give the path of a video or a still image in it")
        if not stat.S_ISREG(mode):
            raise InputError(f"{path}: is a pipe or device; save it as a file first")
        with path.open("rb") as file:
            empty = not file.read(1)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: no such file; give the path of a video or a still image") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check its permissions and its name") from error
    if empty:
        raise VideoError(f"{path}: is empty (0 bytes); copy or download it again")


def is_picture(path: Path) -> bool:
    """Whether the file at `path` is one still image, by what it holds, not by its name. False if it cannot be read."""
    if is_heif(path):
        return True
    try:
        with path.open("rb") as file:
            if not file.read(8).startswith(_SIGNATURES):
                return False
        with Image.open(path, formats=_FORMATS):
            return not moves(path)
    except BROKEN:
        return False


def moves(path: Path) -> bool:
    """Whether the picture at `path` is an animation of more than one image. False if it cannot be read."""
    try:
        with Image.open(path, formats=_ANIMATED) as image:
            return getattr(image, "n_frames", 1) > 1
    except BROKEN:
        return False


def reason_of(error: BaseException) -> str:
    """The first line of what Pillow says."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def picture_info(path: Path) -> tuple[int, int, str]:
    """Width and height in pixels as shown (after EXIF orientation) and the format's name ("png") of a still."""
    with _open_picture(path) as image:
        transposed = image.getexif().get(0x0112, 1) >= 5  # EXIF orientations 5 to 8 swap the sides
        width, height = image.size[::-1] if transposed else image.size
        return width, height, (image.format or "").lower()


def read_picture(path: Path, *, short_side: int) -> UInt8[np.ndarray, "height width 3"]:
    """The still at `path`: (H, W, 3) uint8 RGB, EXIF orientation applied, on black, scaled to `short_side` pixels.

    Raises VideoError if it is broken or cut off.
    """
    width, height, _ = picture_info(path)
    size = scaled_size(width, height, short_side=short_side, path=path)
    with _open_picture(path) as image:
        image.draft("RGB", (max(size), max(size)))  # a large JPEG is decoded at a half, a quarter or an eighth
        upright = ImageOps.exif_transpose(image)
        if upright.mode.startswith("I;16"):  # convert("RGB") would clip 16 bits at 255
            upright = Image.fromarray((np.asarray(upright) >> 8).astype(np.uint8))
        scaled = upright.convert("RGBA").resize(size, Image.Resampling.BICUBIC)
        shown = Image.alpha_composite(Image.new("RGBA", size, "black"), scaled)
        return np.array(shown.convert("RGB"))


@contextmanager
def _open_picture(path: Path) -> Iterator[Image.Image]:
    try:
        with Image.open(path, formats=_FORMATS) as image:
            yield image
    except BROKEN as error:
        raise VideoError(
            f"{path}: cannot be read as a still image ({reason_of(error)}); save or download it again"
        ) from error


def check_shape(width: int, height: int, path: Path) -> None:
    """Raises VideoError for a picture that is too narrow or flat to be looked at."""
    short, long = min(width, height), max(width, height)
    if short < 1 or long > _MAX_ASPECT * short:
        raise VideoError(
            f"{path}: {width} x {height} pixels are too narrow or flat for a picture; "
            f"expected sides of at most {_MAX_ASPECT} to 1"
        )


def scaled_size(width: int, height: int, *, short_side: int, path: Path) -> tuple[int, int]:
    """`width` x `height` scaled, up or down, so that the shorter side is `short_side` pixels.

    >>> scaled_size(1280, 720, short_side=224, path=Path("clip.mp4"))
    (398, 224)
    """
    check_shape(width, height, path)
    scaled = round(max(width, height) * short_side / min(width, height))
    return (short_side, scaled) if width <= height else (scaled, short_side)
