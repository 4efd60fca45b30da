"""Which containers can hold a video stream, and what else a film has, beside a new sound: the muxers are asked."""

import io
from collections.abc import Callable
from pathlib import Path

import av
import av.error
from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.video.stream import VideoStream

from echoframe.errors import VideoError

MUX_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
SAMPLE_RATE = 48_000  # Hz: the one rate that AAC and Opus both take
_BY_HOW_WIDELY_PLAYED = (".mp4", ".webm", ".mov", ".mkv")
_AT_HOME = {"ffv1": ".mkv", "msmpeg4v3": ".mkv"}  # where players look for them, though MP4 or MOV would take them
_NO_TAG = "\0\0\0\0"
_HEVC_TAGS = ("dvh1", "dvhe", "hev1", "hvc1")


def containers_of(source: InputContainer, stream: VideoStream) -> tuple[str, ...]:
    """The suffixes, of `MUX_FORMATS`, of the containers whose muxers take the stream as it is beside a sound."""
    if hides_order(source, stream):
        return ()
    kinds = [
        kind
        for kind in dict.fromkeys(MUX_FORMATS.values())
        if takes(kind, source, stream) or takes(kind, source, stream, tagged=False)
    ]
    return tuple(suffix for suffix, kind in MUX_FORMATS.items() if kind in kinds)


def takes(kind: str, source: InputContainer, stream: VideoStream, *, tagged: bool = True) -> bool:
    """Whether the muxer of that name writes a header for a copy of the stream beside a sound. tagged: as `copy_video`."""
    return holds(kind, lambda target: copy_video(target, source, stream, tagged=tagged))


def holds(kind: str, add: Callable[[OutputContainer], object]) -> bool:
    """Whether the muxer of that name writes a header for a sound and what `add` puts beside it."""
    try:
        with av.open(io.BytesIO(), "w", format=kind) as target:
            add_sound(target, "mono")
            add(target)
            target.start_encoding()
    except (av.error.FFmpegError, ValueError):
        return False
    return True


def add_sound(target: OutputContainer, layout: str) -> AudioStream:
    """A new sound in the container: AAC in MP4 and MOV, Opus in Matroska and WebM. layout: "mono" or "stereo"."""
    audio = target.add_stream("aac" if target.format.name in ("mp4", "mov") else "libopus", rate=SAMPLE_RATE)
    audio.layout = layout
    return audio


def copy_video(
    target: OutputContainer, source: InputContainer, stream: VideoStream, *, tagged: bool = True
) -> VideoStream:
    """A stream of the container that takes the packets of `stream`. tagged: under the codec's name in the source, which
    some muxers refuse. Raises ValueError if it holds no such codec.
    """
    copy = target.add_stream_from_template(stream, opaque=True)
    tag = _tag(target.format.name, source, stream) if tagged else ""
    if tag:
        copy.codec_context.codec_tag = tag
    return copy


def _tag(kind: str, source: InputContainer, stream: VideoStream) -> str:
    """The name that MP4 or MOV gives the stream's codec; "" for the muxer's own choice.

    What a film was called it stays: a ProRes is decoded by it. An HEVC from elsewhere becomes hvc1, as Apple's players
    take no hev1.
    """
    codec = stream.codec_context.codec.canonical_name
    if kind not in ("mp4", "mov") and codec != "prores":  # Matroska writes a ProRes' own name, too
        return ""
    try:
        own = stream.codec_context.codec_tag
    except UnicodeDecodeError:  # the tags of AVI and of raw video may hold any byte
        own = _NO_TAG
    if codec == "hevc":
        return own if own in _HEVC_TAGS else "hvc1"
    return own if own != _NO_TAG and (source.format.name.startswith("mov") or codec == "prores") else ""


def hides_order(source: InputContainer, stream: VideoStream) -> bool:
    """Whether the container does not say in which order the frames are shown: an AVI with B-frames."""
    codec = stream.codec_context.codec.canonical_name
    return source.format.name == "avi" and codec in ("h264", "hevc") and stream.codec_context.has_b_frames


def best_suffix(fits: tuple[str, ...], codec: str) -> str | None:
    """Of the containers that can hold the video, the one that most players play; None if there is none."""
    home = _AT_HOME.get(codec)
    return home if home in fits else next((suffix for suffix in _BY_HOW_WIDELY_PLAYED if suffix in fits), None)


def check_held(fits: tuple[str, ...], codec: str, container: str, video: Path, out: Path) -> None:
    """Raises VideoError unless the suffix of `out` is one of `fits`. codec, container: of `video`, as libav calls them."""
    suffix = out.suffix.lower()
    if suffix in fits:
        return
    if not fits and container == "avi" and codec in ("h264", "hevc"):
        raise VideoError(
            f"{video}: an AVI does not say when its {codec} B-frames are shown; --reencode writes its picture as H.264"
        )
    better = best_suffix(fits, codec)
    if better is None:
        raise VideoError(
            f"{video}: no container here can hold {codec} video and a sound; --reencode writes its picture as H.264"
        )
    raise VideoError(f"{out}: {MUX_FORMATS[suffix]} cannot hold {codec} video; name it {out.stem}{better} instead")
