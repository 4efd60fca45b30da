"""A sound under a video: the video's packets are copied as they are, the sound is encoded beside them."""

import errno
import math
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
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
from av.stream import Disposition
from av.video.stream import VideoStream
from jaxtyping import Float
from torch import Tensor

from echoframe.errors import InputError, OutputError, VideoError
from echoframe.media.audio import n_samples, pad_or_trim, resample
from echoframe.media.containers import (
    MUX_FORMATS,
    SAMPLE_RATE,
    add_sound,
    check_held,
    containers_of,
    copy_video,
    takes,
)
from echoframe.media.decoder import VideoReader
from echoframe.media.demux import Clock, Span, check_cut, demuxed, film_span, open_video
from echoframe.media.extras import ExtraWriter, find_extras, kept_extras
from echoframe.media.own_sound import mixed, read_own_sound
from echoframe.media.reencode import add_h264, h264_packets
from echoframe.media.stills import check_file, is_picture
from echoframe.output import make_folder, replacing

_BIT_RATE = {1: 128_000, 2: 192_000}  # bit/s by channels
_BLOCK = SAMPLE_RATE // 2  # samples handed to the encoder at once
# written by the container itself
_OWN_KEYS = frozenset({"major_brand", "minor_version", "compatible_brands", "encoder", "duration"})
# the MP4 muxer drops any other key, unless it is told to keep QuickTime's key table
_MP4_KEYS = frozenset(
    "album album_artist artist comment composer copyright creation_time date description genre grouping keywords "
    "location location-eng lyrics synopsis title track".split()  # noqa: SIM905
)
# what an operating system says of a disk or a folder; anything else that fails is the film's
_DISK = (errno.EACCES, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENOENT, errno.ENOSPC, errno.EPERM, errno.EROFS)


def mux(
    video: Path,
    waveform: Float[Tensor, "channels samples"] | Float[np.ndarray, "channels samples"],
    sample_rate: int,
    out: Path,
    *,
    original_level_db: float | None = None,
    reencode: bool = False,
) -> tuple[str, ...]:
    """Writes `out`: the video stream of `video`, bit for bit, with `waveform` as its sound. Gives what is left out of it.

    waveform: (C, S) float in [-1, 1], C of 1 or 2, at `sample_rate` Hz; it is cut, or silence is added, to the video's
    duration. AAC in .mp4, .m4v and .mov, Opus in .webm and .mkv. The sound that players play is dropped, or, given
    `original_level_db`, mixed under at that gain; a sum beyond 1 is scaled back as a whole. Metadata, rotation and
    chapters stay; so do subtitles, covers, attachments and second sounds where `out` can hold them, and each of the
    strings that are returned names one that it cannot. reencode: writes the picture as H.264 instead of copying it.
    `out` appears only when it is whole.
    Raises InputError, VideoError (the stream cannot be read, or not be held by `out`), OutputError (not written).
    """
    sound = _checked_sound(waveform, sample_rate, out)
    if original_level_db is not None and not math.isfinite(original_level_db):
        raise InputError(f"{out}: original_level_db is {original_level_db}; expected decibels, such as -12")
    _check_paths(video, out)
    span = film_span(video)
    if span.n_ticks <= 0:
        raise VideoError(f"{video}: its video stream lasts 0 s; give a longer video")
    sound = resample(sound, sample_rate, SAMPLE_RATE)
    if original_level_db is not None:
        sound = mixed(sound, read_own_sound(video, span), original_level_db)
    sound = pad_or_trim(sound, n_samples(span.duration_s, SAMPLE_RATE))
    try:
        with replacing([out]) as (partial,):
            return _write(video, span, sound.numpy(), partial, out, reencode=reencode)
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


@contextmanager
def _writing(out: Path, video: Path) -> Iterator[None]:
    try:
        yield
    except av.error.FFmpegError as error:
        reason = (error.strerror or type(error).__name__).lower()
        if error.errno in _DISK:
            raise OutputError(f"{out}: cannot be written ({reason}); check the disk's space and the folder") from error
        kind = MUX_FORMATS[out.suffix.lower()]
        raise VideoError(
            f"{video}: its picture cannot be copied into {kind} ({reason}); --reencode writes it as H.264"
        ) from error


