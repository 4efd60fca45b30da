"""Photographs in tiles, as iPhones write them: a HEIC or AVIF whose picture is a grid of smaller ones (ISO/IEC 23008-12).

libav gives each tile as a stream of its own, whose id is that of the tile's item, and PyAV does not say where it lies.
"""

import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, cast

import av.error
import numpy as np
from av.video.frame import VideoFrame
from jaxtyping import UInt8

from echoframe.errors import VideoError
from echoframe.media.demux import open_video

_FULL = 4  # bytes: version and flags of a full box
_MOST_BYTES = 1 << 24  # of a photograph's index
_INSTEAD = "convert it to JPEG, or save it again"


class Grid(NamedTuple):
    """Where the tiles lie. tiles: their items' numbers, row by row. width, height: of the whole, in pixels, before `turns`.

    turns: what makes the picture upright, in order: "left" is a quarter turn anticlockwise.
    """

    rows: int
    columns: int
    width: int
    height: int
    tiles: tuple[int, ...]
    turns: tuple[str, ...] = ()

    @property
    def shown_size(self) -> tuple[int, int]:
        """Width and height in pixels, upright."""
        return (self.height, self.width) if self.turns.count("left") % 2 else (self.width, self.height)


class _Box(NamedTuple):
    kind: bytes
    body: bytes

    def number(self, place: int, size: int) -> int:
        """The unsigned number of `size` bytes at `place`."""
        if not 0 <= place <= len(self.body) - size:
            raise ValueError(f"the box {self.kind.decode('latin-1')} is cut off")
        return int.from_bytes(self.body[place : place + size], "big")

    @property
    def version(self) -> int:
        return self.number(0, 1)

    def boxes(self, begin: int) -> Iterator["_Box"]:
        """The boxes in it from `begin` on."""
        while begin + 8 <= len(self.body):
            size, kind = struct.unpack_from(">I4s", self.body, begin)
            if size < 8:
                return
            yield _Box(kind, self.body[begin + 8 : begin + size])
            begin += size


def read_grid(path: Path) -> Grid | None:
    """How the tiles of the photograph at `path` lie; None where it is one picture, not a grid.

    Raises VideoError if it is a grid that cannot be read.
    """
    index = _index(path)
    if index is None:
        return None
    parts = {box.kind: box for box in index.boxes(_FULL)}
    try:
        main = parts[b"pitm"].number(_FULL, 4 if parts[b"pitm"].version else 2)
        if _kind_of(parts[b"iinf"], main) != b"grid":
            return None
        rows, columns, width, height = _shape(_data_of(path, parts, main))
        tiles = _tiles_of(parts[b"iref"], main)
        if len(tiles) != rows * columns:
            raise ValueError(f"{rows} x {columns} tiles, {len(tiles)} of them listed")
        return Grid(rows, columns, width, height, tiles, _turns_of(parts[b"iprp"], main))
    except (KeyError, ValueError) as error:
        why = f"it has no {error.args[0].decode()}" if isinstance(error, KeyError) else error
        raise VideoError(f"{path}: is a photograph in tiles whose index is broken ({why}); {_INSTEAD}") from error


def assemble(path: Path, grid: Grid) -> UInt8[np.ndarray, "height width 3"]:
    """The whole picture, upright: (H, W, 3) uint8 RGB. Raises VideoError if a tile is missing or cannot be decoded."""
    tiles = _decoded(path)
    found = [tiles[number] for number in grid.tiles if number in tiles]
    height, width = found[0].shape[:2] if found else (0, 0)
    missing = len(grid.tiles) - len(found)
    faults = {
        f"{missing} of {len(grid.tiles)} cannot be decoded": missing > 0,
        "they are not of one size": any(tile.shape[:2] != (height, width) for tile in found),
        "they do not cover it": grid.rows * height < grid.height or grid.columns * width < grid.width,
    }
    for fault in (words for words, is_true in faults.items() if is_true):
        raise VideoError(f"{path}: the tiles of this photograph cannot be joined ({fault}); {_INSTEAD}")
    rows = [np.concatenate(found[i : i + grid.columns], axis=1) for i in range(0, len(found), grid.columns)]
    picture = np.concatenate(rows)[: grid.height, : grid.width]
    for turn in grid.turns:
        picture = _TURNS[turn](picture)
    return np.ascontiguousarray(picture)


_TURNS = {"left": np.rot90, "top down": np.flipud, "mirrored": np.fliplr}


