"""Files that are no video, or only half of one: one line that says so, never another exception."""

import os
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from echoframe.errors import EchoFrameError, InputError, VideoError
from echoframe.media.demux import Span
from echoframe.media.video import PICTURE_SUFFIXES, is_picture, probe, read_frames
from echoframe.spec import ClipSpec
from planted_video import as_nobody, corners, head, numbers, write_video


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".gif", ".png", ".jpg", ".webp"])
def test_cut_off_anywhere(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"whole{suffix}"
    if suffix in PICTURE_SUFFIXES:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(path)
    else:
        codec = {".webm": "libvpx-vp9", ".avi": "mpeg4", ".gif": "gif"}.get(suffix, "libx264")
        pix_fmt = "gray" if suffix == ".gif" else "yuv420p"
        tone_hz = None if suffix in (".gif", ".avi") else 440.0
        write_video(path, codec=codec, pix_fmt=pix_fmt, n_frames=12, tone_hz=tone_hz)
    whole = path.read_bytes()
    cut, messages = tmp_path / f"cut{suffix}", []
    points = sorted({*range(0, 200, 9), *np.linspace(200, len(whole) - 1, 40).astype(int).tolist()})
    for point in points:
        cut.write_bytes(whole[:point])
        for attempt in (probe, lambda p: read_frames(p, head(12, 25.0), short_side=32)):
            try:
                attempt(cut)
            except EchoFrameError as error:
                messages.append(str(error))
    assert len(messages) >= 20
    assert all(message.startswith(f"{cut}: ") and "\n" not in message for message in messages)


def test_garbage_in_the_middle(tmp_path: Path) -> None:
    rng, n_read, messages = np.random.default_rng(1), [], []
    for suffix, codec in [(".mp4", "libx264"), (".mkv", "libx264"), (".avi", "mpeg4"), (".webm", "libvpx-vp9")]:
        path = write_video(tmp_path / f"clip{suffix}", codec=codec, n_frames=12)
        whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(15):
            broken = whole.copy()
            begin = rng.integers(0, len(whole) - 40)
            broken[begin : begin + 40] = rng.integers(0, 255, 40)
            path.write_bytes(broken.tobytes())
            try:
                n_read.append(len(read_frames(path, head(12, 25.0), short_side=32).images))
            except EchoFrameError as error:
                messages.append(str(error))
    assert set(n_read) == {12}
    assert messages
    assert all("\n" not in message for message in messages)


def test_refused_paths(tmp_path: Path) -> None:
    for attempt in (probe, lambda path: read_frames(path, ClipSpec())):
        with pytest.raises(InputError, match=r"gone\.mp4: no such file"):
            attempt(tmp_path / "gone.mp4")
        with pytest.raises(InputError, match="is a folder"):
            attempt(tmp_path)
        (tmp_path / "empty.mp4").write_bytes(b"")
        with pytest.raises(VideoError, match=r"empty\.mp4: is empty"):
            attempt(tmp_path / "empty.mp4")
        with pytest.raises(InputError, match="cannot be read.*too long"):
            attempt(tmp_path / ("x" * 300 + ".mp4"))
    os.mkfifo(tmp_path / "pipe.mp4")
    with pytest.raises(InputError, match="is a pipe or device"):
        probe(tmp_path / "pipe.mp4")
    assert not is_picture(tmp_path / "gone.png")


def test_unreadable_file(tmp_path: Path) -> None:
    write_video(tmp_path / "clip.mp4", n_frames=2).chmod(0)
    with as_nobody(tmp_path), pytest.raises(InputError, match=r"clip\.mp4: cannot be read \(Permission denied\)"):
        probe(Path("clip.mp4"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.txt", b"hello world\n" * 90),
        ("notes.mp4", b"hello world\n" * 90),
        ("list.m3u8", b"#EXTM3U\n#EXTINF:10,\nother.mp4\n#EXT-X-ENDLIST\n"),
        ("list.mp4", b"ffconcat version 1.0\nfile other.mp4\n"),
        ("archive.zip", b"PK\x03\x04" + bytes(200)),
        ("subtitle.srt", b"1\n00:00:01,000 --> 00:00:02,000\nhello\n\n"),
        ("zeros.mp4", bytes(5000)),
        ("BMW.mp4", b"BMW is not a bitmap" * 10),
    ],
)
def test_not_a_video(tmp_path: Path, name: str, content: bytes) -> None:
    write_video(tmp_path / "other.mp4", n_frames=2)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(VideoError, match=f"{name}: not a video that can be read .*expected MP4"):
        read_frames(tmp_path / name, ClipSpec())


def test_sound_alone_and_its_cover(tmp_path: Path) -> None:
    song = tmp_path / "song.m4a"
    with av.open(str(song), "w", format="mp4") as container:
        stream = container.add_stream("aac", rate=48_000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), dtype=np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48_000
        container.mux(stream.encode(frame) + stream.encode(None))
    with pytest.raises(VideoError, match=r"no video stream \(found: audio aac\); is this an audio file\?"):
        probe(song)
    covered = tmp_path / "covered.m4a"
    picture = write_video(tmp_path / "picture.mov", images=[corners()], codec="mjpeg", pix_fmt="yuvj420p")
    sound, cover = av.open(str(song)), av.open(str(picture))
    with sound, cover, av.open(str(covered), "w", format="mp4") as target:
        for source in (sound, cover):
            copy = target.add_stream_from_template(source.streams[0], opaque=True)
            if copy.type == "video":
                copy.disposition = Disposition.attached_pic
        for index, source in enumerate((sound, cover)):
            for packet in source.demux(0):
                if packet.size:
                    packet.stream = target.streams[index]
                    target.mux(packet)
    with av.open(str(covered)) as container:
        assert container.streams.video[0].disposition & Disposition.attached_pic
    with pytest.raises(VideoError, match=r"no video stream \(found: audio aac, video mjpeg\); is this an audio file\?"):
        probe(covered)


def test_nothing_decodable(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line says so: none of the broken packets beside it."""
    path = write_video(tmp_path / "clip.mkv", n_frames=3, codec="ffv1")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    content = path.read_bytes()
    for packet in packets:
        assert packet in content
        content = content.replace(packet, bytes(len(packet)))
    path.write_bytes(content)
    with pytest.raises(VideoError, match="no frame of its video stream can be decoded"):
        probe(path)
    assert not caplog.records


def test_broken_packets_are_told_once_of_a_film_that_can_be_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_video(tmp_path / "clip.mov", n_frames=10, codec="png", pix_fmt="rgb24")
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(video=0) if packet.size]
    path.write_bytes(path.read_bytes().replace(packets[4], bytes(len(packets[4]))))
    probe(path)
    assert not caplog.records
    read_frames(path, head(10, 25.0), short_side=48)
    assert [record.getMessage() for record in caplog.records] == [f"{path}: 1 broken packets left out"]


def packet_times(path: Path) -> list[int]:
    with av.open(str(path)) as container:
        return [packet.pts or 0 for packet in container.demux(video=0) if packet.size]


def test_one_packet_with_a_stray_time_does_not_make_a_film_of_minutes(tmp_path: Path) -> None:
    """A flipped bit in the time of one packet of a WMV: 2^20 ms later than it is."""
    path = write_video(tmp_path / "clip.wmv", n_frames=20, codec="wmv2")
    content, times = path.read_bytes(), packet_times(path)
    preroll_ms = 3100  # libav's: stored times begin with it
    at, found = 0, times
    while found[12:14] != [times[12] + (1 << 20), times[13]]:
        at = content.index((times[12] + preroll_ms).to_bytes(4, "little"), at + 1)
        path.write_bytes(content[: at + 2] + bytes([content[at + 2] | 0x10]) + content[at + 3 :])
        found = packet_times(path)
    assert probe(path).duration_s == pytest.approx(0.8, abs=0.05)
    assert numbers(read_frames(path, head(20, 25.0), short_side=48).images)[-1] == 19


def test_names_that_look_like_a_protocol(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("http:a.mp4", "50%d ä.mp4", "-i.mp4"):
        write_video(tmp_path / name, n_frames=2)
        assert numbers(read_frames(Path(name), head(2, 25.0), short_side=48).images) == [0, 1]


def test_unknown_codec(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mkv", n_frames=3)
    path.write_bytes(path.read_bytes().replace(b"V_MPEG4/ISO/AVC", b"V_NOTHING/KNOWN"))
    with pytest.raises(VideoError, match="its video codec is not known here; convert it to H.264"):
        probe(path)


def test_zero_duration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "clip.mp4", n_frames=1)
    content = bytearray(path.read_bytes())
    # the durations in the media header and in the table of frame durations
    for box, offset in [(b"mdhd", 20), (b"stts", 16)]:
        begin = content.index(box) + offset
        content[begin : begin + 4] = bytes(4)
    path.write_bytes(content)
    assert probe(path).duration_s == pytest.approx(0.04, abs=0.001)  # its one frame is there to be seen
    monkeypatch.setattr("echoframe.media.video.film_span", lambda path: Span(0, 0, Fraction(1, 25)))
    with pytest.raises(VideoError, match="its video stream lasts 0 s; give a longer video"):
        probe(path)


def test_arguments_out_of_range(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", n_frames=25)
    for start_s in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="start_s is .*; expected 0 or more seconds"):
            read_frames(clip, ClipSpec(), start_s=start_s)
    with pytest.raises(InputError, match="short_side is 0; expected at least 1"):
        read_frames(clip, ClipSpec(), short_side=0)
    with pytest.raises(InputError, match=r"start_s is 1\.5, but the video ends at 1\.00 s"):
        read_frames(clip, ClipSpec(), start_s=1.5)
    Image.new("RGB", (2, 200)).save(tmp_path / "thread.png")
    with pytest.raises(VideoError, match="2 x 200 pixels are too narrow or flat for a picture"):
        read_frames(tmp_path / "thread.png", ClipSpec())
