"""What mux refuses, and that no half file stays when it fails."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import av.error
import numpy as np
import pytest
from PIL import Image

from echoframe.errors import EchoFrameError, InputError, OutputError, VideoError
from echoframe.media import mux as mux_module
from echoframe.media.mux import MUX_FORMATS, mux
from planted_video import as_nobody, write_video

RATE = 16_000


def tone(hz: float = 440.0, duration_s: float = 5.0, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(duration_s * RATE)) / RATE)).astype(np.float32)[None]


def test_video_that_the_container_cannot_hold(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mp4")
    with pytest.raises(VideoError, match=r"b\.webm: webm cannot hold h264 video; name it b\.mp4 instead"):
        mux(video, tone(), RATE, tmp_path / "b.webm")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
    old = write_video(tmp_path / "old.flv", codec="flv")
    with pytest.raises(VideoError, match=r"old\.flv: no container here can hold flv1 video and a sound; --reencode"):
        mux(old, tone(), RATE, tmp_path / "b.mp4")


def test_refused_arguments(tmp_path: Path) -> None:
    video, out = write_video(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    with pytest.raises(InputError, match=r"a waveform of shape \(3, 10\); expected \(1, samples\) or \(2, samples\)"):
        mux(video, np.zeros((3, 10), dtype=np.float32), RATE, out)
    with pytest.raises(InputError, match="the waveform holds NaN or infinite samples"):
        mux(video, np.full((1, 10), np.nan, dtype=np.float32), RATE, out)
    with pytest.raises(InputError, match="sample_rate is 0; expected a positive number"):
        mux(video, tone(), 0, out)
    with pytest.raises(InputError, match="original_level_db is nan; expected decibels"):
        mux(video, tone(), RATE, out, original_level_db=float("nan"))
    with pytest.raises(InputError, match=r'cannot write "\.avi"; choose \.mp4'):
        mux(video, tone(), RATE, tmp_path / "b.avi")
    with pytest.raises(InputError, match="would overwrite the video it is made from"):
        mux(video, tone(), RATE, tmp_path / "sub" / ".." / "a.mp4" if (tmp_path / "sub").mkdir() else video)
    (tmp_path / "link.mp4").symlink_to(video)
    with pytest.raises(InputError, match="would overwrite the video it is made from"):
        mux(video, tone(), RATE, tmp_path / "link.mp4")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file: is a file, expected an output folder"):
        mux(video, tone(), RATE, tmp_path / "file" / "b.mp4")
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(OutputError, match=r"folder\.mp4: is a folder"):
        mux(video, tone(), RATE, tmp_path / "folder.mp4")
    with pytest.raises(InputError, match=r"gone\.mp4: no such file"):
        mux(tmp_path / "gone.mp4", tone(), RATE, out)
    Image.new("RGB", (8, 8)).save(tmp_path / "still.png")
    with pytest.raises(InputError, match=r"still\.png: is a still image; expected a video"):
        mux(tmp_path / "still.png", tone(), RATE, out)
    assert not out.exists()
    assert set(MUX_FORMATS) == {".mp4", ".m4v", ".mov", ".mkv", ".webm"}


def _disk_full(video: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (8_000, before[1]))
    try:
        mux(video, tone(), RATE, out)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def _rename_fails(video: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(source: Path, target: Path) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "replace", fail)
    mux(video, tone(), RATE, out)


def _stopped(video: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packets = mux_module._packets

    def stop(*args: object) -> object:
        yield next(packets(*args))  # type: ignore[arg-type]
        raise KeyboardInterrupt

    monkeypatch.setattr(mux_module, "_packets", stop)
    mux(video, tone(), RATE, out)


@pytest.mark.parametrize(
    ("failure", "error", "match"),
    [
        (_disk_full, OutputError, r"b\.mp4: cannot be written \(file too large\); check the disk's space"),
        (_rename_fails, OutputError, r"b\.mp4: cannot be written \(Input/output error\)"),
        (_stopped, KeyboardInterrupt, "^$"),
    ],
)
@pytest.mark.parametrize("old", [None, b"the file of last time"])
def test_no_half_file_stays(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    failure: Callable[[Path, Path, pytest.MonkeyPatch], None],
    error: type[BaseException],
    match: str,
    old: bytes | None,
) -> None:
    video, out = write_video(tmp_path / "a.mp4"), tmp_path / "b.mp4"
    if old is not None:
        out.write_bytes(old)
    with pytest.raises(error, match=match):
        failure(video, out, monkeypatch)
    assert {path.name for path in tmp_path.iterdir()} == ({"a.mp4"} if old is None else {"a.mp4", "b.mp4"})
    assert old is None or out.read_bytes() == old


def test_folder_that_may_not_be_written(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    write_video(tmp_path / "a.mp4").chmod(0o644)
    (tmp_path / "out").chmod(0o555)
    with as_nobody(tmp_path), pytest.raises(OutputError, match=r"b\.mp4: cannot be written \(permission denied\)"):
        mux(Path("a.mp4"), tone(), RATE, Path("out/b.mp4"))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".avi"])
def test_cut_off_anywhere(tmp_path: Path, suffix: str) -> None:
    codec = "mpeg4" if suffix == ".avi" else "libx264"
    path = write_video(
        tmp_path / f"whole{suffix}", codec=codec, n_frames=12, tone_hz=None if suffix == ".avi" else 440.0
    )
    whole, folder = path.read_bytes(), tmp_path / "out"
    folder.mkdir()
    messages = []
    for point in np.linspace(0, len(whole) - 1, 30).astype(int).tolist():
        path.write_bytes(whole[:point])
        try:
            mux(path, tone(duration_s=0.5), RATE, folder / "b.mp4", original_level_db=0.0)
            (folder / "b.mp4").unlink()
        except EchoFrameError as error:
            messages.append(str(error))
        assert list(folder.iterdir()) == []
    assert messages
    assert all("\n" not in message for message in messages)


def test_a_video_of_no_length(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", n_frames=3)
    content = video.read_bytes()
    # Matroska's mark of a cluster: what comes before it is the header alone
    video.write_bytes(content[: content.index(bytes.fromhex("1F43B675")) + 4])
    with pytest.raises(VideoError, match=r"a\.mkv: its video stream lasts 0 s; give a longer video"):
        mux(video, tone(), RATE, tmp_path / "b.mp4")


def test_a_disk_that_fails_while_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packets = mux_module._packets

    def broken() -> Iterator[av.Packet]:
        raise av.error.OSError(5, "Input/output error")
        yield

    monkeypatch.setattr(mux_module, "_packets", lambda demuxed, video: packets(broken(), video))
    with pytest.raises(VideoError, match=r"a\.mp4: is cut off \(Input/output error\); copy or download it again"):
        mux(write_video(tmp_path / "a.mp4"), tone(), RATE, tmp_path / "b.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["a.mp4"]