def _index(path: Path) -> _Box | None:
    """The box in which a photograph says of what it is made."""
    with path.open("rb") as file:
        while len(header := file.read(8)) == 8:
            size, kind = struct.unpack(">I4s", header)
            if size < 8:
                return None
            if kind == b"meta":
                return _Box(kind, file.read(min(size - 8, _MOST_BYTES)))
            file.seek(size - 8, 1)
    return None


def _kind_of(items: _Box, number: int) -> bytes:
    for item in items.boxes(_FULL + (4 if items.version else 2)):
        size = 4 if item.version == 3 else 2
        if item.kind == b"infe" and item.version >= 2 and item.number(_FULL, size) == number:
            return item.body[_FULL + size + 2 : _FULL + size + 6]
    return b""


def _tiles_of(references: _Box, number: int) -> tuple[int, ...]:
    size = 4 if references.version else 2
    for box in references.boxes(_FULL):
        if box.kind == b"dimg" and box.number(0, size) == number:
            return tuple(box.number(size + 2 + i * size, size) for i in range(box.number(size, 2)))
    return ()


def _turns_of(properties: _Box, number: int) -> tuple[str, ...]:
    parts = {box.kind: box for box in properties.boxes(0)}
    known, uses = list(parts[b"ipco"].boxes(0)), parts[b"ipma"]
    is_long, wide = uses.number(3, 1) & 1, 4 if uses.version else 2
    place = _FULL + 4
    for _ in range(uses.number(_FULL, 4)):
        item, count, each = uses.number(place, wide), uses.number(place + wide, 1), 2 if is_long else 1
        begin = place + wide + 1
        place = begin + count * each
        if item == number:
            numbers = [uses.number(begin + i * each, each) & (0x7FFF if is_long else 0x7F) for i in range(count)]
            return tuple(turn for n in numbers if 0 < n <= len(known) for turn in _turns(known[n - 1]))
    return ()


def _turns(box: _Box) -> tuple[str, ...]:
    if box.kind == b"irot":
        return ("left",) * (box.number(0, 1) & 3)
    if box.kind == b"imir":
        return ("mirrored",) if box.number(0, 1) & 1 else ("top down",)
    return ()


def _data_of(path: Path, parts: dict[bytes, _Box], number: int) -> _Box:
    """What the item holds: in a grid's, how many tiles there are."""
    places = parts[b"iloc"]
    sizes = places.number(_FULL, 2)
    of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if places.version == 2 else 2
    place = _FULL + 2 + wide
    for _ in range(places.number(_FULL + 2, wide)):
        item = places.number(place, wide)
        place += wide
        method = places.number(place, 2) & 15 if places.version else 0
        place += (2 if places.version else 0) + 2
        begin = places.number(place, of_base)
        n_parts = places.number(place + of_base, 2)
        place += of_base + 2
        step = (of_index if places.version else 0) + of_offset + of_length
        if item == number:
            place += step - of_offset - of_length
            begin += places.number(place, of_offset)
            length = places.number(place + of_offset, of_length)
            return _Box(b"grid", _bytes(path, parts, method, begin, length))
        place += n_parts * step
    raise ValueError("it does not say where the grid is")


def _bytes(path: Path, parts: dict[bytes, _Box], method: int, begin: int, length: int) -> bytes:
    if method == 1:
        return parts[b"idat"].body[begin : begin + length]
    with path.open("rb") as file:
        file.seek(begin)
        return file.read(min(length, 64))


def _shape(data: _Box) -> tuple[int, int, int, int]:
    """Rows, columns, and the width and height of the whole, in pixels."""
    size = 4 if data.number(1, 1) & 1 else 2
    return data.number(2, 1) + 1, data.number(3, 1) + 1, data.number(4, size), data.number(4 + size, size)


def _decoded(path: Path) -> dict[int, np.ndarray]:
    """The first picture of each stream that can be decoded, by the stream's id: (H, W, 3) uint8 RGB."""
    found: dict[int, np.ndarray] = {}
    with open_video(path) as (container, _):
        for packet in container.demux(container.streams.video):
            # of the last packets, which only empty the decoders, the stream alone is known
            number = packet.stream.id
            with suppress(av.error.FFmpegError):  # a tile that is missing is told
                for frame in cast(list[VideoFrame], packet.decode()) if number not in found else ():
                    found[number] = frame.to_ndarray(format="rgb24")
    return found
