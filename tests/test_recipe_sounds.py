"""The recipe's labelled sounds from packages: rules, archives, trimming, cutting, copies, splits, the manifest, errors."""

import csv
import gzip
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import soundfile

RATE = 44_100


@pytest.fixture
def sounds(recipe):
    import fetch_sounds

    return fetch_sounds


def tone(seconds: float, hertz: float = 440, rate: int = RATE) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate: int = RATE) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate)


def fake_package(folder: Path) -> None:
    data = folder / "usr/share/games/zoo"
    write(data / "duck1.wav", tone(0.5, 700))
    write(data / "duck2.wav", np.stack([tone(0.3, 900, 22_050)] * 2, axis=1), 22_050)  # stereo, another rate
    write(data / "copy of duck1.wav", tone(0.5, 700))
    write(data / "silent.wav", np.zeros(RATE, np.float32))
    for n in range(5):
        write(data / f"step{n}.wav", tone(0.2 + 0.01 * n, 300 + n))
    write(data / "river.flac", tone(25))
    write(data / "bell.wav", tone(1, 2000))
    (data / "broken.wav").write_bytes(b"no sound")


def test_rules_make_labelled_pieces_of_a_package(sounds, tmp_path, capsys):
    fake_package(tmp_path / "in")
    rules = [
        sounds.Rule("zoo", "*/duck?.wav", "duck quacking"),
        sounds.Rule("zoo", "*/*.flac", "stream burbling"),
        sounds.Rule("zoo", "*/step*.wav", "footsteps on snow", limit=4, join=2),
        sounds.Rule("zoo", "*duck*.wav", "goose honking"),  # duck1 and duck2 are taken
        sounds.Rule("zoo", "*/*.wav", "anything"),
    ]
    rows = sounds.read_package(rules, tmp_path / "in", tmp_path / "out")
    by_recording: dict[str, list[dict]] = {}
    for row in rows:
        by_recording.setdefault(row["recording"], []).append(row)
    assert {name: rows[0]["label"] for name, rows in by_recording.items()} == {
        "zoo/duck1": "duck quacking",
        "zoo/duck2": "duck quacking",
        "zoo/river": "stream burbling",
        "zoo/step1": "footsteps on snow",  # with step2; step0 is the shortest of five
        "zoo/step3": "footsteps on snow",
        "zoo/copy of duck1": "goose honking",
        "zoo/bell": "anything",  # the silent and the broken file are not
    }
    assert [row["duration_s"] for row in by_recording["zoo/river"]] == [10, 10]
    assert by_recording["zoo/step1"][0]["duration_s"] == pytest.approx(0.21 + 0.05 + 0.22, abs=0.02)
    assert "left out" in capsys.readouterr().out
    for row in rows:
        samples, rate = soundfile.read(tmp_path / "out" / row["file"])
        assert rate == RATE
        assert samples.ndim == 1
        assert len(samples) / RATE == pytest.approx(row["duration_s"], abs=0.01)
        assert np.abs(samples).max() == pytest.approx(0.9, abs=0.1)  # Vorbis overshoots
    kept = sounds.without_copies(rows)
    assert [row["recording"] for row in rows if row not in kept] == ["zoo/copy of duck1"]
    assert len([row for row in kept if row["recording"] == "zoo/river"]) == 2


def test_what_one_voice_said_is_one_recording_of_many_files(sounds, tmp_path):
    fake_package(tmp_path / "in")
    rule = sounds.Rule("zoo", "*/step*.wav", "female speech, woman speaking", recording="Ann")
    rows = sounds.read_package([rule], tmp_path / "in", tmp_path / "out")
    assert len({row["file"] for row in rows}) == 5
    assert {row["recording"] for row in rows} == {"zoo/Ann"}
    assert len({row["split"] for row in sounds.add_splits(rows, [])}) == 1


