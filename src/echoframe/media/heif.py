"""Photographs as phones and browsers write them, HEIC and AVIF: which files are ones, by what they hold."""

from pathlib import Path

# major and compatible brands of still images and of sequences of them (ISO/IEC 23008-12, and AVIF's own)
_BRANDS = frozenset({b"avif", b"avis", b"heic", b"heim", b"heis", b"heix", b"hevc", b"hevx", b"mif1", b"msf1", b"miaf"})
_MOST_BOXES = 64  # a photograph has four or five


def is_heif(path: Path) -> bool:
    """Whether the file at `path` is one HEIC or AVIF image: it says so, and has no track that moves."""
    try:
        with path.open("rb") as file:
            head = file.read(12)
            if head[4:8] != b"ftyp" or head[8:12] not in _BRANDS:
                return False
            file.seek(0)
            for _ in range(_MOST_BOXES):
                header = file.read(8)
                size, kind = int.from_bytes(header[:4], "big"), header[4:8]
                if kind == b"moov":
                    return False
                if size < 8:  # the last box, one of 64 bits, or none: an image's own boxes are short
                    break
                file.seek(size - 8, 1)
    except OSError:
        return False
    return True
