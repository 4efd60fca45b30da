"""The chunks of a WAV file that say something: its header's promise, the broadcast extension (bext) and iXML.

RIFF, RF64 and BW64 (EBU Tech 3285 and 3306). The file is not trusted: sizes are checked, and iXML has no entities.
"""

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO
from xml.parsers import expat

from echoframe.library.recording import MISSING_S

_MOST_CHUNKS = 1000
_MOST_TEXT = 1 << 20  # bytes of a chunk of text
_OPEN_ENDED = (0, 0xFFFFFFFF)  # written to a pipe, or 64-bit sizes elsewhere
# iXML's field, as its path: what it is called here
_IXML = {
    "NOTE": "note",
    "SCENE": "scene",
    "BEXT/BWF_DESCRIPTION": "description",
    "USER/DESCRIPTION": "description",
    "USER/KEYWORDS": "keywords",
    "USER/CATEGORY": "category",
    "USER/SUBCATEGORY": "subcategory",
    "USER/CATID": "catid",
    "USER/FXNAME": "title",
    "ASWG/DESCRIPTION": "description",
    "ASWG/CATEGORY": "category",
    "ASWG/SUBCATEGORY": "subcategory",
    "ASWG/CATID": "catid",
    "ASWG/FXNAME": "title",
    "ASWG/NOTES": "note",
    "STEINBERG/DESCRIPTION": "description",
    "STEINBERG/CATEGORY": "category",
}


def riff_words(path: Path) -> dict[str, str]:
    """What the bext and iXML chunks of a WAV say, by field; nothing for another file, or where they are damaged."""
    found: dict[str, str] = {}
    try:
        with path.open("rb") as file:
            for name, size in _chunks(file):
                if name == b"bext":
                    found.setdefault("description", text_of(file.read(min(size, 256))))
                elif name == b"iXML":
                    for field, value in ixml_words(file.read(min(size, _MOST_TEXT))).items():
                        found.setdefault(field, value)
    except OSError:
        return {}
    return {field: value for field, value in found.items() if value}


def riff_lie(path: Path) -> str:
    """What is wrong with the sizes in the header of a WAV, in words; "" if nothing is, or if it is another file."""
    bytes_a_second = 0
    try:
        with path.open("rb") as file:
            for name, size in _chunks(file):
                if name == b"fmt " and size >= 16:
                    bytes_a_second = struct.unpack("<HHIIHH", file.read(16))[3]
                elif name == b"data" and size not in _OPEN_ENDED:
                    there = os.fstat(file.fileno()).st_size - file.tell()
                    if bytes_a_second and size - there > MISSING_S * bytes_a_second:
                        return (
                            f"its header promises {size / bytes_a_second:.1f} s, {max(there, 0) / bytes_a_second:.1f} s "
                            "are there; copy it again"
                        )
    except (OSError, struct.error):
        return ""
    return ""


def _chunks(file: BinaryIO) -> Iterator[tuple[bytes, int]]:
    """The name and size of each chunk; the file stands at its first byte."""
    head = file.read(12)
    if head[:4] not in (b"RIFF", b"RF64", b"BW64") or head[8:] != b"WAVE":
        return
    place, long_size = 12, 0
    for _ in range(_MOST_CHUNKS):
        file.seek(place)
        header = file.read(8)
        if len(header) < 8:
            return
        name, size = header[:4], struct.unpack("<I", header[4:])[0]
        if name == b"ds64":
            sizes = file.read(16)
            long_size = struct.unpack("<QQ", sizes)[1] if len(sizes) == 16 else 0
            file.seek(place + 8)
        elif name == b"data" and size == 0xFFFFFFFF and long_size:
            size = long_size
        yield name, size
        place += 8 + size + size % 2


def text_of(data: bytes) -> str:
    """Text of a fixed length, up to its first zero, in UTF-8 or else Latin-1."""
    data = data.split(b"\0", 1)[0]
    try:
        return data.decode("utf-8").strip()
    except UnicodeDecodeError:
        return data.decode("latin-1").strip()


def ixml_words(data: bytes) -> dict[str, str]:
    """What an iXML document says, by field; as far as it can be read. A document with a DTD is not read at all."""
    found: dict[str, str] = {}
    places: list[str] = []
    texts: list[str] = []
    parser = expat.ParserCreate()

    def begin(name: str, _: dict[str, str]) -> None:
        places.append(name.upper())
        texts.clear()

    def end(_: str) -> None:
        field = _IXML.get("/".join(places[1:]))
        text = " ".join("".join(texts).split())
        if field and text:
            found.setdefault(field, text)
        places.pop()
        texts.clear()

    def refuse(*_: object) -> None:
        found.clear()
        raise _HasDtdError  # entities are declared there: a few can be made to stand for gigabytes

    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler = texts.append
    parser.StartDoctypeDeclHandler = refuse
    try:
        parser.Parse(data.rstrip(b"\0 \r\n\t"), True)
    except (expat.ExpatError, _HasDtdError, LookupError, ValueError):
        return found
    return found


class _HasDtdError(Exception):
    """The document declares something."""
