"""A film's own sound, in time with its picture, and mixing it under another."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
import torch
from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.container import InputContainer
from av.packet import Packet
from torch import Tensor

from echoframe.media.audio import pad_or_trim, resample
from echoframe.media.containers import SAMPLE_RATE
from echoframe.media.demux import Clock, Span, check_cut, demuxed, open_video, own_sound

_JITTER_S = 0.05  # a clock of milliseconds jitters by less: within a sound only a true gap is filled with silence


def read_own_sound(video: Path, span: Span) -> Tensor | None:
    """(C, S) at 48 kHz, sample 0 at the film's first frame, of the sound that players play; None if there is none."""
    parts: list[np.ndarray] = []
    position, rate, layout = 0, 0, ""
    converters: dict[tuple[str, str, int], av.AudioResampler] = {}
    start_s = float(span.first * span.tick_s)
    with open_video(video) as (container, _):
        for frame in decoded_sound(container, span.joins, video):
            # from the frame: what the header of an HE-AAC stream says is half its rate
            rate = rate or frame.sample_rate
            layout = layout or ("stereo" if frame.layout.nb_channels > 1 else "mono")
            key = (frame.format.name, frame.layout.name, frame.sample_rate)
            if key not in converters:
                converters[key] = av.AudioResampler(format="fltp", layout=layout, rate=rate)
            pieces = converters[key].resample(frame)
            if not pieces:
                continue
            samples = np.concatenate([piece.to_ndarray() for piece in pieces], axis=1)
            begin = position if frame.time is None else round((frame.time - start_s) * rate)
            if begin > (span.duration_s + 1) * rate:
                break  # after the picture's end, or at a time that a broken clock says
            early = max(0, -begin) if position == 0 else 0
            jitter = 0 if position == 0 else round(_JITTER_S * rate)
            gap = begin - position if begin - position > jitter else 0
            parts.append(np.pad(samples[:, early:], ((0, 0), (gap, 0))))
            position += parts[-1].shape[1]
    if not position:
        return None
    return resample(torch.from_numpy(np.concatenate(parts, axis=1)), rate, SAMPLE_RATE)


def decoded_sound(container: InputContainer, joins: Sequence[Fraction], video: Path) -> Iterator[AudioFrame]:
    """The frames of the sound that players play, on the picture's line of time. joins: of the picture, as `Span`.

    Broken packets are left out; a file that is cut off ends where it is cut.
    """
    stream = own_sound(container)
    if stream is None:
        return
    clock, n_joins, decoder = Clock(stream, joins), 0, stream.codec_context
    try:
        for packet in demuxed(container, stream):
            if not packet.size:
                continue
            clock.set(packet)
            if len(clock.joins) > n_joins:  # what went before says nothing of another recording
                n_joins = len(clock.joins)
                yield from _frames_of(decoder, None)
                decoder.flush_buffers()
            yield from _frames_of(decoder, packet)
    except av.error.FFmpegError as error:
        check_cut(error, video)
    yield from _frames_of(decoder, None)


def _frames_of(decoder: AudioCodecContext, packet: Packet | None) -> Iterator[AudioFrame]:
    try:
        yield from decoder.decode(packet)
    except av.error.FFmpegError:
        return  # one broken packet of 20 ms: what follows is still worth hearing


def mixed(sound: Tensor, original: Tensor | None, level_db: float) -> Tensor:
    """`sound` (C, S) with `original` under it at a gain in dB; a sum beyond 1 is scaled back as a whole."""
    if original is None:
        return sound
    length = max(sound.shape[-1], original.shape[-1])
    both = pad_or_trim(sound, length) + 10 ** (level_db / 20) * pad_or_trim(original, length)  # mono goes to both
    return both / max(1.0, float(both.abs().max()))
