"""The normal form of a clip: exactly so long, H.264 at a constant rate and 16-bit FLAC in an MP4; a sound alone, FLAC.

The same source gives the same bytes: one thread writes, and no time or name goes into the file.
"""

import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import av.error
import numpy as np
import soundfile
import soxr
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.context import Flags
from av.container import OutputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from echoframe.data.clip_list import CLIP_S
from echoframe.data.verify import ClipFacts, inspect_clip, opened
from echoframe.errors import InputError, OutputError
from echoframe.media.decoder import VideoReader
from echoframe.media.demux import film_span, own_sound, shown_picture
from echoframe.media.mux import interleave
from echoframe.media.own_sound import decoded_sound
from echoframe.output import atomic_files

# without the macroblock tree: with AVX-512 its sums are not the same twice for some sizes of picture
_ENCODER = {"preset": "veryfast", "crf": "20", "threads": "1", "x264-params": "mbtree=0"}
_BT601 = 5  # how colours become luma and chroma, as libav numbers it
_JITTER_S = 0.1  # two streams that begin within this are meant to begin together
_GAP_S = 0.05  # clocks of milliseconds jitter by less: only a true gap becomes silence


@dataclass(frozen=True, kw_only=True, slots=True)
class Form:
    """duration_s: of each clip. sample_rate: Hz. short_side: pixels, at most. frame_rate: 1/s."""

    duration_s: float = CLIP_S
    sample_rate: int = 48_000
    short_side: int = 360
    frame_rate: int = 25

    def __post_init__(self) -> None:
        if not (0 < self.duration_s <= 3600 and self.sample_rate >= 8000 and self.short_side >= 2):
            raise InputError(
                f"duration {self.duration_s} s, sample rate {self.sample_rate} Hz, short side {self.short_side}; "
                "expected up to 3600 s, 8000 Hz or more, 2 pixels or more"
            )
        if self.frame_rate < 1 or not float(self.duration_s * self.frame_rate).is_integer():
            raise InputError(
                f"frame rate {self.frame_rate}: {self.duration_s} s is not a whole number of frames; choose another rate"
            )

    @property
    def n_frames(self) -> int:
        """Pictures of a clip."""
        return round(self.duration_s * self.frame_rate)

    @property
    def n_samples(self) -> int:
        """Samples of a clip, per channel."""
        return round(self.duration_s * self.sample_rate)

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height of a picture shown at that size: even, never enlarged.

        >>> Form().size(1920, 1080), Form().size(63, 47)
        ((640, 360), (62, 46))
        """
        scale = min(1.0, self.short_side / min(width, height))
        return _even(width * scale, width), _even(height * scale, height)

    def fits(self, facts: ClipFacts, suffix: str) -> bool:
        """Whether a clip of those facts is in this form."""
        sound = ("flac", self.sample_rate, round(self.n_samples / self.sample_rate, 6))
        if (facts.audio_codec, facts.sample_rate, facts.audio_s) != sound or facts.channels > 2:
            return False
        if facts.video_s is None:
            return suffix == ".flac"
        pictures = ("h264", float(self.frame_rate), self.n_frames)
        if (facts.video_codec, facts.frame_rate, facts.n_frames) != pictures or suffix != ".mp4":
            return False
        return self.size(facts.width, facts.height) == (facts.width, facts.height)


def _even(wanted: float, at_most: int) -> int:
    return max(2, min(2 * round(wanted / 2), at_most - at_most % 2))


def write_normal(source: Path, facts: ClipFacts, target: Path, form: Form) -> ClipFacts:
    """Writes the clip at `source`, which has those facts and a sound, to `target` in the normal form; what that holds.

    target: .mp4, or .flac where there is no picture. It appears whole or not at all. Raises InputError for another
    suffix, OutputError if it cannot be written.
    """
    expected = ".flac" if facts.video_s is None else ".mp4"
    if target.suffix != expected:
        raise InputError(f"{target}: cannot hold the normal form of {source.name}; name it {target.stem}{expected}")
    with atomic_files([target]) as (partial,):
        if facts.video_s is None:
            buffer = io.BytesIO()  # libsndfile does not say that a disk is full, a plain write does
            soundfile.write(buffer, _sound(source, None, form), form.sample_rate, format="FLAC", subtype="PCM_16")
            partial.write_bytes(buffer.getvalue())
        else:
            _write_clip(source, facts, partial, target, form)
        return inspect_clip(partial)


def _write_clip(source: Path, facts: ClipFacts, partial: Path, target: Path, form: Form) -> None:
    sound_s, picture_s = _begins(source)
    begin_s = picture_s if abs(sound_s - picture_s) <= _JITTER_S else min(sound_s, picture_s)
    sound = _sound(source, begin_s, form)
    times_s = [max(0.0, i / form.frame_rate + begin_s - picture_s) for i in range(form.n_frames)]
    width, height = form.size(facts.width, facts.height)
    # the reader outside: it would take a fault of the writer for one of the source
    with VideoReader(source, times_s) as reader, _writing(target):
        options = {"fflags": "+bitexact", "movflags": "+faststart"}
        with av.open(f"file:{partial}", "w", format="mp4", container_options=options) as container:
            video = _video_stream(container, width, height, form)
            audio = cast(AudioStream, container.add_stream("flac", rate=form.sample_rate))
            audio.layout, audio.format = "stereo" if sound.shape[1] == 2 else "mono", "s16"
            audio.codec_context.flags |= Flags.bitexact
            pictures = _encoded_pictures(video, _pictures(reader, times_s, width, height))
            interleave(container, pictures, _encoded_sound(audio, sound))


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise OutputError(f"{target}: cannot be written ({reason}); check the disk's space and the folder") from error


def _begins(source: Path) -> tuple[float, float]:
    """Where its sound and its picture begin, in seconds on the container's clock."""
    with opened(source) as container:
        streams = own_sound(container), shown_picture(container)
        sound_s, picture_s = (
            float((each.start_time or 0) * (each.time_base or 0)) if each else 0.0 for each in streams
        )
    return sound_s, picture_s


