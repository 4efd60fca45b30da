"""Films as people have them: what is copied stays what it was, broken clocks, what moves, and what lies beside."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from PIL import Image

from echoframe.errors import VideoError
from echoframe.media.animated import as_apng
from echoframe.media.containers import best_suffix
from echoframe.media.demux import film_span, of_known_streams, open_video
from echoframe.media.extras import find_extras
from echoframe.media.heif import is_heif
from echoframe.media.mux import mux
from echoframe.media.video import is_picture, probe, read_frames
from planted_video import head, numbered, numbers, write_film, write_video

RATE = 16_000
SILENCE = np.zeros((1, RATE // 10), dtype=np.float32)


def streams(path: Path, kind: str) -> list[str]:
    with av.open(str(path)) as container:
        return [stream.codec_context.name for stream in container.streams.get({kind: 0}) or []]


def tag(path: Path) -> str:
    with av.open(str(path)) as container:
        return container.streams.video[0].codec_context.codec_tag


def pictures(path: Path) -> list[tuple[str, bytes]]:
    """Each frame as it was decoded: its pixel format and its bytes."""
    with av.open(str(path)) as container:
        return [(frame.format.name, b"".join(rows(frame))) for frame in container.decode(video=0)]


def rows(frame: av.VideoFrame) -> Iterator[bytes]:
    """What each plane holds, without what pads its lines."""
    bits = frame.format.padded_bits_per_pixel if len(frame.planes) == 1 else frame.format.components[0].bits
    for plane in frame.planes:
        lines = np.frombuffer(bytes(plane), dtype=np.uint8)[: plane.height * plane.line_size].reshape(plane.height, -1)
        yield lines[:, : plane.width * ((bits + 7) // 8)].tobytes()


@pytest.mark.parametrize(
    ("codec", "pix_fmt", "source", "options"),
    [
        ("libx264", "yuv420p", "a.mov", {}),
        ("libx264", "yuv420p", "a.ts", {}),
        ("libx265", "yuv420p", "a.mkv", {}),
        ("libx265", "yuv420p", "a.ts", {}),
        ("libvpx", "yuv420p", "a.webm", {}),
        ("libvpx-vp9", "yuv420p", "a.webm", {}),
        ("libsvtav1", "yuv420p", "a.mkv", {"preset": "12"}),
        ("mpeg4", "yuv420p", "a.avi", {}),
        ("msmpeg4", "yuv420p", "a.avi", {}),
        ("mpeg1video", "yuv420p", "a.mpg", {}),
        ("mpeg2video", "yuv420p", "a.mov", {}),
        ("mjpeg", "yuvj420p", "a.mov", {}),
        ("png", "rgb24", "a.mov", {}),
        ("qtrle", "rgb24", "a.mov", {}),
        ("rawvideo", "bgr24", "a.avi", {}),
        ("cinepak", "rgb24", "a.mov", {}),
        ("ffv1", "yuv420p", "a.mkv", {}),
        ("prores_ks", "yuv422p10le", "a.mov", {"profile": "0"}),
        ("prores_ks", "yuva444p10le", "a.mov", {"profile": "4"}),
        ("prores_ks", "yuv422p10le", "a.mkv", {"profile": "1"}),
    ],
)
def test_a_copied_picture_stays_what_it_was(
    tmp_path: Path, codec: str, pix_fmt: str, source: str, options: dict[str, str]
) -> None:
    video = write_video(tmp_path / source, n_frames=5, codec=codec, pix_fmt=pix_fmt, options=options)
    fits = probe(video).fits
    assert fits
    for suffix in {".mp4", ".mov", ".mkv", ".webm"} & set(fits):
        out = tmp_path / f"out{suffix}"
        mux(video, SILENCE, RATE, out)
        assert pictures(out) == pictures(video)
        if suffix in (".mp4", ".mov") and codec == "libx265":
            assert tag(out) == "hvc1"
        elif suffix == source[1:]:
            assert tag(out) == tag(video)


@pytest.mark.parametrize(("codec", "name"), [("hev1", "hev1"), ("hvc1", "hvc1")])
def test_the_name_of_a_codec_survives_between_mov_and_mp4(tmp_path: Path, codec: str, name: str) -> None:
    with av.open(str(tmp_path / "a.mov"), "w") as container:
        stream = container.add_stream(
            "libx265", rate=25, options={"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:min-keyint=20"}
        )
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 64, 48, "yuv420p", 0
        stream.codec_context.codec_tag, stream.codec_context.time_base = codec, Fraction(1, 25)
        for n in range(5):
            picture = av.VideoFrame.from_ndarray(numbered(n), format="rgb24")
            picture.pts, picture.time_base = n, Fraction(1, 25)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    mux(tmp_path / "a.mov", SILENCE, RATE, tmp_path / "b.mp4")
    mux(tmp_path / "b.mp4", SILENCE, RATE, tmp_path / "c.mov")
    assert (tag(tmp_path / "b.mp4"), tag(tmp_path / "c.mov")) == (name, name)


@pytest.mark.parametrize(
    ("name", "codec", "pix_fmt"),
    [
        ("a.wmv", "wmv2", "yuv420p"),
        ("a.flv", "flv", "yuv420p"),
        ("a.avi", "huffyuv", "rgb24"),
        ("a.apng", "apng", "rgb24"),
        ("a.gif", "gif", "gray"),
        ("a.avi", "libx264", "yuv420p"),  # B-frames in an AVI
    ],
)
def test_a_picture_that_no_container_holds_can_be_written_again(
    tmp_path: Path, name: str, codec: str, pix_fmt: str
) -> None:
    video = write_video(
        tmp_path / name, n_frames=20, rate=Fraction(10), codec=codec, pix_fmt=pix_fmt, options={"b": "2M"}
    )
    info = probe(video)
    if codec != "gif":
        assert best_suffix(info.fits, info.video_codec) is None
        with pytest.raises(VideoError, match=r"--reencode writes its picture as H\.264"):
            mux(video, SILENCE, RATE, tmp_path / "b.mp4")
    mux(video, SILENCE, RATE, tmp_path / "b.mp4", reencode=True)
    assert streams(tmp_path / "b.mp4", "video") == ["h264"]
    assert numbers(read_frames(tmp_path / "b.mp4", head(20, 10.0), short_side=48).images) == list(range(20))
    assert probe(tmp_path / "b.mp4").duration_s == pytest.approx(info.duration_s, abs=0.002)


def test_recordings_joined_in_one_file_follow_each_other(tmp_path: Path) -> None:
    piece = write_video(tmp_path / "piece.ts", n_frames=50, tone_hz=440.0)
    (tmp_path / "joined.ts").write_bytes(piece.read_bytes() * 2)
    assert probe(tmp_path / "joined.ts").duration_s == pytest.approx(2 * probe(piece).duration_s)
    mux(tmp_path / "joined.ts", SILENCE, RATE, tmp_path / "b.mp4", original_level_db=0.0)
    assert probe(tmp_path / "b.mp4").duration_s == pytest.approx(4.0, abs=0.01)
    for film in ("joined.ts", "b.mp4"):
        shown = numbers(read_frames(tmp_path / film, head(100, 25.0), short_side=48).images)
        assert shown == [*range(50), *range(50)]
    with av.open(str(tmp_path / "b.mp4")) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)[0]
    assert np.abs(sound[2 * 48_000 + 4800 : 3 * 48_000]).max() > 0.3  # the second tone lies under the second picture


def test_a_film_that_breaks_off_has_one_length(tmp_path: Path) -> None:
    with av.open(str(write_video(tmp_path / "whole.mp4", n_frames=100))) as source:
        with av.open(str(tmp_path / "a.mp4"), "w", container_options={"movflags": "+faststart"}) as target:
            copy = target.add_stream_from_template(source.streams.video[0], opaque=True)
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    target.mux(packet)
    content = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(content[: len(content) * 6 // 10])
    info = probe(tmp_path / "a.mp4")
    assert info.promised_s == pytest.approx(4.0)
    assert 1.0 < info.duration_s < 3.4
    mux(tmp_path / "a.mp4", SILENCE, RATE, tmp_path / "b.mp4")
    with av.open(str(tmp_path / "b.mp4")) as container:
        picture, sound = container.streams.video[0], container.streams.audio[0]
        lasts = [float((stream.duration or 0) * (stream.time_base or 0)) for stream in (picture, sound)]
    assert lasts == pytest.approx([info.duration_s] * 2, abs=0.09)
    assert probe(tmp_path / "whole.mp4").promised_s == 0


def test_a_last_frame_that_comes_late_counts(tmp_path: Path) -> None:
    begins = [Fraction(n, 1000) for n in (0, 40, 80, 120, 400)]
    video = write_video(tmp_path / "a.mkv", images=[numbered(i) for i in range(5)], times=begins)
    assert film_span(video).duration_s == probe(video).duration_s >= 0.4
    mux(video, SILENCE, RATE, tmp_path / "b.mkv")
    assert probe(tmp_path / "b.mkv").duration_s == pytest.approx(probe(video).duration_s, abs=0.002)


def test_streams_that_appear_on_the_way_end_no_film() -> None:
    def packets() -> Iterator[av.Packet]:
        yield av.Packet(b"one")
        raise IndexError("list index out of range")  # as PyAV does for a stream that it had not seen before

    assert [bytes(packet) for packet in of_known_streams(packets())] == [b"one"]


def test_the_default_picture_is_shown_and_copied(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        both = [container.add_stream("libx264", rate=25) for _ in range(2)]
        for stream, side in zip(both, (32, 64), strict=True):
            stream.width, stream.height, stream.pix_fmt = side, side, "yuv420p"
            stream.disposition = Disposition.default if side == 64 else Disposition(0)
        for stream in both:
            picture = np.zeros((stream.height, stream.width, 3), dtype=np.uint8)
            for i in range(5):
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 25)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    assert probe(tmp_path / "a.mp4").width == 64
    assert mux(tmp_path / "a.mp4", SILENCE, RATE, tmp_path / "b.mp4") == ("second video 0 (h264)",)
    assert probe(tmp_path / "b.mp4").width == 64


@pytest.mark.parametrize("late", [Fraction(0), Fraction(10, 1000), Fraction(49, 1000), Fraction(200, 1000)])
def test_a_sound_that_begins_a_little_late_stays_late(tmp_path: Path, late: Fraction) -> None:
    click = np.zeros((1, RATE), dtype=np.float32)
    click[0, RATE // 2] = 0.9
    video = write_film(tmp_path / "a.mov", {late: click})
    mux(video, SILENCE, RATE, tmp_path / "b.mov", original_level_db=0.0)
    with av.open(str(tmp_path / "b.mov")) as container:
        sound = np.concatenate([frame.to_ndarray() for frame in container.decode(audio=0)], axis=1)[0]
    assert np.abs(sound).argmax() / 48_000 == pytest.approx(0.5 + float(late), abs=0.002)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Matroska film with two sounds, a subtitle, a font and a cover."""
    folder = tmp_path_factory.mktemp("rich")
    plain = write_video(folder / "plain.mp4", n_frames=50, tone_hz=440.0)
    Image.new("RGB", (16, 16), "red").save(folder / "cover.png")
    with av.open(str(plain)) as source, av.open(str(folder / "film.mkv"), "w") as target:
        picture = target.add_stream_from_template(source.streams.video[0], opaque=True)
        sounds = [target.add_stream_from_template(source.streams.audio[0], opaque=True) for _ in range(2)]
        sounds[1].metadata["language"] = "deu"
        words = target.add_mux_stream("subrip", time_base=Fraction(1, 1000))
        target.add_attachment("font.ttf", "application/x-truetype-font", b"a font")
        target.add_attachment("cover.png", "image/png", (folder / "cover.png").read_bytes())
        spoken = av.Packet(b"hello")
        spoken.stream, spoken.pts, spoken.dts, spoken.duration = words, 500, 500, 700
        spoken.time_base = Fraction(1, 1000)
        target.mux(spoken)
        for packet in source.demux():
            copies = [picture] if packet.stream.type == "video" else sounds
            for copy in copies if packet.size else []:
                twin = av.Packet(bytes(packet))
                twin.pts, twin.dts, twin.time_base, twin.duration = (
                    packet.pts,
                    packet.dts,
                    packet.time_base,
                    packet.duration,
                )
                twin.is_keyframe, twin.stream = packet.is_keyframe, copy
                target.mux(twin)
    return folder / "film.mkv"


