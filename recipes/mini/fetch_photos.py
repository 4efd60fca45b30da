"""Photographs to measure with (measure.py --photos): those of GCompris that photos.csv names, out of Debian's package.

Writes WORK/photos: the pictures, photos.csv (file, label) and the package's copyright file; all of it or nothing. Needs
apt-get and dpkg-deb; a second run does nothing. The package's WebP becomes JPEG, since figures were first measured on
these: straight from WebP, 7 of the 65 would be of another first ImageNet class to EfficientNet-Lite0.

photos.csv: file (resource file of the package, then the path in it), label (the sound to hear), sha256 (its first 16
digits, of the WebP), note (author, licence). Notes come from the README files beside the pictures: 52 are public domain
or CC0, the others CC BY or CC BY-SA; debian/copyright still names pictures of older versions. None is kept in this
repository. The photograph that the demo is made from is not in the list.
"""

import argparse
import csv
import hashlib
import io
import shutil
import struct
import subprocess
import tempfile
import zlib
from pathlib import Path, PurePosixPath

from PIL import Image

HERE = Path(__file__).parent
PACKAGE = "gcompris-qt-data"
VERSION = "3.1-2"  # the one photos.csv was written from
RESOURCES = "usr/share/gcompris-qt/rcc"
COPYRIGHT = f"usr/share/doc/{PACKAGE}/copyright"
QUALITY = 92  # of the JPEGs
ZLIB, FOLDER, ZSTD = 1, 2, 4  # flags of an entry


