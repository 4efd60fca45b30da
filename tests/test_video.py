"""Which frames of a video come back, and how upright, how large and in which colours."""

import io
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from echoframe.media.decoder import VideoReader
from echoframe.media.video import probe, read_frames
from echoframe.spec import ClipSpec
from planted_video import RATES, assert_same_picture, corners, head, numbered, numbers, write_video

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"
CONTAINERS = [
    (".mp4", "libx264"),
    (".mkv", "libx264"),
    (".mov", "libx265"),
    (".avi", "mpeg4"),
    (".avi", "libx264"),
    (".webm", "libvpx-vp9"),
    (".ts", "libx264"),
]


@pytest.mark.parametrize("rate", RATES.values(), ids=RATES)
@pytest.mark.parametrize(("suffix", "codec"), CONTAINERS, ids=lambda value: value.strip("."))
def test_frames_of_every_rate_and_container(tmp_path: Path, suffix: str, codec: str, rate: Fraction) -> None:
    clip = write_video(tmp_path / f"clip{suffix}", rate=rate, codec=codec, n_frames=30)
    # looked at exactly when each frame begins: the hardest times to get right
    exact = read_frames(clip, head(30, float(rate)), short_side=48)
    assert numbers(exact.images) == list(range(30))
    assert exact.mask.all()
    spec = ClipSpec(duration_s=float(30 / rate), n_frames=8)
    spread = read_frames(clip, spec, short_side=48)
    assert numbers(spread.images) == [int(Fraction(time_s) * rate) for time_s in spec.times_s()]
    assert spread.times_s == tuple(spec.times_s())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_variable_rate(tmp_path: Path, suffix: str) -> None:
    begins = [Fraction(n, 1000) for n in (0, 100, 140, 500, 510, 900, 1300, 1340)]
    images = [numbered(i) for i in range(len(begins))]
    clip = write_video(tmp_path / f"clip{suffix}", images=images, times=begins, options={"bf": "0"})
    times = head(14, 10.0).times_s()
    expected = [max(i for i, begin in enumerate(begins) if begin <= Fraction(str(round(t, 6)))) for t in times]
    assert numbers(read_frames(clip, head(14, 10.0), short_side=48).images) == expected


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".ts", "libx264")])
def test_stream_that_starts_late(tmp_path: Path, suffix: str, codec: str) -> None:
    clip = write_video(tmp_path / f"clip{suffix}", codec=codec, start=Fraction(38, 25))
    frames = read_frames(clip, head(40, 25.0), short_side=48)
    assert numbers(frames.images) == list(range(40))
    assert probe(clip).duration_s == pytest.approx(40 / 25, abs=0.002)


@pytest.mark.parametrize(
    ("suffix", "codec", "options"),
    [
        (".mp4", "libx264", {"g": "20"}),
        (".mp4", "libx264", {"g": "1000"}),
        (".mkv", "libx264", {"preset": "medium", "x264-params": "open-gop=1:keyint=20:min-keyint=20:bframes=3"}),
        (".mov", "libx265", {}),
        (".webm", "libvpx-vp9", {"g": "20"}),
        (".avi", "mpeg4", {"g": "20", "bf": "2"}),
        (".mov", "qtrle", {}),  # marks no keyframes: a jump cannot be trusted
        (".ts", "libx264", {"g": "20"}),
    ],
)
def test_start_in_the_middle(tmp_path: Path, suffix: str, codec: str, options: dict[str, str]) -> None:
    pix_fmt = "rgb24" if codec == "qtrle" else "yuv420p"
    clip = write_video(tmp_path / f"clip{suffix}", codec=codec, n_frames=200, options=options, pix_fmt=pix_fmt)
    for start_s in (0.04, 3.0, 6.52):
        frames = read_frames(clip, head(10, 12.5), start_s=start_s, short_side=48)
        assert numbers(frames.images) == [round(start_s * 25) + 2 * i for i in range(10)]
    # far apart: jumps between the frames, too
    assert numbers(read_frames(clip, ClipSpec(duration_s=8.0, n_frames=2), short_side=48).images) == [50, 150]