@pytest.mark.parametrize("reencode", [False, True])
def test_what_lies_beside_is_kept_where_it_can_be(rich: Path, tmp_path: Path, reencode: bool) -> None:
    assert mux(rich, SILENCE, RATE, tmp_path / "b.mkv", reencode=reencode) == ()
    with av.open(str(tmp_path / "b.mkv")) as container:
        kinds = sorted(stream.type for stream in container.streams)
        assert kinds == ["attachment", "audio", "audio", "subtitle", "video", "video"]
        assert [stream.language for stream in container.streams.audio][1] == "deu"
        spoken = [bytes(packet) for packet in container.demux(subtitles=0) if packet.size]
    assert spoken == [b"hello"]
    left_out = mux(rich, SILENCE, RATE, tmp_path / "b.mp4", reencode=reencode)
    assert left_out == ("subtitle 3 (srt)", "font.ttf")
    with open_video(tmp_path / "b.mp4") as (container, stream):
        assert [extra.words for extra in find_extras(container, stream, tmp_path / "b.mp4")] == [
            "second sound 2 (aac, deu)",
            "cover",
        ]


def test_what_moves_and_what_does_not(tmp_path: Path) -> None:
    images = [Image.fromarray(numbered(i)) for i in range(6)]
    images[0].save(tmp_path / "moves.webp", save_all=True, append_images=images[1:], duration=100, lossless=True)
    images[0].save(tmp_path / "still.webp")
    assert is_picture(tmp_path / "still.webp")
    info = probe(tmp_path / "moves.webp")
    assert (info.is_still, info.video_codec, info.fits) == (False, "webp", ())
    assert info.duration_s == pytest.approx(0.6)
    assert numbers(read_frames(tmp_path / "moves.webp", head(6, 10.0), short_side=48).images) == list(range(6))
    cut = tmp_path / "cut.webp"
    cut.write_bytes((tmp_path / "moves.webp").read_bytes()[:300])
    with pytest.raises(VideoError, match=r"cut\.webp: "):
        probe(cut)
    with pytest.raises(VideoError, match="cannot be read as an animation"):
        as_apng(cut)