class ResourceFile:
    """A Qt resource file (.rcc) of version 1, 2 or 3. files: the path of every file in it -> (flags, where it starts).

    All numbers are big-endian. Header: "qres", version, offsets of the tree, the data and the names. Entry of the tree:
    offset of its name (u32), flags (u16), then of a folder how many children and the number of the first (u32 each), of
    a file country, language (u16 each) and offset of its data (u32); since version 2 a time (u64). Entry 0 is the root.
    Name: length (u16), hash (u32), UTF-16. Data: length (u32), bytes; with zlib these begin with the unpacked length.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.content = path, path.read_bytes()
        if self.content[:4] != b"qres":
            found = f"begins with {self.content[:4]!r}" if self.content else "is empty"
            raise SystemExit(f'photos: {path}: {found}, expected a Qt resource file ("qres"); fetch {PACKAGE} again')
        try:
            version, self._tree, self._data, self._names = struct.unpack_from(">4I", self.content, 4)
            if version not in (1, 2, 3):
                raise SystemExit(f"photos: {path}: version {version}, expected 1, 2 or 3; use {PACKAGE} {VERSION}")
            self._entry_size = 14 if version == 1 else 22
            self.files = self._walk()
        except (struct.error, UnicodeDecodeError, ValueError) as error:
            raise self._broken("its tree") from error

    def _walk(self) -> dict[str, tuple[int, int]]:
        files, folders = {}, [(0, "")]
        while folders:
            number, path = folders.pop()
            count, first = struct.unpack_from(">II", self.content, self._tree + number * self._entry_size + 6)
            if count and first <= number:
                raise ValueError("a folder before its parent")  # would go round in circles
            for child in range(first, first + count):
                start = self._tree + child * self._entry_size
                name, flags = struct.unpack_from(">IH", self.content, start)
                inside = f"{path}{self._name(name)}"
                if flags & FOLDER:
                    folders.append((child, f"{inside}/"))
                else:
                    (offset,) = struct.unpack_from(">I", self.content, start + 10)
                    files[inside] = flags, self._data + offset
        return files

    def _name(self, offset: int) -> str:
        start = self._names + offset
        (length,) = struct.unpack_from(">H", self.content, start)
        return self.content[start + 6 : start + 6 + 2 * length].decode("utf-16-be")

    def _broken(self, part: str) -> SystemExit:
        return SystemExit(f"photos: {self.path}: {part} is cut off or altered; fetch {PACKAGE} again")

    def read(self, name: str) -> bytes:
        """The file `name`, unpacked."""
        if name not in self.files:
            raise SystemExit(
                f"photos: {self.path.name}: {len(self.files)} files and no {name}, expected one; use {PACKAGE} {VERSION}"
            )
        flags, start = self.files[name]
        try:
            (length,) = struct.unpack_from(">I", self.content, start)
            stored = self.content[start + 4 : start + 4 + length]
            if len(stored) < length:
                raise self._broken(name)
            if flags & ZSTD:
                return self._unpack_zstd(name, stored)
            return zlib.decompress(stored[4:]) if flags & ZLIB else stored
        except (struct.error, zlib.error) as error:
            raise self._broken(name) from error

    def _unpack_zstd(self, name: str, stored: bytes) -> bytes:
        program = shutil.which("zstd")
        if program is None:
            raise SystemExit(f"photos: {name}: is packed with zstd, and there is no zstd program; apt-get install zstd")
        done = subprocess.run([program, "-dcq"], input=stored, capture_output=True)
        if done.returncode:
            raise self._broken(name)
        return done.stdout


def read_list(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def name_of(file: str) -> str:
    """What a listed file is called in WORK/photos: erase.rcc/gcompris/.../bee.webp is erase__bee.jpg."""
    resource, *_, name = PurePosixPath(file).parts
    return f"{PurePosixPath(resource).stem}__{PurePosixPath(name).stem}.jpg"


def collect(package: Path, listed: list[dict[str, str]], out: Path) -> None:
    """Writes the listed photographs of the extracted `package`, their photos.csv and its copyright file into `out`."""
    out.mkdir()
    resources: dict[str, ResourceFile] = {}
    for row in listed:
        resource, _, inside = row["file"].partition("/")
        if resource not in resources:
            path = package / RESOURCES / resource
            if not path.is_file():
                raise SystemExit(
                    f"photos: {PACKAGE} has no {RESOURCES}/{resource}, expected one; use version {VERSION}"
                )
            resources[resource] = ResourceFile(path)
        picture = resources[resource].read(inside)
        digits = hashlib.sha256(picture).hexdigest()[:16]
        if digits != row["sha256"]:
            raise SystemExit(
                f"photos: {row['file']}: sha256 begins {digits}, expected {row['sha256']}; use {PACKAGE} {VERSION}"
            )
        with Image.open(io.BytesIO(picture)) as image:
            image.convert("RGB").save(out / name_of(row["file"]), "JPEG", quality=QUALITY)
    shutil.copyfile(package / COPYRIGHT, out / "copyright")
    with (out / "photos.csv").open("w", newline="") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(("file", "label"))
        table.writerows((name_of(row["file"]), row["label"]) for row in listed)


def is_complete(folder: Path, listed: list[dict[str, str]]) -> bool:
    """Whether `folder` holds the listed photographs. False if there is none; anything else in its place is an error."""
    if not folder.exists():
        return False
    wanted = [{"file": name_of(row["file"]), "label": row["label"]} for row in listed]
    found = sum((folder / row["file"]).is_file() for row in wanted)
    same = (folder / "photos.csv").is_file() and read_list(folder / "photos.csv") == wanted
    if not same or found < len(wanted):
        state = "the same" if same else "another or no"
        raise SystemExit(
            f"photos: {folder}: {found} photographs and {state} photos.csv, expected {len(wanted)} and the same; "
            "delete the folder and start again"
        )
    return True


def run(*command: str, folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise SystemExit(f"photos: no program {command[0]} here, expected Debian's; run it on Debian") from error
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        raise SystemExit(f"photos: {' '.join(command)}: {reason}; apt-get update, then start again")


def download(folder: Path) -> Path:
    """Debian's package, downloaded and extracted in `folder`."""
    run("apt-get", "download", "--quiet", PACKAGE, folder=folder)
    packages = sorted(folder.glob("*.deb"))
    if len(packages) != 1:
        raise SystemExit(
            f"photos: apt-get left {len(packages)} packages, expected {PACKAGE}; apt-get update, start again"
        )
    run("dpkg-deb", "-x", packages[0].name, "package", folder=folder)
    return folder / "package"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    work = parser.parse_args().work
    listed = read_list(HERE / "photos.csv")
    out = work / "photos"
    if is_complete(out, listed):
        print(f"photos: {len(listed)} photographs are in {out}", flush=True)
        return
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="photos.", dir=work) as folder:
        temporary = Path(folder)
        collect(download(temporary), listed, temporary / "photos")
        (temporary / "photos").rename(out)
    print(f"photos: {len(listed)} photographs of {PACKAGE} -> {out}", flush=True)


if __name__ == "__main__":
    main()
