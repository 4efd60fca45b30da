"""The recipe's photographs: Qt resource files made here, the list, the folder that is whole or not there."""

import csv
import hashlib
import io
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

RECIPE = Path(__file__).parents[1] / "recipes" / "mini"
PLAIN, ZLIB, FOLDER, ZSTD = 0, 1, 2, 4


def picture(colour: str) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (12, 8), colour).save(file, "WEBP", lossless=True)
    return file.getvalue()


PICTURE, SECOND = picture("red"), picture("blue")


@pytest.fixture
def photos(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPE))
    import fetch_photos

    yield fetch_photos
    del sys.modules["fetch_photos"]


def write_rcc(path: Path, tree: dict, version: int = 3) -> None:
    """tree: name -> a dictionary (a folder) or (flags, bytes as stored). Folders before what is in them, as rcc does."""
    size = 14 if version == 1 else 22
    entries: list[tuple[str, Any]] = [("", tree)]
    packed, names, data = b"", b"", b""
    for name, content in entries:  # grows while it is read
        packed += struct.pack(">I", len(names))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        if isinstance(content, dict):
            packed += struct.pack(">HII", FOLDER, len(content), len(entries))
            entries += content.items()
        else:
            flags, stored = content
            packed += struct.pack(">HHHI", flags, 0, 1, len(data))
            data += struct.pack(">I", len(stored)) + stored
        packed += bytes(size - 14)
    begin = 24 if version == 3 else 20
    header = b"qres" + struct.pack(">4I", version, begin, begin + len(packed), begin + len(packed) + len(data))
    path.write_bytes(header + bytes(begin - 20) + packed + data + names)


def deflated(content: bytes) -> tuple[int, bytes]:
    return ZLIB, struct.pack(">I", len(content)) + zlib.compress(content)


TREE = {
    "gcompris": {"erase": {"bee.webp": (PLAIN, PICTURE), "Öl.webp": (PLAIN, b"")}, "blue.webp": deflated(SECOND)},
    "top.txt": (PLAIN, b"top"),
}


def row(file: str, label: str, content: bytes) -> dict[str, str]:
    return {"file": file, "label": label, "sha256": hashlib.sha256(content).hexdigest()[:16], "note": "nobody, CC0"}


LISTED = [
    row("erase.rcc/gcompris/erase/bee.webp", "bee, wasp, etc. buzzing", PICTURE),
    row("erase.rcc/gcompris/blue.webp", "raining", SECOND),
]


@pytest.fixture
def package(tmp_path, photos):
    """What the package has when it is extracted."""
    folder = tmp_path / "package"
    (folder / photos.RESOURCES).mkdir(parents=True)
    (folder / photos.COPYRIGHT).parent.mkdir(parents=True)
    (folder / photos.COPYRIGHT).write_text("theirs\n")
    write_rcc(folder / photos.RESOURCES / "erase.rcc", TREE)
    return folder


@pytest.mark.parametrize("version", [1, 2, 3])
def test_a_resource_file_is_read_folder_by_folder(photos, tmp_path, version):
    write_rcc(tmp_path / "a.rcc", TREE, version)
    resource = photos.ResourceFile(tmp_path / "a.rcc")
    assert sorted(resource.files) == [
        "gcompris/blue.webp",
        "gcompris/erase/bee.webp",
        "gcompris/erase/Öl.webp",
        "top.txt",
    ]
    assert resource.read("gcompris/erase/bee.webp") == PICTURE
    assert resource.read("gcompris/erase/Öl.webp") == b""
    assert resource.read("gcompris/blue.webp") == SECOND
    assert resource.read("top.txt") == b"top"


@pytest.mark.skipif(shutil.which("zstd") is None, reason="no zstd program")
def test_zstd_is_unpacked_by_the_program_of_that_name(photos, tmp_path):
    packed = subprocess.run(["zstd", "-cq"], input=PICTURE, capture_output=True, check=True).stdout
    write_rcc(tmp_path / "a.rcc", {"good": (ZSTD, packed), "cut": (ZSTD, packed[:-3])})
    resource = photos.ResourceFile(tmp_path / "a.rcc")
    assert resource.read("good") == PICTURE
    with pytest.raises(SystemExit, match="cut is cut off or altered"):
        resource.read("cut")


def test_without_the_zstd_program_it_is_asked_for(photos, tmp_path, monkeypatch):
    write_rcc(tmp_path / "a.rcc", {"b": (ZSTD, b"anything")})
    monkeypatch.setattr(photos.shutil, "which", lambda name: None)
    with pytest.raises(SystemExit, match="b: is packed with zstd.*apt-get install zstd"):
        photos.ResourceFile(tmp_path / "a.rcc").read("b")


def circle(good: bytes) -> bytes:
    """The root as its own child."""
    return good[:34] + struct.pack(">I", 0) + good[38:]


