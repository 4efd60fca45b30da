"""Which frames of a video come back, and how upright, how large and in which colours."""

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image
from planted_video import RATES, as_nobody, head, numbered, numbers, write_video

from echoframe.decoder import VideoReader
from echoframe.errors import EchoFrameError, InputError, VideoError
from echoframe.spec import ClipSpec
from echoframe.video import PICTURE_SUFFIXES, VIDEO_SUFFIXES, is_picture, probe, read_frames

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
RED, GREEN, BLUE, WHITE = (250, 10, 10), (10, 250, 10), (10, 10, 250), (240, 240, 240)


def corners(width: int = 64, height: int = 32) -> np.ndarray:
    image = np.empty((height, width, 3), dtype=np.uint8)
    image[: height // 2, : width // 2], image[: height // 2, width // 2 :] = RED, GREEN
    image[height // 2 :, : width // 2], image[height // 2 :, width // 2 :] = BLUE, WHITE
    return image


def assert_same_picture(shown: np.ndarray, expected: np.ndarray, *, tolerance: int = 40) -> None:
    """The centres of the four quarters agree."""
    assert shown.ndim == expected.ndim == 3
    for image_y, image_x in [(1, 1), (1, 3), (3, 1), (3, 3)]:
        a, b = (
            image[image.shape[0] * image_y // 4, image.shape[1] * image_x // 4].astype(int)
            for image in (shown, expected)
        )
        assert np.abs(a - b).max() <= tolerance, (a, b)


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
        (".ts", "libx264", {"g": "20"}),
    ],
)
def test_start_in_the_middle(tmp_path: Path, suffix: str, codec: str, options: dict[str, str]) -> None:
    clip = write_video(tmp_path / f"clip{suffix}", codec=codec, n_frames=200, options=options)
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


@pytest.mark.parametrize("suffix", sorted(PICTURE_SUFFIXES | {".gif"}))
def test_stills(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"still{suffix}"
    Image.fromarray(corners(160, 80)).save(path)
    frames = read_frames(path, ClipSpec(n_frames=3), start_s=5.0, short_side=32)
    assert frames.images.shape == (3, 32, 64, 3)
    assert frames.mask.all()
    assert (frames.images == frames.images[0]).all()
    assert_same_picture(frames.images[0], corners(), tolerance=30)
    info = probe(path)
    assert (info.width, info.height, info.is_still, info.has_audio) == (160, 80, True, False)
    assert (info.duration_s, info.frame_rate) == (0.0, 0.0)
    assert is_picture(path)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path: Path, orientation: int) -> None:
    inverse = {
        **{1: corners(), 2: np.fliplr(corners()), 3: np.rot90(corners(), 2), 4: np.flipud(corners())},
        **{5: corners().swapaxes(0, 1), 6: np.rot90(corners(), 1), 7: np.rot90(corners().swapaxes(0, 1), 2)},
        8: np.rot90(corners(), -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "still.jpg"
    Image.fromarray(np.ascontiguousarray(inverse[orientation])).save(path, exif=exif, quality=95, subsampling=0)
    assert_same_picture(read_frames(path, ClipSpec(n_frames=1), short_side=32).images[0], corners())
    assert (probe(path).width, probe(path).height) == (64, 32)


def test_still_with_alpha_and_sixteen_bits(tmp_path: Path) -> None:
    rgba = np.full((32, 64, 4), 255, dtype=np.uint8)
    rgba[:, :32, 3] = 0
    Image.fromarray(rgba).save(tmp_path / "alpha.png")
    shown = read_frames(tmp_path / "alpha.png", ClipSpec(n_frames=1), short_side=32).images[0]
    assert shown[:, :30].max() == 0
    assert shown[:, 34:].min() == 255
    Image.fromarray(np.full((8, 8), 128 * 256, dtype=np.uint16)).save(tmp_path / "deep.png")
    assert (read_frames(tmp_path / "deep.png", ClipSpec(n_frames=1), short_side=8).images == 128).all()


def test_animated_picture_is_a_video(tmp_path: Path) -> None:
    images = [Image.fromarray(numbered(i)) for i in range(4)]
    for name in ("moving.gif", "moving.png"):
        images[0].save(tmp_path / name, save_all=True, append_images=images[1:], duration=100)
        assert not is_picture(tmp_path / name)
        assert numbers(read_frames(tmp_path / name, head(4, 10.0), short_side=48).images) == [0, 1, 2, 3]
    assert not VIDEO_SUFFIXES & PICTURE_SUFFIXES


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm", ".avi", ".gif", ".png", ".jpg", ".webp"])
def test_cut_off_anywhere(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"whole{suffix}"
    if suffix in PICTURE_SUFFIXES:
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8)).save(path)
    else:
        codec = {".webm": "libvpx-vp9", ".avi": "mpeg4", ".gif": "gif"}.get(suffix, "libx264")
        pix_fmt = "gray" if suffix == ".gif" else "yuv420p"
        write_video(path, codec=codec, pix_fmt=pix_fmt, n_frames=12, tone_hz=None if suffix in (".gif", ".avi") else 440.0)
    whole = path.read_bytes()
    cut, failed = tmp_path / f"cut{suffix}", 0
    points = sorted({*range(0, 200, 9), *np.linspace(200, len(whole) - 1, 40).astype(int).tolist()})
    for point in points:
        cut.write_bytes(whole[:point])
        for attempt in (probe, lambda p: read_frames(p, head(12, 25.0), short_side=32)):
            try:
                attempt(cut)
            except EchoFrameError as error:
                failed += 1
                assert str(error).startswith(f"{cut}: ")
                assert "\n" not in str(error)
    assert failed >= 20


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_garbage_in_the_middle(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    for suffix, codec in [(".mp4", "libx264"), (".mkv", "libx264"), (".avi", "mpeg4"), (".webm", "libvpx-vp9")]:
        path = write_video(tmp_path / f"clip{suffix}", codec=codec, n_frames=12)
        whole = np.frombuffer(path.read_bytes(), dtype=np.uint8)
        for _ in range(15):
            broken = whole.copy()
            begin = rng.integers(0, len(whole) - 40)
            broken[begin : begin + 40] = rng.integers(0, 255, 40)
            path.write_bytes(broken.tobytes())
            try:
                assert len(read_frames(path, head(12, 25.0), short_side=32).images) == 12
            except EchoFrameError as error:
                assert "\n" not in str(error)


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
    with av.open(str(song)) as sound, av.open(str(picture)) as cover, av.open(str(covered), "w", format="mp4") as target:
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


def test_nothing_decodable(tmp_path: Path) -> None:
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


def test_zero_duration(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", n_frames=1)
    content = bytearray(path.read_bytes())
    # the durations in the media header and in the table of frame durations
    for box, offset in [(b"mdhd", 20), (b"stts", 16)]:
        begin = content.index(box) + offset
        content[begin : begin + 4] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(VideoError, match="its video stream lasts 0 s; give a longer video"):
        probe(path)


def test_arguments_out_of_range(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "clip.mp4", n_frames=25)
    for start_s in (-1.0, float("nan"), float("inf")):
        with pytest.raises(InputError, match="start_s is .*expected 0 or more"):
            read_frames(clip, ClipSpec(), start_s=start_s)
    with pytest.raises(InputError, match="short_side is 0; expected at least 1"):
        read_frames(clip, ClipSpec(), short_side=0)
    with pytest.raises(InputError, match=r"start_s is 1\.5, but the video ends at 1\.00 s"):
        read_frames(clip, ClipSpec(), start_s=1.5)
    Image.new("RGB", (2, 200)).save(tmp_path / "thread.png")
    with pytest.raises(VideoError, match="2 x 200 pixels is no picture"):
        read_frames(tmp_path / "thread.png", ClipSpec())


@pytest.mark.skipif(not SAMPLES.is_dir(), reason="the VGGSound samples are not here")
def test_a_real_clip() -> None:
    for clip in sorted(SAMPLES.glob("*.mp4"))[:1]:
        info = probe(clip)
        assert info.has_audio
        assert info.duration_s == pytest.approx(10.0, abs=0.1)
        frames = read_frames(clip, ClipSpec())
        assert frames.images.shape[:2] == (64, 224)
        assert frames.mask.all()
        assert frames.images.std() > 10
