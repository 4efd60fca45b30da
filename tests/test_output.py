"""Files whole or not at all, formats by suffix."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echoframe.errors import InputError, OutputError
from echoframe.output import (
    atomic_files,
    atomic_folder,
    check_folder,
    encode_sound,
    file_sha256,
    is_partial,
    make_folder,
    partial_path,
    remove_partials,
    replacing,
    write_sound,
)

TONE = (0.5 * np.sin(np.arange(16_000) * 0.3)).astype(np.float32)[None]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_all_files_appear_together(tmp_path):
    with atomic_files([tmp_path / "a.wav", tmp_path / "a.json"]) as (one, two):
        assert (one.suffix, two.suffix) == (".wav", ".json")
        one.write_bytes(b"1")
        two.write_bytes(b"2")
        assert not (tmp_path / "a.wav").exists()
    assert names(tmp_path) == ["a.json", "a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"1"


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError, SystemExit])
def test_any_way_out_but_the_end_leaves_everything_as_it_was(tmp_path, failure):
    (tmp_path / "a.wav").write_bytes(b"before")

    def write_and_fail() -> None:
        with atomic_files([tmp_path / "a.wav", tmp_path / "b.wav"]) as (one, two):
            one.write_bytes(b"half")
            two.write_bytes(b"half")
            raise failure

    with pytest.raises(failure):
        write_and_fail()
    assert names(tmp_path) == ["a.wav"]
    assert (tmp_path / "a.wav").read_bytes() == b"before"


@pytest.mark.parametrize(
    ("number", "words"),
    [(errno.ENOSPC, "the disk is full"), (errno.EFBIG, "the disk is full"), (errno.EROFS, "cannot be written")],
)
def test_the_system_says_no(tmp_path, monkeypatch, number, words):
    def refuse(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OutputError, match=rf"a.wav: {words} \({os.strerror(number)}\)"):
        write_sound(tmp_path / "a.wav", TONE, 16_000)
    assert names(tmp_path) == []


def test_a_file_that_was_never_written_is_an_error(tmp_path):
    def write_one_of_two() -> None:
        with atomic_files([tmp_path / "a.wav", tmp_path / "b.wav"]) as (one, _):
            one.write_bytes(b"1")

    with pytest.raises(OutputError, match="cannot be written"):
        write_one_of_two()
    assert names(tmp_path) == []


@pytest.mark.parametrize(("suffix", "tolerance"), [(".wav", 1.1 / 32767), (".FLAC", 1.1 / 32767), (".mp3", 0.05)])
def test_formats_come_back(tmp_path, suffix, tolerance):
    path = tmp_path / f"tone{suffix}"
    write_sound(path, TONE, 16_000)
    samples, rate = soundfile.read(path, dtype="float32")
    assert (rate, len(samples)) == (16_000, 16_000)
    inner = slice(1000, -1000)  # MP3 rings at both ends
    assert np.abs(samples[inner] - TONE[0, inner]).max() < tolerance


def test_samples_beyond_one_are_clipped_and_not_wrapped(tmp_path):
    write_sound(tmp_path / "a.wav", np.array([[2.0, -3.0, 1.0]], dtype=np.float32), 8000)
    assert soundfile.read(tmp_path / "a.wav", dtype="int16")[0].tolist() == [32767, -32767, 32767]


def test_stereo_keeps_its_sides(tmp_path):
    write_sound(tmp_path / "a.wav", np.stack([TONE[0], -TONE[0]]), 16_000)
    assert soundfile.info(tmp_path / "a.wav").channels == 2


def test_what_cannot_be_written(tmp_path):
    with pytest.raises(OutputError, match='suffix ".ogg" is not a sound format that can be written'):
        write_sound(tmp_path / "a.ogg", TONE, 16_000)
    with pytest.raises(
        OutputError, match="12345 Hz cannot be written as .mp3 .*only supports sample rates.*; use .wav"
    ):
        encode_sound(TONE, 12_345, suffix=".mp3")


def test_folders_are_tried(tmp_path):
    check_folder(tmp_path)
    assert names(tmp_path) == []
    with pytest.raises(OutputError, match="none: no such output folder; make it first"):
        check_folder(tmp_path / "none")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: is a file, expected an output folder; choose another with out"):
        make_folder(tmp_path / "file" / "below", option="out")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()
    with pytest.raises(OutputError, match="file: is a file, expected an output folder"):
        check_folder(tmp_path / "file")


def test_a_folder_that_cannot_be_made(tmp_path, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.EDQUOT, "Quota exceeded")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(OutputError, match=r"new: cannot be made a folder \(Quota exceeded\); choose another with -o"):
        make_folder(tmp_path / "new")


def test_a_folder_that_cannot_be_written_to(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere: mode bits would not stop it
    with pytest.raises(OutputError, match=r"cannot be written to \(Permission denied\)"):
        check_folder(tmp_path)


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs a folder that nobody may write to")
def test_a_folder_whose_mode_bits_lie():
    with pytest.raises(OutputError, match="proc: cannot be written to"):
        check_folder(Path("/proc"))


def test_the_sha256_of_a_file(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")  # the example of FIPS 180-4
    assert file_sha256(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    with pytest.raises(InputError, match=r"b: cannot be read \(No such file .*\); give a file that can be read"):
        file_sha256(tmp_path / "b")


def test_what_a_killed_run_left_is_known_by_its_name_and_removed(tmp_path):
    half = partial_path(tmp_path / "model.safetensors")
    assert half.parent == tmp_path
    assert half.suffix == ".safetensors"
    others = [".hidden", "a.tmp", ".a.tmp.tar", ".mine.0123abcd.tmp", "model.safetensors"]
    for path in (half, *(tmp_path / name for name in others)):
        path.touch()
    assert is_partial(half)
    assert not is_partial(tmp_path / ".a.tmp.tar")
    remove_partials(tmp_path)
    assert names(tmp_path) == sorted(set(others) - {".mine.0123abcd.tmp"})


def test_words_of_its_own_for_what_the_system_says(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", refuse)

    def write() -> None:
        with replacing([tmp_path / "a.txt"]) as (partial,):
            partial.write_text("half")

    with pytest.raises(OSError, match="No space left"):
        write()
    assert names(tmp_path) == []


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    with atomic_folder(tmp_path / "new") as partial:
        (partial / "a").touch()
        assert names(tmp_path) == [partial.name]
    assert names(tmp_path / "new") == ["a"]

    def fill(failure: Exception | None) -> None:
        with atomic_folder(tmp_path / "new") as partial:
            (partial / "b").touch()
            if failure:
                raise failure

    with pytest.raises(OSError, match="not empty"):
        fill(None)
    with pytest.raises(ValueError, match="half way"):
        fill(ValueError("half way"))
    with atomic_folder(tmp_path / "new") as partial:
        partial.rmdir()  # not needed after all
    assert names(tmp_path) == ["new"]
    assert names(tmp_path / "new") == ["a"]