def _sound(source: Path, begin_s: float | None, form: Form) -> np.ndarray:
    """(S, C) int16, sample 0 at `begin_s` of the container's clock, or the first one; mono or stereo, as it was."""
    parts: list[np.ndarray] = []
    position, rate, layout = 0, 0, ""
    converters: dict[tuple[str, str, int], av.AudioResampler] = {}
    joins = () if begin_s is None else film_span(source).joins
    with opened(source) as container:
        for frame in decoded_sound(container, joins, source):
            rate = rate or frame.sample_rate
            layout = layout or ("stereo" if frame.layout.nb_channels > 1 else "mono")
            key = (frame.format.name, frame.layout.name, frame.sample_rate)
            if key not in converters:
                converters[key] = av.AudioResampler(format="fltp", layout=layout, rate=rate)
            samples = np.concatenate([piece.to_ndarray() for piece in converters[key].resample(frame)], axis=1)
            time_s = frame.time
            if begin_s is None or time_s is None:
                begin = position
            else:
                begin = round((time_s - begin_s) * rate)
            gap = begin - position if begin - position > _GAP_S * rate or position == 0 < begin else 0
            early = max(0, -begin) if position == 0 else 0
            parts.append(np.pad(samples[:, early:], ((0, 0), (gap, 0))))
            position += parts[-1].shape[1]
            if position > (form.duration_s + 0.1) * rate:
                break
    sound = soxr.resample(np.concatenate(parts, axis=1).T, rate, form.sample_rate)[: form.n_samples]
    sound = np.pad(sound, ((0, form.n_samples - len(sound)), (0, 0)))
    # 32768, as libav reads 16 bits: a sound that has them already is kept bit for bit
    return np.clip(np.rint(sound * 32768.0), -32768, 32767).astype(np.int16)


def _video_stream(container: OutputContainer, width: int, height: int, form: Form) -> VideoStream:
    # a keyframe a second: a reader can begin anywhere
    options = _ENCODER | {"g": str(form.frame_rate)}
    stream = cast(VideoStream, container.add_stream("libx264", rate=form.frame_rate, options=options))
    stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
    stream.codec_context.time_base = Fraction(1, form.frame_rate)
    stream.codec_context.colorspace, stream.codec_context.color_range = _BT601, 1
    stream.codec_context.flags |= Flags.bitexact
    return stream


def _pictures(reader: VideoReader, times_s: Sequence[float], width: int, height: int) -> Iterator[np.ndarray]:
    """The picture shown at each time, (H, W, 3) uint8; after the end of the video, its last."""
    shown, image = None, np.empty(0)
    for time_s in times_s:
        frame, _ = reader.frame_at(time_s)
        image = image if frame is shown else reader.render(frame, width, height)
        shown = frame
        yield image


def _encoded_pictures(stream: VideoStream, images: Iterable[np.ndarray]) -> Iterator[Packet]:
    tick, reformatter = stream.codec_context.time_base, VideoReformatter()
    for i, image in enumerate(images):
        frame = VideoFrame.from_ndarray(image, format="rgb24")
        frame = reformatter.reformat(frame, format="yuv420p", dst_colorspace=_BT601, dst_color_range=1, threads=1)
        frame.pts, frame.time_base = i, tick
        yield from stream.encode(frame)
    yield from stream.encode(None)


def _encoded_sound(stream: AudioStream, sound: np.ndarray) -> Iterator[Packet]:
    rate = stream.codec_context.sample_rate
    for begin in range(0, len(sound), rate // 2):
        block = np.ascontiguousarray(sound[begin : begin + rate // 2]).reshape(1, -1)  # packed: left, right, left
        frame = AudioFrame.from_ndarray(block, format="s16", layout=stream.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
        yield from stream.encode(frame)
    yield from stream.encode(None)
