"""The sound of a file in blocks, so that a recording of hours takes no more memory than one of seconds.

Sound files are read by libsndfile; what it cannot read, films among it, by FFmpeg. *Conventions*: samples are float32,
frames first, (n, C); sample 0 is the first that is decoded.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
import soundfile
from jaxtyping import Float

from echoframe.data.verify import opened
from echoframe.errors import AudioError, VideoError
from echoframe.media.demux import own_sound
from echoframe.media.own_sound import decoded_sound
from echoframe.media.stills import check_file

LOWEST_RATE, HIGHEST_RATE = 1_000, 768_000  # Hz
MISSING_S = 0.5  # a file that ends so much before its header says was cut off, or its header lies
_BLOCK = 1 << 21  # samples of all channels: 8 MiB
_COUNTED = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "CAF", "FLAC")  # whose headers count their samples


class NoSoundError(AudioError):
    """The file is whole and can be read, but it holds no sound."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """A file whose sound can be read.

    Attributes:
        path: the file.
        sample_rate: in Hz.
        channels: how many.
        promised_s: how long its header says it is; 0 if that is not known or not meant.
        by: which library reads it.
    """

    path: Path
    sample_rate: int
    channels: int
    promised_s: float
    by: str

    def blocks(self, n_frames: int, *, start: int = 0) -> Iterator[Float[np.ndarray, "frames channels"]]:
        """The samples from frame `start` on, `n_frames` at a time; the last block may be shorter.

        Raises AudioError for samples that are not finite, and where the file breaks off; what came before was right.
        """
        reading = self._by_soundfile(n_frames, start) if self.by == "soundfile" else self._by_ffmpeg(n_frames, start)
        for block in reading:
            if not np.isfinite(block).all():
                raise AudioError(f"{self.path}: holds NaN or infinite samples; write the file again from its source")
            yield block

    def block_frames(self, unit: int) -> int:
        """A number of frames that is a multiple of `unit` and fits the memory of a block."""
        return unit * max(_BLOCK // (self.channels * unit), 1)

    def _by_soundfile(self, n_frames: int, start: int) -> Iterator[np.ndarray]:
        done = start
        try:
            with soundfile.SoundFile(self.path) as file:
                if start:
                    file.seek(start)
                while len(block := file.read(n_frames, dtype="float32", always_2d=True)):
                    done += len(block)
                    yield block
        except (soundfile.LibsndfileError, OSError) as error:
            raise AudioError(f"{self.path}: breaks off at {done / self.sample_rate:.1f} s ({error})") from error

    def _by_ffmpeg(self, n_frames: int, start: int) -> Iterator[np.ndarray]:
        converters: dict[tuple[str, str, int], av.AudioResampler] = {}
        layout = ""
        held: list[np.ndarray] = []
        n_held, to_skip = 0, start
        try:
            with opened(self.path) as container:
                for frame in decoded_sound(container, (), self.path):
                    layout = layout or frame.layout.name
                    key = (frame.format.name, frame.layout.name, frame.sample_rate)
                    if key not in converters:
                        converters[key] = av.AudioResampler(format="flt", layout=layout, rate=self.sample_rate)
                    frame.pts = None  # a sound without gaps: only its samples count
                    for piece in converters[key].resample(frame):
                        samples = piece.to_ndarray().reshape(-1, self.channels)[to_skip:]
                        to_skip -= min(piece.samples, to_skip)
                        held.append(samples)
                        n_held += len(samples)
                    if n_held >= n_frames:
                        whole = np.concatenate(held)
                        n_whole = len(whole) // n_frames * n_frames
                        yield from np.split(whole[:n_whole], n_whole // n_frames)
                        held, n_held = [whole[n_whole:]], len(whole) - n_whole
        except (VideoError, av.FFmpegError, ValueError) as error:
            raise AudioError(f"{self.path}: its sound breaks off ({_one_line(error)})") from error
        if n_held:
            yield np.concatenate(held)


def open_recording(path: Path) -> Recording:
    """The sound of a sound file or a film, before any of it is decoded.

    Raises AudioError or InputError for a file that is missing, broken or empty; NoSoundError for one without sound.
    """
    check_file(path)
    try:
        with soundfile.SoundFile(path) as file:
            promised_s = file.frames / file.samplerate if file.format in _COUNTED else 0.0
            found = Recording(
                path=path,
                sample_rate=file.samplerate,
                channels=file.channels,
                promised_s=promised_s,
                by="soundfile",
            )
    except (soundfile.LibsndfileError, OSError):
        found = _by_ffmpeg(path)
    if not LOWEST_RATE <= found.sample_rate <= HIGHEST_RATE:
        raise AudioError(
            f"{path}: its header says {found.sample_rate} Hz; expected {LOWEST_RATE} to {HIGHEST_RATE} Hz, so it is broken"
        )
    return found


def _by_ffmpeg(path: Path) -> Recording:
    try:
        with opened(path) as container:
            stream = own_sound(container)
            if stream is None:
                raise NoSoundError(f"{path}: has no sound that can be decoded; give a sound file or a film with sound")
            # of the first frame: what the header of an HE-AAC stream says is half its rate
            frame = next(iter(decoded_sound(container, (), path)), None)
    except VideoError as error:
        raise AudioError(f"{path}: cannot be read as a sound ({_one_line(error, path)})") from error
    if frame is None:
        raise AudioError(f"{path}: nothing of its sound can be decoded; copy it again from its source")
    return Recording(
        path=path,
        sample_rate=frame.sample_rate,
        channels=frame.layout.nb_channels,
        promised_s=0.0,
        by="ffmpeg",
    )


def read_piece(path: Path, start_s: float, stop_s: float) -> tuple[Float[np.ndarray, "channels samples"], int]:
    """A part of a recording as it is in its file.

    Args:
        path: a sound file or a film.
        start_s: where the part begins, in seconds from the beginning of the file's sound.
        stop_s: where it ends.

    Returns:
        Its samples, (C, S) float32 in [-1, 1], and their sample rate in Hz; fewer where the file ends before.

    Raises:
        AudioError: the file cannot be read.
        InputError: there is no such file.
    """
    recording = open_recording(path)
    start, stop = round(start_s * recording.sample_rate), round(stop_s * recording.sample_rate)
    parts, n_left = [np.zeros((0, recording.channels), dtype=np.float32)], stop - start
    if n_left > 0:
        for block in recording.blocks(min(recording.block_frames(1), n_left), start=start):
            parts.append(block[:n_left])
            n_left -= len(parts[-1])
            if n_left <= 0:
                break
    return np.ascontiguousarray(np.concatenate(parts).T), recording.sample_rate


def level_db(power: Float[np.ndarray, "..."], *, floor_db: float = -120.0) -> Float[np.ndarray, "..."]:
    """Mean squares as dB of full scale, not below `floor_db`."""
    return 10.0 * np.log10(np.maximum(power, 10.0 ** (floor_db / 10)))


def peak_db(peak: float) -> float:
    """A sample's size as dBFS, -120 at least."""
    return max(20.0 * math.log10(max(peak, 1e-12)), -120.0)


def _one_line(error: BaseException, path: Path | None = None) -> str:
    words = " ".join(str(error).split())
    return words.removeprefix(f"{path}: ") if path else words