def test_jump_decodes_little(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_video(tmp_path / "clip.mp4", n_frames=250, options={"g": "10"})
    n_packets = _count_packets(monkeypatch)
    assert numbers(read_frames(clip, head(3, 25.0), start_s=9.0, short_side=48).images) == [225, 226, 227]
    assert n_packets[0] < 100


def test_decodes_and_converts_only_what_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = write_video(tmp_path / "clip.mp4", n_frames=250)
    n_packets = _count_packets(monkeypatch)
    rendered: list[int] = []
    render = VideoReader.render
    monkeypatch.setattr(VideoReader, "render", lambda *args: rendered.append(1) or render(*args))
    frames = read_frames(clip, head(8, 100.0), short_side=48)
    assert numbers(frames.images) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len(rendered) == 2
    assert n_packets[0] < 100


@pytest.mark.parametrize(("suffix", "codec"), [(".mp4", "libx264"), (".mkv", "libx264"), (".mov", "libx265")])
def test_frames_left_out_change_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, codec: str
) -> None:
    options = {"preset": "medium", "x265-params": "log-level=none:keyint=20:bframes=4"}
    clip = write_video(tmp_path / f"clip{suffix}", codec=codec, n_frames=120, options=options)
    spec = ClipSpec(duration_s=4.5, n_frames=13)
    needed: list[bool] = []
    is_needed = VideoReader._is_needed
    monkeypatch.setattr(VideoReader, "_is_needed", lambda *args: needed.append(is_needed(*args)) or needed[-1])
    quick = read_frames(clip, spec, short_side=48)
    assert needed.count(False) > 40
    monkeypatch.setattr("echoframe.media.decoder._SKIPPABLE", ())
    whole = read_frames(clip, spec, short_side=48)
    assert (quick.images == whole.images).all()
    assert numbers(quick.images) == [int(time_s * 25 + 1e-6) for time_s in spec.times_s()]


def _count_packets(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    count = [0]
    packets = VideoReader._packets

    def counted(self: VideoReader) -> Iterator:
        for packet in packets(self):
            count[0] += 1
            yield packet

    monkeypatch.setattr(VideoReader, "_packets", counted)
    return count


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
def test_short_clip_holds_its_last_frame(tmp_path: Path, suffix: str) -> None:
    codec, pix_fmt = ("gif", "gray") if suffix == ".gif" else ("libx264", "yuv420p")
    clip = write_video(tmp_path / f"clip{suffix}", n_frames=10, codec=codec, pix_fmt=pix_fmt)
    frames = read_frames(clip, head(6, 10.0), short_side=48)
    assert numbers(frames.images) == [0, 2, 5, 7, 9, 9]
    assert frames.mask.tolist() == [True] * 4 + [False] * 2


def test_clip_shorter_than_the_first_look(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", n_frames=1)
    frames = read_frames(clip, ClipSpec(duration_s=10.0, n_frames=2), short_side=48)
    assert numbers(frames.images) == [0, 0]
    assert not frames.mask.any()


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("mirror", [False, True])
def test_rotation_and_mirror(tmp_path: Path, rotation: int, mirror: bool) -> None:
    clip = write_video(tmp_path / "clip.mp4", images=[corners()] * 5, rotation=(rotation, mirror))
    expected = np.rot90(corners(), rotation // 90)  # both count anticlockwise
    expected = np.fliplr(expected) if mirror else expected
    info = probe(clip)
    assert (info.height, info.width) == expected.shape[:2]
    frames = read_frames(clip, head(2, 25.0), short_side=32)
    assert frames.images.shape[1:] == expected.shape
    assert_same_picture(frames.images[1], expected)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (3, 2), (6, -1), (8, 1)])
def test_rotation_in_the_exif_of_motion_jpeg(tmp_path: Path, orientation: int, turns: int) -> None:
    template = write_video(tmp_path / "a.mov", images=[corners()] * 3, codec="mjpeg", pix_fmt="yuvj420p")
    exif, jpeg, clip = Image.Exif(), io.BytesIO(), tmp_path / "b.mov"
    exif[0x0112] = orientation
    Image.fromarray(corners()).save(jpeg, "JPEG", exif=exif)
    with av.open(str(template)) as source, av.open(str(clip), "w") as target:
        copy = target.add_stream_from_template(source.streams.video[0], opaque=True)
        for old in source.demux(video=0):
            if old.size:
                packet = av.Packet(jpeg.getvalue())
                packet.stream, packet.pts, packet.dts, packet.time_base = copy, old.pts, old.dts, old.time_base
                target.mux(packet)
    expected = np.rot90(corners(), turns)
    assert_same_picture(read_frames(clip, head(1, 25.0), short_side=32).images[0], expected)
    assert (probe(clip).height, probe(clip).width) == expected.shape[:2]


@pytest.mark.parametrize(
    ("suffix", "codec", "pix_fmt"),
    [
        (".mkv", "ffv1", "yuv420p"),
        (".mkv", "libx264", "yuv444p"),
        (".mov", "prores_ks", "yuv422p10le"),
        (".mkv", "libx264", "yuv420p10le"),
        (".avi", "rawvideo", "bgr24"),
        (".mkv", "ffv1", "gray16le"),
    ],
)
def test_odd_sizes_and_deep_colour(tmp_path: Path, suffix: str, codec: str, pix_fmt: str) -> None:
    size = (63, 47) if codec != "prores_ks" and pix_fmt != "yuv420p10le" else (64, 46)
    images = [numbered(i, size) for i in range(20)]
    clip = write_video(tmp_path / f"clip{suffix}", images=images, codec=codec, pix_fmt=pix_fmt)
    frames = read_frames(clip, head(20, 25.0), short_side=33)
    assert frames.images.shape[1:] == (33, round(33 * size[0] / size[1]), 3)
    assert numbers(frames.images) == list(range(20))


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [("a.mov", "qtrle", "argb"), ("b.mov", "png", "rgba"), ("c.webm", "libvpx-vp9", "yuva420p")],
)
def test_transparent_is_black(tmp_path: Path, name: str, codec: str, pix_fmt: str) -> None:
    image = np.full((32, 64, 4), 255, dtype=np.uint8)
    image[:, :32, 3] = 0  # white, but not to be seen
    image[:16, 32:, 3] = 128
    clip = write_video(tmp_path / name, images=[image] * 3, codec=codec, pix_fmt=pix_fmt)
    shown = read_frames(clip, head(1, 25.0), short_side=32).images[0].astype(int)
    assert shown[:, :28].max() <= 4
    assert np.abs(shown[2:14, 36:60] - 128).max() <= 6
    assert shown[20:30, 36:60].min() >= 250