@pytest.mark.parametrize(
    ("alter", "words"),
    [
        (lambda good: b"", "is empty, expected a Qt resource file"),
        (
            lambda good: b"RIFF" + good[4:],
            "begins with b'RIFF', expected a Qt resource file .*\"qres\".*fetch .* again",
        ),
        (lambda good: good[:4] + struct.pack(">I", 9) + good[8:], "version 9, expected 1, 2 or 3"),
        (lambda good: good[:10], "its tree is cut off"),
        (lambda good: good[:60], "its tree is cut off"),
        (circle, "its tree is cut off or altered"),
    ],
)
def test_a_file_that_is_no_good_resource_file_is_named(photos, tmp_path, alter, words):
    write_rcc(tmp_path / "a.rcc", TREE)
    (tmp_path / "a.rcc").write_bytes(alter((tmp_path / "a.rcc").read_bytes()))
    with pytest.raises(SystemExit, match=f"a.rcc: {words}") as error:
        photos.ResourceFile(tmp_path / "a.rcc")
    assert "\n" not in str(error.value)


def test_what_is_in_the_list_is_written_and_nothing_else(photos, package, tmp_path):
    photos.collect(package, LISTED, tmp_path / "out")
    written = {p.name for p in (tmp_path / "out").iterdir()}
    assert written == {"erase__bee.jpg", "erase__blue.jpg", "photos.csv", "copyright"}
    with Image.open(tmp_path / "out" / "erase__bee.jpg") as image:
        assert (image.format, image.size) == ("JPEG", (12, 8))
        red, green, blue = image.convert("RGB").resize((1, 1)).tobytes()
    assert red > 250
    assert max(green, blue) < 5
    assert (tmp_path / "out" / "photos.csv").read_text() == (
        'file,label\nerase__bee.jpg,"bee, wasp, etc. buzzing"\nerase__blue.jpg,raining\n'
    )
    assert photos.is_complete(tmp_path / "out", LISTED)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("zoo.rcc/bee.webp", PICTURE, "has no usr/share/gcompris-qt/rcc/zoo.rcc, expected one; use version 3.1-2"),
        ("erase.rcc/gcompris/cow.webp", PICTURE, "erase.rcc: 4 files and no gcompris/cow.webp, expected one; use"),
        ("erase.rcc/gcompris/erase/bee.webp", b"another", "bee.webp: sha256 begins .*, expected .*; use gcompris"),
    ],
)
def test_a_package_without_a_listed_photograph_is_refused(photos, package, tmp_path, file, content, words):
    with pytest.raises(SystemExit, match=words):
        photos.collect(package, [row(file, "cow lowing", content)], tmp_path / "out")


def call_main(photos, monkeypatch, tmp_path, download) -> Path:
    work = tmp_path / "work"
    monkeypatch.setattr(photos, "read_list", lambda path: LISTED if path.parent == RECIPE else read_csv(path))
    monkeypatch.setattr(photos, "download", download)
    monkeypatch.setattr(sys, "argv", ["fetch_photos.py", "--work", str(work)])
    photos.main()
    return work


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_a_second_run_downloads_nothing(photos, package, tmp_path, monkeypatch, capsys):
    work = call_main(photos, monkeypatch, tmp_path, lambda folder: package)
    assert [p.name for p in work.iterdir()] == ["photos"]
    assert "2 photographs of gcompris-qt-data" in capsys.readouterr().out
    call_main(photos, monkeypatch, tmp_path, lambda folder: pytest.fail("downloaded again"))
    (work / "photos" / "erase__bee.jpg").unlink()
    with pytest.raises(SystemExit, match="1 photographs and the same photos.csv, expected 2 .*delete the folder"):
        call_main(photos, monkeypatch, tmp_path, lambda folder: package)


def test_a_run_that_fails_leaves_nothing(photos, package, tmp_path, monkeypatch):
    write_rcc(package / photos.RESOURCES / "erase.rcc", {"gcompris": {"erase": TREE["gcompris"]["erase"]}})
    with pytest.raises(SystemExit, match="no gcompris/blue.webp"):
        call_main(photos, monkeypatch, tmp_path, lambda folder: package)
    assert list((tmp_path / "work").iterdir()) == []


def test_a_failed_program_is_told_with_its_last_line(photos, tmp_path):
    with pytest.raises(SystemExit, match="photos: sh -c .*: no network; apt-get update") as error:
        photos.run("sh", "-c", "echo first >&2; echo no network >&2; exit 3", folder=tmp_path)
    with pytest.raises(SystemExit, match="no program apt-none here.*on Debian"):
        photos.run("apt-none", folder=tmp_path)
    assert "\n" not in str(error.value)


def test_the_list_has_labels_of_the_table_and_not_the_demo(photos):
    listed = photos.read_list(RECIPE / "photos.csv")
    labels = {line.rsplit(",", 1)[0].strip('"') for line in (RECIPE / "labels.csv").read_text().splitlines()}
    assert {r["label"] for r in listed} <= labels
    assert len({photos.name_of(r["file"]) for r in listed}) == len(listed) == 65
    assert not [r for r in listed if "dog" in r["file"]]
    assert all(len(r["sha256"]) == 16 and r["note"] for r in listed)
