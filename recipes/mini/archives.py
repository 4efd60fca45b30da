"""The sound files inside the archives that Debian's packages carry, unpacked beside them: one function a format."""

import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

SOUNDS = (".ogg", ".oga", ".wav", ".flac", ".mp3", ".opus")
GROUP_HEAD, GROUP_ENTRY, GROUP_KEY = 204, 316, 237  # bytes, bytes, what each byte of the head is xored with
SAMPLE_HEAD = 46  # bytes of a sound font's sample header


class ArchiveError(Exception):
    """An archive that cannot be read; the text is one line."""


def unpack_zip(path: Path, out: Path) -> None:
    """The sounds of a zip (.zip, .pk3, .wz), in its own folders; music and voices are left."""
    with zipfile.ZipFile(path) as file:
        for name in file.namelist():
            if name.lower().endswith(SOUNDS) and "/music/" not in name:
                file.extract(name, out)


def unpack_group(path: Path, out: Path) -> None:
    """The sounds of an OpenClonk group (.ocg), groups inside it as folders.

    Format: openclonk `src/c4group/C4Group.h`: gzip with the magic bytes 1E 8C, then a scrambled head of 204 bytes
    (number of entries at 36), entries of 316 bytes (name, packed, child, size, reserved, offset), then the files.
    """
    packed = b"\x1f\x8b" + path.read_bytes()[2:]
    try:
        _unpack_entries(zlib.decompressobj(31).decompress(packed), out)
    except (zlib.error, struct.error) as error:
        raise ArchiveError(f"{path.name}: not an OpenClonk group ({error}); leave it out of the rules") from error


def _unpack_entries(group: bytes, out: Path) -> None:
    head = bytearray(byte ^ GROUP_KEY for byte in group[:GROUP_HEAD])
    for n in range(0, GROUP_HEAD - 2, 3):
        head[n], head[n + 2] = head[n + 2], head[n]
    (count,) = struct.unpack_from("<i", head, 36)
    base = GROUP_HEAD + count * GROUP_ENTRY
    for n in range(count):
        entry = group[GROUP_HEAD + n * GROUP_ENTRY :][:GROUP_ENTRY]
        name = Path(entry[:260].split(b"\0")[0].decode("latin-1")).name
        child, size, _, offset = struct.unpack_from("<4i", entry, 264)
        content = group[base + offset : base + offset + size]
        if child:
            _unpack_entries(content, out / name)
        elif name.lower().endswith(SOUNDS):
            out.mkdir(parents=True, exist_ok=True)
            (out / name).write_bytes(content)


def unpack_sound_font(path: Path, out: Path) -> None:
    """Every sample of a SoundFont 2 (.sf2) as a WAV file of its name; a stereo sample is two, (L) and (R).

    Format: SoundFont technical specification 2.01, section 7.10: `shdr` has 46 bytes a sample, `smpl` is 16-bit PCM.
    """
    data = path.read_bytes()
    heads, samples = _chunk(data, b"shdr", path), _chunk(data, b"smpl", path)
    pcm = np.frombuffer(samples[: len(samples) // 2 * 2], "<i2")
    out.mkdir(parents=True)
    for n in range(len(heads) // SAMPLE_HEAD - 1):  # the last one ends the list
        head = heads[n * SAMPLE_HEAD :][:SAMPLE_HEAD]
        name = head[:20].split(b"\0")[0].decode("latin-1").replace(" ", "_").replace("/", "_")
        start, end, _, _, rate = struct.unpack_from("<5I", head, 20)
        soundfile.write(out / f"{name}.wav", pcm[start:end], rate)


def _chunk(data: bytes, name: bytes, path: Path) -> bytes:
    place = data.find(name)
    if not data.startswith(b"RIFF") or place < 0:
        raise ArchiveError(f"{path.name}: not a sound font; leave it out of the rules")
    (size,) = struct.unpack_from("<I", data, place + 4)
    return data[place + 8 : place + 8 + size]


UNPACK: dict[str, Callable[[Path, Path], None]] = {
    ".zip": unpack_zip,
    ".pk3": unpack_zip,
    ".wz": unpack_zip,
    ".ocg": unpack_group,
    ".sf2": unpack_sound_font,
}