def test_silence_at_the_ends_is_cut_off_and_long_sounds_are_cut_in_pieces(sounds):
    pause = np.zeros(RATE, np.float32)
    trimmed = sounds.trim(np.concatenate([pause, tone(0.5), pause, tone(0.5), pause]))
    assert len(trimmed) / RATE == pytest.approx(2 + 0.04, abs=0.01)
    assert len(sounds.trim(pause)) == len(sounds.trim(pause[:0])) == len(sounds.trim(tone(1) * 1e-3)) == 0
    assert [len(piece) for piece in sounds.cut(np.zeros(13 * RATE))] == [13 * RATE]
    assert [len(piece) for piece in sounds.cut(np.zeros(14 * RATE))] == [10 * RATE]
    pieces = sounds.cut(np.arange(200 * RATE))
    assert [len(piece) for piece in pieces] == [10 * RATE] * 8
    assert pieces[0][0] == 0
    assert pieces[-1][-1] == 200 * RATE - 1


def test_a_recording_is_in_one_split_and_few_recordings_are_all_train(sounds):
    rows = [{"label": "dog barking", "recording": f"zoo/{n}"} for n in range(2000)] * 2
    rows += [{"label": "owl hooting", "recording": f"zoo/owl{n}"} for n in range(4)]
    rows += [{"label": "whale calling", "recording": f"zoo/whale{n}"} for n in range(4)]
    split = sounds.add_splits(rows, [{"label": "whale calling", "recording": "elsewhere/whale"}])
    of = {row["recording"]: row["split"] for row in split}
    assert all(of[row["recording"]] == row["split"] for row in split)
    shares = [sum(of[f"zoo/{n}"] == name for n in range(2000)) / 2000 for name in ("train", "val", "test")]
    assert shares == pytest.approx([0.8, 0.08, 0.12], abs=0.03)
    assert {of[f"zoo/owl{n}"] for n in range(4)} == {"train"}
    assert [of[f"zoo/whale{n}"] for n in range(4)] == [sounds.split_of(f"zoo/whale{n}") for n in range(4)]


def resources(files: dict[str, bytes]) -> bytes:
    """A Qt resource file of format 1, zlib-compressed, all files at its root."""
    names, blobs, nodes = b"", b"", struct.pack(">IHII", 0, 2, len(files), 1)
    for name, content in files.items():
        packed = struct.pack(">I", len(content)) + zlib.compress(content)
        nodes += struct.pack(">IHHHI", len(names), 1, 0, 1, len(blobs))
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
        blobs += struct.pack(">I", len(packed)) + packed
    tree = 20
    return (
        struct.pack(">4sIIII", b"qres", 1, tree, tree + len(nodes), tree + len(nodes) + len(blobs))
        + nodes
        + blobs
        + names
    )


def test_archives_inside_a_package_become_folders(sounds, tmp_path):
    (tmp_path / "farm.rcc").write_bytes(resources({"duck.ogg": b"quack", "pig.ogg": b"oink"}))
    (tmp_path / "set.cat").write_bytes(struct.pack("<IIII", 16, 4, 24, 5) + b"\x03abc" + b"RIFF" + b"\x02de" + b"RIFFx")
    with zipfile.ZipFile(tmp_path / "base.wz", "w") as file:
        file.writestr("audio/gun.ogg", b"bang")
    sounds.unpack_archives(tmp_path)
    assert (tmp_path / "base.wz/audio/gun.ogg").read_bytes() == b"bang"
    assert (tmp_path / "farm.rcc/pig.ogg").read_bytes() == b"oink"
    assert (tmp_path / "farm.rcc/duck.ogg").read_bytes() == b"quack"
    assert (tmp_path / "set.cat/00.wav").read_bytes() == b"RIFF"
    assert (tmp_path / "set.cat/01.wav").read_bytes() == b"RIFFx"
    (tmp_path / "bad.rcc").write_bytes(b"x" * 40)
    with pytest.raises(sounds.SoundsError, match="bad.rcc.archive: not a Qt resource file"):
        sounds.unpack_archives(tmp_path)
    (tmp_path / "evil").write_bytes(resources({"../out.ogg": b""}))
    with pytest.raises(sounds.SoundsError, match="is outside of the resource file"):
        sounds.unpack_resources(tmp_path / "evil", tmp_path / "safe")


