"""A sound under a video: the video's packets are copied as they are, the sound is encoded beside them."""

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import torch
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import Flags, InputContainer, OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream
from jaxtyping import Float
from torch import Tensor

from echoframe.errors import InputError, OutputError, VideoError
from echoframe.media.audio import n_samples, pad_or_trim, resample
from echoframe.media.containers import MUX_FORMATS, hidden_order, hides_order, suffix_for
from echoframe.media.demux import open_video, packet_span
from echoframe.media.stills import check_file, is_picture
from echoframe.output import make_folder, replacing

_SAMPLE_RATE = 48_000  # Hz: the one rate that AAC and Opus both take
_BIT_RATE = {1: 128_000, 2: 192_000}  # bit/s by channels
_BLOCK = _SAMPLE_RATE // 2  # samples handed to the encoder at once
# written by the container itself
_OWN_KEYS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})
# the MP4 muxer drops any other key, unless it is told to keep QuickTime's key table
_MP4_KEYS = frozenset(
    "album album_artist artist comment composer copyright creation_time date description genre grouping keywords "
    "location location-eng lyrics synopsis title track".split()  # noqa: SIM905
)


def mux(
    video: Path,
    waveform: Float[Tensor, "channels samples"] | Float[np.ndarray, "channels samples"],
    sample_rate: int,
    out: Path,
    *,
    original_level_db: float | None = None,
) -> None:
    """Writes `out`: the video stream of `video`, bit for bit, with `waveform` as its sound.

    waveform: (C, S) float in [-1, 1], C of 1 or 2, at `sample_rate` Hz; it is cut, or silence is added, to the video's
    duration. AAC in .mp4, .m4v and .mov, Opus in .webm and .mkv. The video's own sound is dropped, or, given
    `original_level_db`, mixed under at that gain; a sum beyond 1 is scaled back as a whole. Metadata, rotation and
    chapters stay; subtitles and data streams do not. `out` appears only when it is whole.
    Raises InputError, VideoError (the stream cannot be read, or not be held by `out`), OutputError (not written).
    """
    sound = _checked_sound(waveform, sample_rate, out)
    if original_level_db is not None and not math.isfinite(original_level_db):
        raise InputError(f"{out}: original_level_db is {original_level_db}; expected decibels, such as -12")
    _check_paths(video, out)
    with open_video(video) as (container, stream):
        first, n_ticks = packet_span(container, stream)
        tick = stream.time_base or Fraction(1)
    if n_ticks <= 0:
        raise VideoError(f"{video}: its video stream lasts 0 s; give a longer video")
    sound = resample(sound, sample_rate, _SAMPLE_RATE)
    if original_level_db is not None:
        sound = _mixed(sound, _original_sound(video, float(first * tick)), original_level_db)
    sound = pad_or_trim(sound, n_samples(float(n_ticks * tick), _SAMPLE_RATE))
    try:
        with replacing([out]) as (partial,):
            _write(video, first, sound.numpy(), partial, out)
    except OSError as error:
        raise OutputError(f"{out}: cannot be written ({error.strerror}); write to another folder") from error


def _checked_sound(waveform: Tensor | np.ndarray, sample_rate: int, out: Path) -> Tensor:
    sound = torch.as_tensor(waveform).detach().cpu().float()
    if sound.ndim != 2 or sound.shape[0] not in _BIT_RATE:
        raise InputError(f"{out}: a waveform of shape {tuple(sound.shape)}; expected (1, samples) or (2, samples)")
    if not torch.isfinite(sound).all():
        raise InputError(f"{out}: the waveform holds NaN or infinite samples; generate it again")
    if sample_rate <= 0:
        raise InputError(f"{out}: sample_rate is {sample_rate}; expected a positive number of Hz")
    return sound


def _check_paths(video: Path, out: Path) -> None:
    check_file(video)
    if is_picture(video):
        raise InputError(f"{video}: is a still image; expected a video that the sound can be added to")
    if out.suffix.lower() not in MUX_FORMATS:
        raise InputError(f'{out}: cannot write "{out.suffix}"; choose {", ".join(MUX_FORMATS)}')
    if out.is_dir():
        raise OutputError(f"{out}: is a folder; give the name of a file in it")
    if out.exists() and os.path.samefile(video, out):
        raise InputError(f"{out}: would overwrite the video it is made from; choose another name")
    if not out.parent.is_dir():
        make_folder(out.parent)


def _mixed(sound: Tensor, original: Tensor | None, level_db: float) -> Tensor:
    if original is None:
        return sound
    length = max(sound.shape[-1], original.shape[-1])
    mixed = pad_or_trim(sound, length) + 10 ** (level_db / 20) * pad_or_trim(original, length)  # mono goes to both
    return mixed / max(1.0, float(mixed.abs().max()))


