"""The sounds of a study as they are played: what could name their system, but for the sound itself, is made alike."""

import math
import os
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from echoframe.errors import InputError
from echoframe.evaluation.sounds import Excerpt
from echoframe.evaluation.table import listed
from echoframe.media.audio import n_samples, pad_or_trim, resample
from echoframe.media.containers import best_suffix
from echoframe.media.loudness import integrated_loudness, to_loudness
from echoframe.media.mux import mux
from echoframe.media.video import probe
from echoframe.output import encode_sound

SAMPLE_RATE = 48_000  # Hz, whatever a system's own is
LOUDNESS, TOLERANCE = -23.0, 0.5  # LUFS, LU
LONGEST = 60.0  # s
PLAYED_BY_BROWSERS = ("h264", "vp8", "vp9", "av1")
BEEP_HZ, BEEP_S, GAP_S = 880.0, 0.25, 0.35


@dataclass(frozen=True, kw_only=True, slots=True)
class Film:
    """A film that browsers play. suffix: of a container that holds its picture beside a sound."""

    path: Path
    duration_s: float
    suffix: str


def read_film(path: Path) -> Film:
    """The film at `path`. Raises InputError if browsers do not play it."""
    found = probe(path)
    if found.video_codec not in PLAYED_BY_BROWSERS:
        raise InputError(
            f"{path}: its video is {found.video_codec}, which browsers do not play; convert it to H.264 in MP4"
        )
    suffix = best_suffix(found.fits, found.video_codec)
    if suffix is None:
        raise InputError(f"{path}: its frames cannot be copied beside another sound; convert it to H.264 in MP4")
    return Film(path=path, duration_s=found.duration_s, suffix=suffix)


class MediaMaker:
    """Writes media into `folder`: under random names, at one rate, loudness and time of writing."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._at = folder, time.time_ns()
        self._cut = 0
        self._quiet: list[str] = []
        self._silent: list[str] = []
        self._cancelled: list[str] = []

    def clip(self, sounds: Sequence[tuple[str, Excerpt]], film: Film | None) -> tuple[str, ...]:
        """Files of sounds that belong together, as long as the film or the longest of them; names are for the notes."""
        duration_s = film.duration_s if film else max(sound.duration_s for _, sound in sounds)
        return tuple(self._sound(name, sound, film, n_samples(duration_s, SAMPLE_RATE)) for name, sound in sounds)

    def beeps(self, name: str, counts: Sequence[int], film: Film | None) -> tuple[str, ...]:
        """Files of so many beeps, without the film if it ends before they do."""
        sounds = [(name, _beeps(count)) for count in counts]
        fits = film is not None and film.duration_s >= max(sound.duration_s for _, sound in sounds)
        return self.clip(sounds, film if fits else None)

    def notes(self) -> list[str]:
        """What a reader of the report has to know of the sounds."""
        quiet = f"Sounds more than {TOLERANCE:g} LU quieter than {LOUDNESS:g} LUFS, as their peaks allow no more"
        named = {quiet: self._quiet, "Silent sounds": self._silent, "Sounds that cancel in mono": self._cancelled}
        return [
            *([f"Sounds longer than {LONGEST:g} s, whose beginning is played: {self._cut}."] if self._cut else []),
            *(f"{words}: {listed(names)}." for words, names in named.items() if names),
        ]

    def _sound(self, name: str, sound: Excerpt, film: Film | None, length: int) -> str:
        # loudness is of what is heard: what the film cuts off does not count, nor the silence at the end
        heard = max(1, min(length, n_samples(sound.duration_s, SAMPLE_RATE)))
        waveform = pad_or_trim(resample(sound.waveform, sound.sample_rate, SAMPLE_RATE), heard)
        waveform = to_loudness(waveform, SAMPLE_RATE, LOUDNESS)
        level = integrated_loudness(waveform, SAMPLE_RATE)
        self._cut += sound.is_cut
        if sound.cancels:
            self._cancelled.append(name)
        elif level < LOUDNESS - TOLERANCE:
            (self._quiet if level > -math.inf else self._silent).append(name)
        path = self._folder / (secrets.token_hex(12) + (film.suffix if film else ".wav"))
        if film is None:
            whole = pad_or_trim(waveform, max(1, length))
            path.write_bytes(encode_sound(whole.numpy(), SAMPLE_RATE, suffix=".wav"))
        else:
            mux(film.path, waveform, SAMPLE_RATE, path)
        os.utime(path, ns=(self._at, self._at))  # the order of writing is that of the systems
        return path.name


def _beeps(count: int) -> Excerpt:
    seconds = torch.arange(n_samples(BEEP_S, SAMPLE_RATE)) / SAMPLE_RATE
    tone = torch.sin(2 * torch.pi * BEEP_HZ * seconds) * torch.hann_window(len(seconds)).clamp(max=0.1) * 3
    one = torch.cat([tone, torch.zeros(n_samples(GAP_S, SAMPLE_RATE))])
    return Excerpt(waveform=one.repeat(count)[None], sample_rate=SAMPLE_RATE, is_cut=False, cancels=False)
