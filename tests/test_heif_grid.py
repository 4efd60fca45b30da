"""Photographs in tiles, as iPhones write them: made here box by box, from tiles that libx265 encodes."""

import struct
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from echoframe.errors import VideoError
from echoframe.media.heif_grid import read_grid
from echoframe.media.video import probe, read_frames
from planted_video import head

SIDE = 64
RED, GREEN, BLUE, YELLOW, CYAN, PINK = COLOURS = (
    *((200, 0, 0), (0, 200, 0), (0, 0, 200)),
    *((200, 200, 0), (0, 200, 200), (200, 0, 200)),
)


def box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I4s", 8 + len(body), kind) + body


def full(kind: bytes, version: int, *parts: bytes) -> bytes:
    return box(kind, struct.pack(">I", version << 24), *parts)


def tile(folder: Path, colour: tuple[int, int, int]) -> tuple[bytes, bytes]:
    """The decoder's settings and the one packet of a picture of one colour."""
    path = folder / "tile.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx265", rate=1, options={"x265-params": "log-level=none:qp=4"})
        stream.width, stream.height, stream.pix_fmt = SIDE, SIDE, "yuv444p"
        frame = av.VideoFrame.from_ndarray(np.full((SIDE, SIDE, 3), colour, np.uint8), format="rgb24")
        frame.pts, frame.time_base = 0, Fraction(1)
        for packet in [*stream.encode(frame), *stream.encode(None)]:
            packet.pts = packet.dts = 0
            container.mux(packet)
    with av.open(str(path)) as container:
        return bytes(container.streams.video[0].codec_context.extradata or b""), bytes(next(container.demux(video=0)))


def photograph(tiles: list[tuple[bytes, bytes]], size: tuple[int, int], *, turn: bytes = b"") -> bytes:
    """A HEIC of two rows of three tiles. turn: a box that says how it is turned."""
    grid, numbers = len(tiles) + 1, range(1, len(tiles) + 1)
    properties = [*(box(b"hvcC", settings) for settings, _ in tiles)]
    properties += [full(b"ispe", 0, struct.pack(">II", *sides)) for sides in ((SIDE, SIDE), size)] + [turn]
    uses = [struct.pack(">HBBB", i, 2, 0x80 | i, grid) for i in numbers]
    own = (grid + 1, 0x80 | (grid + 2))[: 2 if turn else 1]
    uses.append(struct.pack(f">HB{len(own)}B", grid, len(own), *own))
    kinds = [*((i, b"hvc1") for i in numbers), (grid, b"grid")]
    parts = [
        full(b"hdlr", 0, struct.pack(">I4s13x", 0, b"pict")),
        full(b"pitm", 0, struct.pack(">H", grid)),
        full(
            b"iinf",
            0,
            struct.pack(">H", len(kinds)),
            *(full(b"infe", 2, struct.pack(">HH4sx", i, 0, kind)) for i, kind in kinds),
        ),
        full(b"iref", 0, box(b"dimg", struct.pack(f">{2 + len(tiles)}H", grid, len(tiles), *numbers))),
        box(b"iprp", box(b"ipco", *properties), full(b"ipma", 0, struct.pack(">I", len(uses)), *uses)),
        box(b"idat", struct.pack(">BBBBHH", 0, 0, 1, 2, *size)),
    ]

    def index(begin: int) -> bytes:
        places = [begin + sum(len(packet) for _, packet in tiles[:i]) for i in range(len(tiles))]
        rows = [
            struct.pack(">HHHHII", i, 0, 0, 1, place, len(packet))
            for i, place, (_, packet) in zip(numbers, places, tiles, strict=True)
        ]
        rows.append(struct.pack(">HHHHII", grid, 1, 0, 1, 0, 8))  # within idat
        return full(b"meta", 0, *parts, full(b"iloc", 1, struct.pack(">HH", 0x4400, len(rows)), *rows))

    first = box(b"ftyp", b"heic", struct.pack(">I", 0), b"mif1heic")
    begin = len(first) + len(index(0)) + 8
    return first + index(begin) + box(b"mdat", *(packet for _, packet in tiles))