def _write(video: Path, span: Span, sound: np.ndarray, partial: Path, out: Path, *, reencode: bool) -> tuple[str, ...]:
    kind = MUX_FORMATS[out.suffix.lower()]
    with ExitStack() as stack:
        source, stream = stack.enter_context(open_video(video))
        reader = stack.enter_context(VideoReader(video)) if reencode else None
        kept, left_out = kept_extras(find_extras(source, stream, video), kind)
        options = _mux_options(kind, source.metadata)
        stack.enter_context(_writing(out, video))
        target = stack.enter_context(av.open(f"file:{partial}", "w", format=kind, container_options=options))
        picture = add_h264(target, reader) if reader else _copied_stream(source, stream, target, video, out)
        audio = add_sound(target, "stereo" if len(sound) == 2 else "mono")
        audio.bit_rate = _BIT_RATE[len(sound)]
        picture.disposition = audio.disposition = Disposition.default
        target.metadata.update({key: value for key, value in source.metadata.items() if key.lower() not in _OWN_KEYS})
        target.set_chapters(source.chapters())
        extras = ExtraWriter(target, kept, span)
        if reader:
            pictures = extras.beside(h264_packets(reader, picture, span.n_ticks), source, video)
        else:
            pictures = _copies(source, stream, picture, span, extras, video)
        interleave(target, pictures, _encoded(audio, sound))
    return tuple(extra.words for extra in left_out)


def _mux_options(kind: str, metadata: dict[str, str]) -> dict[str, str]:
    if kind not in ("mp4", "mov"):
        return {}
    unusual = {key.lower() for key in metadata} - _OWN_KEYS - _MP4_KEYS
    return {"movflags": "+faststart+use_metadata_tags" if unusual else "+faststart"}


def interleave(target: OutputContainer, pictures: Iterator[Packet], heard: Iterator[Packet]) -> None:
    """Writes both; a second of sound ahead of the pictures: the muxer never has to hold more than that.

    heard: the packets of the sound. Both streams are on one clock that begins at 0.
    """
    ahead_s = -1.0
    for packet in pictures:
        while ahead_s < float((packet.dts or 0) * packet.time_base) + 1 and (sound := next(heard, None)):
            ahead_s = float((sound.pts or 0) * sound.time_base)
            target.mux(sound)
        target.mux(packet)
    target.mux(list(heard))


def _copied_stream(
    source: InputContainer, stream: VideoStream, target: OutputContainer, video: Path, out: Path
) -> VideoStream:
    check_held(containers_of(source, stream), stream.codec_context.codec.canonical_name, source.format.name, video, out)
    source.flags |= Flags.gen_pts.value  # MPEG-4 in AVI: shown times follow from the order of the frames
    copy = copy_video(target, source, stream, tagged=takes(target.format.name, source, stream))
    copy.metadata.update({key: value for key, value in stream.metadata.items() if key.lower() not in _OWN_KEYS})
    return copy


def _copies(
    source: InputContainer, stream: VideoStream, copy: VideoStream, span: Span, extras: ExtraWriter, video: Path
) -> Iterator[Packet]:
    clock = Clock(stream)
    for packet in _packets(demuxed(source, stream, *extras.sources), video):
        if packet.stream_index != stream.index:
            extras.write(packet)
            continue
        clock.set(packet)
        packet.pts = None if packet.pts is None else packet.pts - span.first
        packet.dts = None if packet.dts is None else packet.dts - span.first
        packet.stream = copy
        yield packet


def _packets(demuxed: Iterator[Packet], video: Path) -> Iterator[Packet]:
    """Those that hold something, up to where the film breaks off."""
    try:
        for packet in demuxed:
            if packet.size:
                yield packet
    except av.error.FFmpegError as error:
        check_cut(error, video)


def _encoded(audio: AudioStream, sound: np.ndarray) -> Iterator[Packet]:
    for begin in range(0, sound.shape[1], _BLOCK):
        block = np.ascontiguousarray(sound[:, begin : begin + _BLOCK])
        frame = AudioFrame.from_ndarray(block, format="fltp", layout=audio.layout.name)
        frame.sample_rate, frame.pts, frame.time_base = SAMPLE_RATE, begin, Fraction(1, SAMPLE_RATE)
        yield from audio.encode(frame)
    yield from audio.encode(None)
