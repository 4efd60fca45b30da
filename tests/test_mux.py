"""The sound under a video: its packets untouched, its length, what is kept, and that no half file stays."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from echoframe.errors import VideoError
from echoframe.media.containers import best_suffix
from echoframe.media.mux import mux
from echoframe.media.video import probe, read_frames
from planted_video import RATES, head, numbers, write_video

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"
RATE = 16_000


def tone(hz: float = 440.0, duration_s: float = 5.0, amplitude: float = 0.3) -> np.ndarray:
    return (amplitude * np.sin(2 * np.pi * hz * np.arange(round(duration_s * RATE)) / RATE)).astype(np.float32)[None]


def video_packets(path: Path) -> list[tuple[bytes, Fraction, bool]]:
    """Bytes, seconds from the first frame, and keyframe flag of each video packet."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.size]
        times = [(packet.pts or 0) * packet.time_base for packet in packets]
        return [(bytes(p), t - min(times), p.is_keyframe) for p, t in zip(packets, times, strict=True)]


def decoded_sound(path: Path) -> np.ndarray:
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
        assert container.streams.audio[0].rate == 48_000
    return np.concatenate(frames, axis=1)


def amplitude(sound: np.ndarray, hz: float) -> float:
    middle = sound[0, len(sound[0]) // 4 : -len(sound[0]) // 4]
    return 2 * float(abs(np.exp(-2j * np.pi * hz * np.arange(len(middle)) / 48_000) @ middle)) / len(middle)


def assert_muxed(source: Path, out: Path, *, clock_s: float = 0.0) -> None:
    before, after = video_packets(source), video_packets(out)
    assert [packet[0] for packet in after] == [packet[0] for packet in before]
    assert [packet[2] for packet in after] == [packet[2] for packet in before]
    assert max(abs(a[1] - b[1]) for a, b in zip(before, after, strict=True)) <= clock_s
    info, source_info = probe(out), probe(source)
    frame_s = 1 / source_info.frame_rate
    with av.open(str(out)) as container:
        audio = container.streams.audio[0]
        assert len(container.streams.video) == len(container.streams.audio) == 1
        assert audio.codec_context.name == ("aac" if out.suffix in (".mp4", ".m4v", ".mov") else "opus")
        assert (container.duration or 0) / 1e6 == pytest.approx(info.duration_s, abs=frame_s)
        sound_s = float((audio.duration or 0) * (audio.time_base or 0))
        first = min(frame.time or 0.0 for frame in container.decode(audio))
    assert abs(first) <= frame_s
    assert info.duration_s == pytest.approx(source_info.duration_s, abs=frame_s)
    if out.suffix in (".mp4", ".m4v", ".mov"):
        # AAC comes in blocks of 1024 samples: the header says how much of the last one is to be played
        assert sound_s == pytest.approx(info.duration_s, abs=0.003)
        assert 0 <= decoded_sound(out).shape[1] - round(sound_s * 48_000) <= 1024
    else:
        assert decoded_sound(out).shape[1] / 48_000 == pytest.approx(info.duration_s, abs=0.001)
    assert [path.name for path in out.parent.iterdir() if "tmp" in path.name] == []


@pytest.mark.parametrize(
    ("source", "codec", "out", "rate"),
    [
        *[("a.mp4", "libx264", "b.mp4", rate) for rate in RATES.values()],
        *[("a.webm", "libvpx-vp9", "b.webm", rate) for rate in RATES.values()],
        ("a.mp4", "libx264", "b.m4v", RATES["25"]),
        ("a.mp4", "libx264", "b.mkv", RATES["29.97"]),
        ("a.mov", "libx265", "b.mov", RATES["60"]),
        ("a.mkv", "libx264", "b.mp4", RATES["23.976"]),
        ("a.webm", "libvpx-vp9", "b.mp4", RATES["60"]),
        ("a.avi", "mpeg4", "b.mp4", RATES["50"]),
    ],
)
def test_packets_are_copied_and_lengths_agree(
    tmp_path: Path, source: str, codec: str, out: str, rate: Fraction
) -> None:
    video = write_video(tmp_path / source, codec=codec, rate=rate, n_frames=50)
    mux(video, tone(), RATE, tmp_path / out)
    assert_muxed(video, tmp_path / out, clock_s=0.001)
    assert amplitude(decoded_sound(tmp_path / out), 440.0) == pytest.approx(0.3, rel=0.05)
    spec = head(50, float(rate))
    assert numbers(read_frames(tmp_path / out, spec, short_side=48).images) == list(range(50))


def test_b_frames_in_avi(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.avi", codec="mpeg4", options={"bf": "2"})
    mux(video, tone(), RATE, tmp_path / "b.mp4")
    assert numbers(read_frames(tmp_path / "b.mp4", head(40, 25.0), short_side=48).images) == list(range(40))
    video = write_video(tmp_path / "c.avi")
    with pytest.raises(VideoError, match=r"c\.avi: an AVI does not say when its h264 B-frames are shown"):
        mux(video, tone(), RATE, tmp_path / "d.mp4")


@pytest.mark.parametrize("out", ["b.mp4", "b.mkv"])
def test_short_sound_gets_silence_and_a_late_video_its_start(tmp_path: Path, out: str) -> None:
    video = write_video(tmp_path / "a.mkv", start=Fraction(38, 25))
    mux(video, torch.from_numpy(tone(duration_s=0.8)), RATE, tmp_path / out)
    assert_muxed(video, tmp_path / out, clock_s=0.001)
    sound = decoded_sound(tmp_path / out)
    assert np.abs(sound[:, :36_000]).max() > 0.25
    assert np.abs(sound[:, 42_000:]).max() < 0.01


@pytest.mark.parametrize(("source", "out"), [("a.mp4", "b.mp4"), ("a.mkv", "b.webm"), ("a.mkv", "b.mp4")])
@pytest.mark.parametrize("start", [Fraction(0), Fraction(38, 25)])
def test_own_sound_is_replaced_or_mixed(tmp_path: Path, source: str, out: str, start: Fraction) -> None:
    codec = "libvpx-vp9" if out.endswith("webm") else "libx264"
    video = write_video(tmp_path / source, codec=codec, n_frames=75, tone_hz=1000.0, start=start)
    mux(video, tone(duration_s=3), RATE, tmp_path / out)
    replaced = decoded_sound(tmp_path / out)
    assert replaced.shape[0] == 1
    assert amplitude(replaced, 1000.0) < 0.003
    mux(video, tone(duration_s=3), RATE, tmp_path / out, original_level_db=-12.0)
    mixed = decoded_sound(tmp_path / out)
    assert mixed.shape[0] == 2
    # 0.4 is what the clip was written with
    assert amplitude(mixed, 1000.0) == pytest.approx(0.4 * 10 ** (-12 / 20), rel=0.06)
    assert amplitude(mixed, 440.0) == pytest.approx(0.3, rel=0.06)


def test_own_sound_stays_in_time(tmp_path: Path) -> None:
    """A click in the middle of the clip is where it was, to 1 ms."""
    video = write_video(tmp_path / "a.mkv", codec="libx264", n_frames=50, tone_hz=1000.0, tone_from_s=1.0)
    mux(video, np.zeros((1, RATE * 2), dtype=np.float32), RATE, tmp_path / "b.mp4", original_level_db=0.0)
    loud = np.abs(decoded_sound(tmp_path / "b.mp4")[0]) > 0.2
    assert loud.argmax() / 48_000 == pytest.approx(1.0, abs=0.001)


def test_own_sound_that_is_not_there_or_too_loud(tmp_path: Path) -> None:
    silent = write_video(tmp_path / "a.mp4", n_frames=50)
    mux(silent, tone(), RATE, tmp_path / "b.mp4", original_level_db=0.0)
    assert amplitude(decoded_sound(tmp_path / "b.mp4"), 440.0) == pytest.approx(0.3, rel=0.05)
    loud = write_video(tmp_path / "c.mp4", n_frames=50, tone_hz=1000.0)
    mux(loud, tone(amplitude=0.9), RATE, tmp_path / "d.mp4", original_level_db=0.0)
    sound = decoded_sound(tmp_path / "d.mp4")
    # 0.9 + 0.4 is scaled back to 1, both alike
    assert amplitude(sound, 440.0) == pytest.approx(0.9 / 1.3, rel=0.06)
    assert amplitude(sound, 1000.0) == pytest.approx(0.4 / 1.3, rel=0.06)


@pytest.mark.parametrize(("source", "out"), [("a.mp4", "b.mp4"), ("a.mov", "b.mov"), ("a.mp4", "b.mkv")])
def test_metadata_and_rotation_stay(tmp_path: Path, source: str, out: str) -> None:
    metadata = {"title": "Rain", "comment": "a test", "creation_time": "2020-01-02T03:04:05.000000Z"}
    video = write_video(tmp_path / source, metadata=metadata, rotation=(90, False))
    mux(video, tone(), RATE, tmp_path / out)
    assert_muxed(video, tmp_path / out, clock_s=0.001)
    with av.open(str(tmp_path / out)) as container:
        kept = {key.lower(): value for key, value in container.metadata.items()}
        assert next(container.decode(video=0)).rotation == 90
        handler = {key.lower(): value for key, value in container.streams.video[0].metadata.items()}["handler_name"]
    assert metadata.items() <= kept.items()
    assert handler == "VideoHandler"
    assert (probe(tmp_path / out).width, probe(tmp_path / out).height) == (48, 64)


def test_unusual_metadata_and_chapters_stay(tmp_path: Path) -> None:
    video = write_video(tmp_path / "a.mkv", metadata={"title": "Rain", "x-camera": "Box"})
    with av.open(str(video)) as source, av.open(str(tmp_path / "c.mkv"), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0], opaque=True)
        target.metadata.update({"title": "Rain", "x-camera": "Box"})
        chapter = {"id": 1, "start": 0, "end": 800, "time_base": Fraction(1, 1000), "metadata": {"title": "Start"}}
        target.set_chapters([chapter])  # type: ignore[list-item]
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                target.mux(packet)
    mux(tmp_path / "c.mkv", tone(), RATE, tmp_path / "d.mp4")
    with av.open(str(tmp_path / "d.mp4")) as container:
        kept = {key.lower(): value for key, value in container.metadata.items()}
        assert (kept["title"], kept["x-camera"]) == ("Rain", "Box")
        assert container.chapters()[0]["metadata"] == {"title": "Start"}


def test_transparency_stays(tmp_path: Path) -> None:
    image = np.full((32, 64, 4), 255, dtype=np.uint8)
    image[:, :32, 3] = 0
    video = write_video(tmp_path / "a.webm", images=[image] * 5, codec="libvpx-vp9", pix_fmt="yuva420p")
    mux(video, tone(), RATE, tmp_path / "b.webm")
    shown = read_frames(tmp_path / "b.webm", head(1, 25.0), short_side=32).images[0]
    assert shown[:, :28].max() <= 4
    assert shown[:, 36:].min() >= 250


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "source", "suffix"),
    [
        ("libx264", "yuv420p", "a.mkv", ".mp4"),
        ("libvpx-vp9", "yuv420p", "a.webm", ".mp4"),
        ("libvpx", "yuv420p", "a.webm", ".webm"),
        ("gif", "gray", "a.gif", ".mov"),
        ("qtrle", "argb", "a.mov", ".mov"),
        ("ffv1", "yuv420p", "a.mkv", ".mkv"),
    ],
)
def test_suffix_that_can_hold_the_video(tmp_path: Path, codec: str, pix_fmt: str, source: str, suffix: str) -> None:
    video = write_video(tmp_path / source, codec=codec, pix_fmt=pix_fmt)
    info = probe(video)
    assert best_suffix(info.fits, info.video_codec) == suffix
    mux(video, tone(), RATE, tmp_path / f"out{suffix}")
    assert_muxed(video, tmp_path / f"out{suffix}", clock_s=0.001)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the VGGSound samples are not here")
@pytest.mark.parametrize("level_db", [None, -6.0])
def test_a_real_clip(tmp_path: Path, level_db: float | None) -> None:
    clip = min(SAMPLES.glob("*.mp4"), key=lambda path: path.stat().st_size)
    mux(clip, tone(duration_s=10), RATE, tmp_path / "b.mp4", original_level_db=level_db)
    assert_muxed(clip, tmp_path / "b.mp4")