@pytest.fixture(scope="module")
def tiles(tmp_path_factory) -> list[tuple[bytes, bytes]]:
    return [tile(tmp_path_factory.mktemp("tile"), colour) for colour in COLOURS]


def corners(path: Path, *, short_side: int) -> list[list[int]]:
    (image,) = read_frames(path, head(1, 1.0), short_side=short_side).images
    return [image[y, x].tolist() for y in (3, -3) for x in (3, -3)]


@pytest.mark.parametrize(
    ("turn", "size", "shown"),
    [
        (b"", (180, 100), (RED, BLUE, YELLOW, PINK)),
        (box(b"irot", b"\1"), (100, 180), (BLUE, PINK, RED, YELLOW)),
        (box(b"irot", b"\2"), (180, 100), (PINK, YELLOW, BLUE, RED)),
        (box(b"imir", b"\1"), (180, 100), (BLUE, RED, PINK, YELLOW)),
        (box(b"imir", b"\0"), (180, 100), (YELLOW, PINK, RED, BLUE)),
    ],
)
def test_a_photograph_in_tiles_is_seen_whole(turn, size, shown, tiles, tmp_path):
    path = tmp_path / "phone.heic"
    path.write_bytes(photograph(tiles, (180, 100), turn=turn))
    with av.open(str(path)) as container:  # each tile is a picture to libav
        assert len(container.streams.video) == len(COLOURS)
    info = probe(path)
    assert (info.is_still, info.width, info.height, info.video_codec) == (True, *size, "hevc")
    assert np.abs(np.array(corners(path, short_side=50)) - np.array(shown)).max() <= 4


def test_a_photograph_of_one_picture_is_no_grid(tiles, tmp_path):
    path = tmp_path / "one.heic"
    whole = photograph(tiles, (180, 100))
    path.write_bytes(whole.replace(b"grid\0", b"hvc1\0"))
    assert read_grid(path) is None
    path.write_bytes(whole[:28])
    assert read_grid(path) is None


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            b"\0\0\1\2\0\xb4",
            b"\0\0\1\3\0\xb4",
            r"index is broken \(2 x 4 tiles, 6 of them listed\); convert it to JPEG",
        ),
        (b"dimg", b"none", r"index is broken \(2 x 3 tiles, 0 of them listed\)"),
        (
            b"idat",
            b"none",
            r"is a photograph in tiles whose index is broken \(it has no idat\); convert it to JPEG, or",
        ),
        (b"\0\7\0\1\0\0\0\1", b"\0\x09\0\1\0\0\0\1", "it does not say where the grid is"),
        (b"\0\7\0\1\0\0\0\1\0\0\0\0\0\0\0\x08", b"\0\7\0\1\0\0\0\1\0\0\0\0\0\0\0\x03", "the box grid is cut off"),
        (b"\0\0\1\2\0\xb4", b"\0\0\1\2\1\xb4", r"of this photograph cannot be joined \(they do not cover it\); conv"),
    ],
)
def test_a_grid_that_is_broken_is_told(old, new, words, tiles, tmp_path):
    path, whole = tmp_path / "phone.heic", photograph(tiles, (180, 100))
    assert whole.count(old) == 1
    path.write_bytes(whole.replace(old, new))
    with pytest.raises(VideoError, match=words):
        read_frames(path, head(1, 1.0))


def test_tiles_that_cannot_be_joined_are_told(tiles, tmp_path):
    path = tmp_path / "phone.heic"
    path.write_bytes(photograph([*tiles[:-1], (tiles[-1][0], bytes(len(tiles[-1][1])))], (180, 100)))
    with pytest.raises(VideoError, match=r"tiles of this photograph cannot be joined \(1 of 6 cannot be decoded\)"):
        read_frames(path, head(1, 1.0))
