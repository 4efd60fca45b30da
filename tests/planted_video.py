"""Videos whose every frame says its number, written for the tests.

The left half of frame i has grey level 8 + 15 (i % 16), the right half 8 + 15 (i // 16): up to 256 frames.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from echoframe.spec import ClipSpec

RED, GREEN, BLUE, WHITE = (250, 10, 10), (10, 250, 10), (10, 10, 250), (240, 240, 240)
RATES = {
    "23.976": Fraction(24000, 1001),
    "25": Fraction(25),
    "29.97": Fraction(30000, 1001),
    "50": Fraction(50),
    "60": Fraction(60),
}
FAST = {
    "libx264": {"preset": "ultrafast", "bf": "2", "crf": "10"},
    "libx265": {"preset": "ultrafast", "x265-params": "log-level=none:keyint=20:min-keyint=20"},
    "libvpx-vp9": {"deadline": "realtime", "cpu-used": "8", "crf": "10", "b": "0"},
}


def head(n_frames: int, frame_rate: float) -> ClipSpec:
    """The first `n_frames` looks at `frame_rate` per second."""
    return ClipSpec(duration_s=n_frames / frame_rate + 1, frame_rate=frame_rate, n_frames=n_frames, sampling="head")


def numbered(i: int, size: tuple[int, int] = (64, 48)) -> np.ndarray:
    """Frame number i: (H, W, 3) uint8."""
    image = np.empty((size[1], size[0], 3), dtype=np.uint8)
    image[:, : size[0] // 2], image[:, size[0] // 2 :] = 8 + 15 * (i % 16), 8 + 15 * (i // 16)
    return image


def numbers(images: np.ndarray) -> list[int]:
    """Which frames `images` (T, H, W, 3) are."""
    height, width = images.shape[1:3]
    digits = [images[:, height // 2, width * quarter // 4].mean(-1) for quarter in (1, 3)]
    low, high = (np.rint((digit - 8) / 15).astype(int) for digit in digits)
    return (low + 16 * high).tolist()


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


def write_video(
    path: Path,
    *,
    images: Sequence[np.ndarray] | None = None,
    n_frames: int = 40,
    rate: Fraction = Fraction(25),
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    times: Sequence[Fraction] | None = None,
    start: Fraction = Fraction(0),
    rotation: tuple[int, bool] | None = None,
    aspect: Fraction | None = None,
    tone_hz: float | None = None,
    tone_from_s: float = 0.0,
    metadata: dict[str, str] | None = None,
    colorspace: int | None = None,
    color_range: int | None = None,
) -> Path:
    """`images` (numbered frames by default) at `rate`, or each at its own time, beginning at `start` seconds."""
    images = [numbered(i) for i in range(n_frames)] if images is None else images
    height, width = images[0].shape[:2]
    tick = 1 / rate if times is None else Fraction(1, 1000)
    with av.open(str(path), "w") as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=rate, options={**FAST.get(codec, {}), **(options or {})})
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, pix_fmt
        stream.codec_context.time_base = tick
        stream.bit_rate = 8_000_000 if codec == "mpeg4" else 0  # others go by their quality
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if colorspace is not None:
            stream.codec_context.colorspace = colorspace
        if color_range is not None:
            stream.codec_context.color_range = color_range
        if rotation is not None:
            stream.set_display_rotation(rotation[0], hflip=rotation[1])
        if tone_hz is not None:
            sound = container.add_stream("aac" if path.suffix in (".mp4", ".mov") else "libopus", rate=48_000)
            sound.layout = "stereo"
            frame = _tone(tone_hz, len(images) / float(rate), tone_from_s)
            frame.pts = round(start * 48_000)
            container.mux(sound.encode(frame) + sound.encode(None))
        for i, image in enumerate(images):
            frame = av.VideoFrame.from_ndarray(image, format="rgba" if image.shape[2] == 4 else "rgb24")
            frame = frame.reformat(format=pix_fmt, dst_colorspace=colorspace, dst_color_range=color_range)
            frame.time_base = tick
            frame.pts = round(((i / rate if times is None else times[i]) + start) / tick)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_film(
    path: Path,
    sounds: Mapping[Fraction, np.ndarray],
    *,
    codec: str = "pcm_s16le",
    rate: int = 16_000,
    n_frames: int = 50,
    start: Fraction = Fraction(0),
) -> Path:
    """Numbered frames, 25 a second from `start`, and each of `sounds`, (C, S), at its second."""
    with av.open(str(path), "w", format="ipod" if path.suffix == ".m4a" else None) as container:
        packets = _pictures(container, n_frames, start) if n_frames else []
        sound = container.add_stream(codec, rate=rate)
        assert isinstance(sound, AudioStream)
        sound.layout = "stereo" if len(next(iter(sounds.values()))) == 2 else "mono"
        for begin, samples in sounds.items():
            for at in range(0, samples.shape[1], 1024):
                packets += sound.encode(_piece(samples[:, at : at + 1024], sound, round(begin * rate) + at))
        packets += sound.encode(None)
        for packet in sorted(packets, key=lambda packet: (packet.dts or 0) * packet.time_base):
            container.mux(packet)
    return path


def _pictures(container: OutputContainer, n_frames: int, start: Fraction) -> list[Packet]:
    stream = container.add_stream("libx264", rate=25, options=FAST["libx264"])
    assert isinstance(stream, VideoStream)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
    packets = []
    for i in range(n_frames):
        frame = av.VideoFrame.from_ndarray(numbered(i), format="rgb24")
        frame.pts, frame.time_base = i + round(start * 25), Fraction(1, 25)
        packets += stream.encode(frame)
    return packets + stream.encode(None)


def _piece(samples: np.ndarray, stream: AudioStream, pts: int) -> av.AudioFrame:
    layout, rate = stream.layout.name, stream.codec_context.sample_rate
    frame = av.AudioFrame.from_ndarray(samples.astype(np.float32), format="fltp", layout=layout)
    frame.sample_rate, frame.pts, frame.time_base = rate, pts, Fraction(1, rate)
    return av.AudioResampler(format=stream.codec_context.format, layout=layout, rate=rate).resample(frame)[0]


@contextmanager
def as_nobody(folder: Path) -> Iterator[None]:
    """Inside `folder`, and without root's right to read and write everything."""
    before = Path.cwd()
    folder.chmod(0o755)
    os.chdir(folder)
    is_root = os.geteuid() == 0
    try:
        if is_root:
            os.seteuid(65534)
        yield
    finally:
        if is_root:
            os.seteuid(0)
        os.chdir(before)


def _tone(hz: float, duration_s: float, from_s: float) -> av.AudioFrame:
    seconds = np.arange(round(duration_s * 48_000)) / 48_000
    wave = 0.4 * np.sin(2 * np.pi * hz * seconds) * (seconds >= from_s)
    frame = av.AudioFrame.from_ndarray(np.stack([wave, wave]).astype(np.float32), format="fltp", layout="stereo")
    frame.sample_rate, frame.time_base = 48_000, Fraction(1, 48_000)
    return frame