def _original_sound(video: Path, start_s: float) -> Tensor | None:
    """(C, S) at 48 kHz, sample 0 at `start_s` of the container's clock; None if the video is silent."""
    parts: list[np.ndarray] = []
    position, rate, layout = 0, 0, ""
    converters: dict[tuple[str, str, int], av.AudioResampler] = {}
    with open_video(video) as (container, _):
        for frame in _decoded_sound(container):
            # from the frame: what the header of an HE-AAC stream says is half its rate
            rate = rate or frame.sample_rate
            layout = layout or ("stereo" if frame.layout.nb_channels > 1 else "mono")
            key = (frame.format.name, frame.layout.name, frame.sample_rate)
            if key not in converters:
                converters[key] = av.AudioResampler(format="fltp", layout=layout, rate=rate)
            samples = np.concatenate([piece.to_ndarray() for piece in converters[key].resample(frame)], axis=1)
            begin = position if frame.time is None else round((frame.time - start_s) * rate)
            # a clock of milliseconds jitters by less than 50 ms: only a true gap is filled with silence
            gap = begin - position if begin - position > rate // 20 else 0
            early = max(0, -begin) if position == 0 else 0
            parts.append(np.pad(samples[:, early:], ((0, 0), (gap, 0))))
            position += parts[-1].shape[1]
    if not parts:
        return None
    return resample(torch.from_numpy(np.concatenate(parts, axis=1)), rate, _SAMPLE_RATE)


def _decoded_sound(container: InputContainer) -> Iterator[AudioFrame]:
    for packet in container.demux(container.streams.audio[:1]) if container.streams.audio else ():
        try:
            yield from packet.decode()
        except av.error.InvalidDataError:
            continue  # one broken packet of 20 ms: what follows is still worth hearing


@contextmanager
def _writing(out: Path) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        reason = (error.strerror or type(error).__name__).lower()
        raise OutputError(f"{out}: cannot be written ({reason}); check the disk's space and the folder") from error


def _write(video: Path, first: int, sound: np.ndarray, partial: Path, out: Path) -> None:
    kind = MUX_FORMATS[out.suffix.lower()]
    with open_video(video) as (source, stream):
        options = _mux_options(kind, source.metadata)
        with _writing(out), av.open(f"file:{partial}", "w", format=kind, container_options=options) as target:
            copy = _copied_stream(source, stream, target, video, out)
            audio = target.add_stream("aac" if kind in ("mp4", "mov") else "libopus", rate=_SAMPLE_RATE)
            audio.layout = "stereo" if len(sound) == 2 else "mono"
            audio.bit_rate = _BIT_RATE[len(sound)]
            encoded = _encoded(audio, sound)
            ahead_s = -1.0
            for packet in _packets(source.demux(stream), video):
                # a second of sound ahead of the pictures: the muxer never has to hold more than that
                while ahead_s < float((packet.dts or 0) * packet.time_base) + 1 and (heard := next(encoded, None)):
                    ahead_s = float((heard.pts or 0) * heard.time_base)
                    target.mux(heard)
                packet.pts = None if packet.pts is None else packet.pts - first
                packet.dts = None if packet.dts is None else packet.dts - first
                packet.stream = copy
                target.mux(packet)
            target.mux(list(encoded))


def _mux_options(kind: str, metadata: dict[str, str]) -> dict[str, str]:
    if kind not in ("mp4", "mov"):
        return {}
    unusual = {key.lower() for key in metadata} - _OWN_KEYS - _MP4_KEYS
    return {"movflags": "+faststart+use_metadata_tags" if unusual else "+faststart"}


def _copied_stream(
    source: InputContainer, stream: VideoStream, target: OutputContainer, video: Path, out: Path
) -> VideoStream:
    codec = stream.codec_context.codec.canonical_name
    if hides_order(source, stream):
        raise hidden_order(video, codec)
    source.flags |= Flags.gen_pts.value  # MPEG-4 in AVI: shown times follow from the order of the frames
    try:
        copy = target.add_stream_from_template(stream, opaque=True)
    except ValueError as error:
        raise VideoError(
            f"{out}: {target.format.name} cannot hold {codec} video; name it {out.stem}{suffix_for(codec, video)} instead"
        ) from error
    copy.metadata.update({key: value for key, value in stream.metadata.items() if key.lower() not in _OWN_KEYS})
    target.metadata.update({key: value for key, value in source.metadata.items() if key.lower() not in _OWN_KEYS})
    target.set_chapters(source.chapters())
    return copy


def _packets(demuxed: Iterator[Packet], video: Path) -> Iterator[Packet]:
    try:
        for packet in demuxed:
            if packet.size:
                yield packet
    except av.error.FFmpegError as error:
        raise VideoError(f"{video}: is cut off ({error.strerror}); copy or download it again") from error


def _encoded(audio: AudioStream, sound: np.ndarray) -> Iterator[Packet]:
    for begin in range(0, sound.shape[1], _BLOCK):
        block = np.ascontiguousarray(sound[:, begin : begin + _BLOCK])
        frame = AudioFrame.from_ndarray(block, format="fltp", layout=audio.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = _SAMPLE_RATE, begin, Fraction(1, _SAMPLE_RATE)
        yield from audio.encode(frame)
    yield from audio.encode(None)