def group(files: dict[str, bytes], folders: dict[str, bytes]) -> bytes:
    """An OpenClonk group, not yet packed: a scrambled head, entries, files."""
    head = bytearray(204)
    struct.pack_into("<i", head, 36, len(files) + len(folders))
    for n in range(0, 202, 3):
        head[n], head[n + 2] = head[n + 2], head[n]
    entries, content = b"", b""
    for name, blob in (files | folders).items():
        entry = bytearray(316)
        entry[: len(name)] = name.encode()
        struct.pack_into("<5i", entry, 260, 0, int(name in folders), len(blob), 0, len(content))
        entries, content = entries + bytes(entry), content + blob
    return bytes(byte ^ 237 for byte in head) + entries + content


def test_sounds_in_zips_groups_and_sound_fonts_are_found(sounds, tmp_path):
    import archives

    with zipfile.ZipFile(tmp_path / "public.zip", "w") as file:
        for name in ("audio/cow.ogg", "audio/music/song.ogg", "art/tree.png"):
            file.writestr(name, b"x")
    inner = group({"Bark.wav": b"woof"}, {})
    packed = gzip.compress(group({"Rain.ogg": b"drops", "Icon.png": b"x"}, {"Dog.ocg": inner}))
    (tmp_path / "Sound.ocg").write_bytes(b"\x1e\x8c" + packed[2:])
    pcm = np.arange(100, dtype="<i2").tobytes()
    heads = b"".join(
        name.ljust(20, b"\0") + struct.pack("<5I", start, start + 50, 0, 0, 22_050) + bytes(6)
        for name, start in ((b"Dog Bark", 0), (b"Rain(L)", 50), (b"EOS", 0))
    )
    chunks = b"smpl" + struct.pack("<I", len(pcm)) + pcm + b"shdr" + struct.pack("<I", len(heads)) + heads
    (tmp_path / "font.sf2").write_bytes(b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"sfbk" + chunks)
    sounds.unpack_archives(tmp_path)
    found = sorted(
        p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.*") if p.is_file() and p.suffix != ".archive"
    )
    assert found == [
        "Sound.ocg/Dog.ocg/Bark.wav",
        "Sound.ocg/Rain.ogg",
        "font.sf2/Dog_Bark.wav",
        "font.sf2/Rain(L).wav",
        "public.zip/audio/cow.ogg",
    ]
    assert (tmp_path / "Sound.ocg/Dog.ocg/Bark.wav").read_bytes() == b"woof"
    samples, rate = soundfile.read(tmp_path / "font.sf2/Rain(L).wav", dtype="int16")
    assert rate == 22_050
    assert samples.tolist() == list(range(50, 100))
    (tmp_path / "bad.sf2").write_bytes(b"no font")
    with pytest.raises(archives.ArchiveError, match="bad.sf2: not a sound font; leave it out of the rules"):
        archives.unpack_sound_font(tmp_path / "bad.sf2", tmp_path / "x")
    (tmp_path / "bad.ocg").write_bytes(b"no group")
    with pytest.raises(archives.ArchiveError, match="bad.ocg: not an OpenClonk group .*; leave it out"):
        archives.unpack_group(tmp_path / "bad.ocg", tmp_path / "x")


