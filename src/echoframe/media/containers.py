"""Which containers can hold a video stream beside a sound."""

import io
from pathlib import Path

import av
from av.container import InputContainer
from av.video.stream import VideoStream

from echoframe.errors import VideoError

MUX_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".webm": "webm"}
# what each holds beside a sound, the most widely played container first; names as libav has them
_HOLDS = {
    ".mp4": {"av1", "h264", "hevc", "mjpeg", "mpeg1video", "mpeg2video", "mpeg4", "png", "vc1", "vp9"},
    ".webm": {"vp8"},
    ".mov": {"dvvideo", "gif", "h263", "prores", "qtrle", "rawvideo"},
    ".mkv": {"ffv1", "theora"},
}


def containers_of(source: InputContainer, stream: VideoStream) -> tuple[str, ...]:
    """The suffixes, of `MUX_FORMATS`, of the containers whose muxers take the stream as it is."""
    if hides_order(source, stream):
        return ()
    kinds = [kind for kind in dict.fromkeys(MUX_FORMATS.values()) if _takes(kind, stream)]
    return tuple(suffix for suffix, kind in MUX_FORMATS.items() if kind in kinds)


def _takes(kind: str, stream: VideoStream) -> bool:
    with av.open(io.BytesIO(), "w", format=kind) as target:
        try:
            target.add_stream_from_template(stream, opaque=True)
        except ValueError:
            return False
    return True


def hides_order(source: InputContainer, stream: VideoStream) -> bool:
    """Whether the container does not say in which order the frames are shown: an AVI with B-frames."""
    codec = stream.codec_context.codec.canonical_name
    return source.format.name == "avi" and codec in ("h264", "hevc") and stream.codec_context.has_b_frames


def hidden_order(video: Path, codec: str) -> VideoError:
    """What `hides_order` means for the user."""
    return VideoError(f"{video}: an AVI does not say when its {codec} B-frames are shown; convert it to MP4 first")


def suffix_for(codec: str, video: Path) -> str:
    """The suffix of a container that can hold video of that codec and a sound: ".mp4" if that can.

    Raises VideoError if none can. video: for the message.
    """
    for suffix, codecs in _HOLDS.items():
        if codec in codecs:
            return suffix
    raise VideoError(f"{video}: no container here can hold {codec} video and a sound; convert it to MP4 first")