def test_colours_by_their_tags(tmp_path: Path) -> None:
    bt709, full_range = 1, 2
    for name, space, extent in [("hd", bt709, None), ("full", bt709, full_range), ("sd", None, None)]:
        clip = write_video(
            tmp_path / f"{name}.mp4", images=[corners()] * 2, colorspace=space, color_range=extent, pix_fmt="yuv444p"
        )
        assert_same_picture(read_frames(clip, head(1, 25.0), short_side=32).images[0], corners(), tolerance=8)


def test_pixel_aspect(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", images=[corners(64, 64)] * 2, aspect=Fraction(2))
    assert (probe(clip).width, probe(clip).height) == (128, 64)
    shown = read_frames(clip, head(1, 25.0), short_side=32).images[0]
    assert shown.shape == (32, 64, 3)
    assert_same_picture(shown, corners())


def test_size_that_changes_within_the_stream(tmp_path: Path) -> None:
    write_video(tmp_path / "a.ts", n_frames=20)
    wide = [numbered(i, (128, 80)) for i in range(20, 40)]
    write_video(tmp_path / "b.ts", images=wide, start=Fraction(22, 25))  # a.ts begins two frames late
    clip = tmp_path / "clip.ts"
    clip.write_bytes((tmp_path / "a.ts").read_bytes() + (tmp_path / "b.ts").read_bytes())
    frames = read_frames(clip, head(40, 25.0), short_side=48)
    assert frames.images.shape == (40, 48, 64, 3)
    assert numbers(frames.images) == list(range(40))


def test_frames_are_those_of_a_second_opinion(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    smooth = Image.fromarray(rng.integers(0, 255, (9, 16, 3), dtype=np.uint8)).resize((160, 90))
    clip = write_video(tmp_path / "clip.mkv", images=[np.asarray(smooth)] * 2, codec="ffv1", pix_fmt="bgr0")
    expected = np.asarray(smooth.resize((57, 32), Image.Resampling.BICUBIC)).astype(int)
    shown = read_frames(clip, head(1, 25.0), short_side=32).images[0].astype(int)
    assert np.abs(shown - expected).mean() < 1.5


def test_probe(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.webm", codec="libvpx-vp9", rate=RATES["23.976"], n_frames=24, tone_hz=440.0)
    info = probe(clip)
    assert (info.path, info.width, info.height, info.video_codec) == (clip, 64, 48, "vp9")
    assert info.frame_rate == pytest.approx(24000 / 1001)
    assert info.duration_s == pytest.approx(1.001, abs=0.002)
    assert info.has_audio
    assert not info.is_still
    assert not probe(write_video(tmp_path / "silent.mp4")).has_audio


def test_probe_of_a_live_recording_counts_its_packets(tmp_path: Path) -> None:
    # browsers record WebM without a duration
    clip = tmp_path / "live.mkv"
    with av.open(str(clip), "w", format="matroska", container_options={"live": "1"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height = 64, 48
        for i in range(30):
            frame = av.VideoFrame.from_ndarray(numbered(i), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(str(clip)) as container:
        assert container.duration is None
    assert probe(clip).duration_s == pytest.approx(1.2, abs=0.002)


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the VGGSound samples are not here")
def test_a_real_clip() -> None:
    for clip in sorted(SAMPLES.glob("*.mp4"), key=lambda path: path.stat().st_size)[:1]:
        info = probe(clip)
        assert info.has_audio
        assert info.duration_s == pytest.approx(10.0, abs=0.1)
        frames = read_frames(clip, ClipSpec())
        assert frames.images.shape[:2] == (64, 224)
        assert frames.mask.all()
        assert frames.images.std() > 10