def test_rules_that_cannot_be_used_are_named(sounds, tmp_path, monkeypatch):
    fake_package(tmp_path / "in")
    with pytest.raises(
        sounds.SoundsError, match=r"^zoo: rule '\*/cow.wav' \(cow lowing\): no file of the package matches"
    ):
        sounds.read_package([sounds.Rule("zoo", "*/cow.wav", "cow lowing")], tmp_path / "in", tmp_path)
    with pytest.raises(
        sounds.SoundsError, match=r"^zoo: rule '\*/silent.wav' \(wind noise\): no file is left that can be"
    ):
        sounds.read_package([sounds.Rule("zoo", "*/silent.wav", "wind noise")], tmp_path / "in", tmp_path)
    with pytest.raises(sounds.SoundsError, match="zoo: rule .* has no licence in sound_packages.csv; add its row"):
        sounds.make([sounds.Rule("zoo", "*", "x")], {"zoo": ""}, tmp_path, [])
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(sounds.SoundsError, match="zoo: apt-get is not here; run this on Debian"):
        sounds.fetch_package("zoo", tmp_path / "debs")
    (tmp_path / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate package zoo' >&2\nexit 100\n")
    (tmp_path / "apt-get").chmod(0o755)
    with pytest.raises(sounds.SoundsError, match="zoo: apt-get cannot download the package: E: Unable to locate"):
        sounds.fetch_package("zoo", tmp_path / "debs")


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="needs dpkg-deb")
def test_a_manifest_of_a_package_is_made_once_and_whole(sounds, tmp_path, monkeypatch, capsys):
    fake_package(tmp_path / "in")
    (tmp_path / "in/DEBIAN").mkdir()
    (tmp_path / "in/DEBIAN/control").write_text(
        "Package: zoo\nVersion: 1\nArchitecture: all\nMaintainer: nobody <a@b.c>\nDescription: x\n"
    )
    debs = tmp_path / "work/sounds/debs"
    debs.mkdir(parents=True)
    subprocess.run(["dpkg-deb", "-b", tmp_path / "in", debs / "zoo_1_all.deb"], check=True, capture_output=True)
    (tmp_path / "sound_packages.csv").write_text("package,licence,attribution\nzoo,CC0,nobody\n")
    rules = tmp_path / "sounds.csv"
    rules.write_text(
        '# a comment\npackage,pattern,label,limit,join,recording\nzoo,*/duck?.wav,duck quacking,,,\nzoo,*.flac,"a, b",,,\n'
    )
    monkeypatch.setattr(sounds, "HERE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["fetch_sounds.py", "--work", str(tmp_path / "work"), "--rules", str(rules)])
    assert sounds.main() == 0
    manifest = tmp_path / "work/sounds/manifest.csv"
    with manifest.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert list(rows[0]) == sounds.COLUMNS
    assert [(row["label"], row["recording"], row["licence"], row["split"]) for row in rows] == [
        ("a, b", "zoo/river", "CC0", "train"),
        ("a, b", "zoo/river", "CC0", "train"),
        ("duck quacking", "zoo/duck1", "CC0", "train"),
        ("duck quacking", "zoo/duck2", "CC0", "train"),
    ]
    assert all((manifest.parent / row["file"]).is_file() for row in rows)
    assert sorted(path.name for path in manifest.parent.iterdir()) == ["audio", "debs", "manifest.csv", "rows"]

    first = manifest.read_text()
    monkeypatch.setattr(sounds, "read_package", None)  # nothing is read again
    assert sounds.main() == 0
    assert manifest.read_text() == first
    monkeypatch.undo()

    monkeypatch.setattr(sounds, "HERE", tmp_path)
    monkeypatch.setattr(sys, "argv", ["fetch_sounds.py", "--work", str(tmp_path / "work"), "--rules", str(rules)])
    rules.write_text("package,pattern,label\nzoo,*/cow.wav,cow lowing\n")
    capsys.readouterr()
    assert sounds.main() == 2
    assert capsys.readouterr().err == "sounds: zoo: rule '*/cow.wav' (cow lowing): no file of the package matches\n"
    assert manifest.read_text() == first


def test_the_recipes_own_tables_name_every_package_and_no_rule_twice(sounds, recipe):
    rules = sounds.read_rules(recipe / "sounds.csv")
    licences = {row["package"]: row["licence"] for row in sounds.read_rows(recipe / "sound_packages.csv")}
    sounds.check_packages(rules, licences)
    assert {rule.package for rule in rules} == set(licences)
    assert len({(rule.package, rule.pattern) for rule in rules}) == len(rules)