def test_photographs_of_phones_are_stills(tmp_path: Path) -> None:
    for name, n_frames in (("still.avif", 1), ("moves.avif", 5)):
        with av.open(str(tmp_path / name), "w", format="avif") as container:
            stream = container.add_stream("libsvtav1", rate=10, options={"preset": "12", "svtav1-params": "avif=0"})
            stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
            for i in range(n_frames):
                frame = av.VideoFrame.from_ndarray(numbered(i, (64, 64)), format="rgb24")
                frame.pts, frame.time_base = i, Fraction(1, 10)
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    still, moves = probe(tmp_path / "still.avif"), probe(tmp_path / "moves.avif")
    assert (still.is_still, still.width, still.duration_s) == (True, 64, 0.0)
    assert not moves.is_still
    assert moves.duration_s == pytest.approx(0.5, abs=0.01)
    frames = read_frames(tmp_path / "still.avif", head(3, 10.0), short_side=64)
    assert numbers(frames.images) == [0, 0, 0]
    assert frames.mask.all()
    (tmp_path / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + b"\0\0\0\x08meta")
    assert is_heif(tmp_path / "phone.heic")
    (tmp_path / "film.mp4").write_bytes(b"\0\0\0\x18ftypisom\0\0\0\0isomavc1" + b"\0\0\0\x08moov")
    assert not is_heif(tmp_path / "film.mp4")
