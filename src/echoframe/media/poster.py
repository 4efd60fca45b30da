"""One picture of what was seen and what came out: frames, shots, onsets, log-mel with its axes, nearest sound labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from echoframe.media.audio import log_mel, mel_filters
from echoframe.media.poster_cues import EDGE, PosterCues, cues_band, draw_borders
from echoframe.spec import MelSpec

WIDTH, MARGIN, LEFT = 1440, 40, 96  # px; LEFT: of the plots, room for the frequencies
PLOT_HEIGHT, STRIP_HEIGHT, BAND_HEIGHT, ROW_HEIGHT, GAP = 340, 150, 64, 34, 8
PLOT_WIDTH = WIDTH - MARGIN - LEFT
BACKGROUND, INK, FAINT, TRACK = (250, 250, 248), (28, 28, 36), (120, 120, 130), (228, 228, 230)
RANGE_DB = 80.0  # what lies further below the loudest point is drawn as silence
N_MELS = 128
# magma (Nathaniel Smith and Stefan van der Walt, CC0), read off at nine even steps
_MAGMA = [
    (0, 0, 4), (28, 16, 68), (79, 18, 123), (129, 37, 129), (181, 54, 122),
    (229, 80, 100), (251, 135, 97), (254, 194, 135), (252, 253, 191),
]  # fmt: skip


def magma(values: Float[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Colours of values in [0, 1], dark to bright."""
    steps = np.linspace(0, 1, len(_MAGMA))
    channels = [np.interp(values, steps, [colour[c] for colour in _MAGMA]) for c in range(3)]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def poster_spec(sample_rate: int) -> MelSpec:
    """A log-mel from 0 to half the sample rate, 128 bands, about 10 ms a column."""
    hop = 2 * round(sample_rate / 200)
    return MelSpec(sample_rate=sample_rate, n_fft=8 * hop, hop_length=hop, n_mels=N_MELS, f_max=sample_rate / 2)


def mel_image(
    waveform: Float[Tensor, "1 samples"], sample_rate: int, *, max_columns: int = 2000
) -> Float[np.ndarray, "mels columns"]:
    """The log-mel of a sound for drawing: [0, 1], 1 the loudest point, 0 what is 80 dB below; low bands last.

    A long sound is taken piece by piece and averaged to `max_columns`, so that memory does not grow with it.
    """
    spec = poster_spec(sample_rate)
    pooled = max(1, math.ceil(waveform.shape[1] / spec.hop_length / max_columns))
    column = spec.hop_length * pooled  # samples
    piece = column * max(1, 3000 // pooled)  # about 30 s
    columns = []
    for start in range(0, waveform.shape[1], piece):
        # a few frames before and after, then dropped: log_mel mirrors its ends, which would show as a line
        before = min(start, spec.n_fft)
        part = waveform[:, start - before : start + piece + spec.n_fft]
        n_columns = math.ceil((min(start + piece, waveform.shape[1]) - start) / column)
        missing = max(0, before + n_columns * column - part.shape[1], spec.n_fft - part.shape[1])
        mel = log_mel(torch.nn.functional.pad(part, (0, missing)), spec)[0]  # (frames, mels)
        mel = mel[before // spec.hop_length :][: n_columns * pooled]
        columns.append(mel.unflatten(0, (n_columns, pooled)).mean(dim=1))
    decibels = torch.cat(columns).T.flip(0).numpy() * (20 / math.log(10))  # natural log of a magnitude
    return ((decibels - decibels.max()) / RANGE_DB + 1).clip(0, 1)


def band_centres(spec: MelSpec) -> Float[np.ndarray, " mels"]:
    """The middle of each mel band, in Hz."""
    filters = mel_filters(
        sample_rate=spec.sample_rate,
        n_fft=spec.n_fft,
        n_mels=spec.n_mels,
        f_min=spec.f_min,
        f_max=spec.f_max,
        htk=False,
        norm="l1",
    )
    frequencies = np.linspace(0, spec.sample_rate / 2, filters.shape[1])
    weights = filters.sum(axis=1)
    known = weights > 0  # a low band can fall between two bins
    return np.interp(np.arange(len(filters)), np.flatnonzero(known), (filters @ frequencies)[known] / weights[known])


def tick_step(span: float, n_most: int) -> float:
    """The smallest of 1, 2, 5 times a power of ten that gives at most `n_most` steps in `span`.

    >>> tick_step(10.0, 12), tick_step(3600.0, 12), tick_step(0.3, 12)
    (1.0, 500.0, 0.05)
    """
    power = 10.0 ** math.floor(math.log10(span / n_most))
    return next(round(m * power, 12) for m in (1, 2, 5, 10) if span / (m * power) <= n_most + 1e-9)


@dataclass
class _Page:
    image: Image.Image
    draw: ImageDraw.ImageDraw

    def text(
        self, x: float, y: float, text: str, *, size: int = 18, fill: tuple[int, int, int] = INK, anchor: str = "la"
    ) -> None:
        self.draw.text((x, y), text, fill=fill, font=ImageFont.load_default(size), anchor=anchor)


def draw_poster(
    waveform: Float[Tensor, "1 samples"],
    sample_rate: int,
    *,
    frames: UInt8[np.ndarray, "n height width 3"],
    times_s: Sequence[float],
    nearest: Sequence[tuple[str, float]] = (),
    cues: PosterCues | None = None,
    title: str = "",
    subtitle: str = "",
) -> Image.Image:
    """The picture: frames with their times, the log-mel with axes in s and kHz, labels with their cosine.

    cues: onsets stand in a band above the log-mel, and lines through frames and log-mel show where shots end.
    """
    strip_top, strip_height = 110, _strip_height(frames)
    band_top = strip_top + strip_height + 40
    plot_top = band_top + BAND_HEIGHT if cues else band_top + 24
    labels_top = plot_top + PLOT_HEIGHT + 84
    height = labels_top + 40 + max(len(nearest), 1) * ROW_HEIGHT + MARGIN // 2
    image = Image.new("RGB", (WIDTH, height), BACKGROUND)
    page = _Page(image, ImageDraw.Draw(image))
    page.text(MARGIN, 26, _fitted(title, 70), size=30)
    page.text(MARGIN, 68, _fitted(subtitle, 130), size=18, fill=FAINT)
    _draw_strip(page, frames, times_s, strip_top)
    _draw_mel(page, waveform, sample_rate, plot_top)
    if cues:
        _draw_cues(page, cues, waveform.shape[1] / sample_rate, (strip_top, strip_top + strip_height), band_top)
    _draw_labels(page, nearest, labels_top)
    return image


def _fitted(text: str, n_most: int) -> str:
    return text if len(text) <= n_most else f"{text[: n_most // 2 - 1]}...{text[-(n_most // 2 - 2) :]}"


def _cell_width(n_frames: int) -> float:
    return (PLOT_WIDTH - GAP * (n_frames - 1)) / n_frames


def _strip_height(frames: np.ndarray) -> int:
    n_frames, height, width = frames.shape[:3]
    return max(1, min(STRIP_HEIGHT, round(_cell_width(n_frames) * height / width)))


def _draw_strip(page: _Page, frames: np.ndarray, times_s: Sequence[float], top: int) -> None:
    cell, height = _cell_width(len(frames)), _strip_height(frames)
    width = max(1, min(int(cell), round(height * frames.shape[2] / frames.shape[1])))
    # a still stands at the left; frames stand in the middle of their part of the time axis
    room = cell if len(frames) > 1 else width
    for i, (frame, time_s) in enumerate(zip(frames, times_s, strict=True)):
        x = LEFT + i * (cell + GAP)
        picture = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
        page.image.paste(picture, (round(x + (room - width) / 2), top))
        page.text(x + room / 2, top + height + 6, f"{time_s:.1f} s", size=15, fill=FAINT, anchor="ma")


def _draw_cues(page: _Page, cues: PosterCues, duration_s: float, strip: tuple[int, int], top: int) -> None:
    bottom = top + BAND_HEIGHT
    page.image.paste(cues_band(cues, (PLOT_WIDTH, BAND_HEIGHT - 1), duration_s), (LEFT, top))
    page.draw.line((LEFT - 1, bottom, LEFT - 1, top, LEFT + PLOT_WIDTH, top, LEFT + PLOT_WIDTH, bottom), fill=EDGE)
    page.text(LEFT - 12, top + 18, "onsets", size=16, fill=FAINT, anchor="rm")
    spans = (strip, (top, bottom + PLOT_HEIGHT))
    draw_borders(page.image, cues, left=LEFT, width=PLOT_WIDTH, duration_s=duration_s, spans=spans)


def _draw_mel(page: _Page, waveform: Tensor, sample_rate: int, top: int) -> None:
    width, bottom = PLOT_WIDTH, top + PLOT_HEIGHT
    mel = Image.fromarray(magma(mel_image(waveform, sample_rate)))
    page.image.paste(mel.resize((width, PLOT_HEIGHT), Image.Resampling.BICUBIC), (LEFT, top))
    page.draw.rectangle((LEFT - 1, top - 1, LEFT + width, bottom), outline=INK)
    centres = band_centres(poster_spec(sample_rate))
    for khz in (0.2, 0.5, 1, 2, 4, 8, 16):
        if khz * 1000 <= sample_rate / 2:
            band = np.interp(khz * 1000, centres, np.arange(len(centres))) + 0.5
            y = bottom - PLOT_HEIGHT * band / len(centres)
            page.draw.line((LEFT - 7, y, LEFT - 1, y), fill=INK)
            page.text(LEFT - 12, y, f"{khz:g}", size=16, anchor="rm")
    page.text(LEFT - 12, top - 20, "kHz", size=16, fill=FAINT, anchor="rm")
    duration_s = waveform.shape[1] / sample_rate
    step = tick_step(duration_s, 12)
    for i in range(int(duration_s / step + 1e-6) + 1):
        x = LEFT + width * i * step / duration_s
        page.draw.line((x, bottom, x, bottom + 6), fill=INK)
        page.text(x, bottom + 12, f"{i * step:g}", size=16, anchor="ma")
    page.text(LEFT + width / 2, bottom + 36, "seconds", size=16, fill=FAINT, anchor="ma")


def _draw_labels(page: _Page, nearest: Sequence[tuple[str, float]], top: int) -> None:
    page.text(MARGIN, top, "nearest sounds (cosine)", size=18, fill=FAINT)
    if not nearest:
        page.text(MARGIN, top + 40, "this bundle has no labels")
    left, right = 420, WIDTH - MARGIN - 90
    for i, (label, cosine) in enumerate(nearest):
        y = top + 40 + i * ROW_HEIGHT
        page.text(MARGIN, y + 9, _fitted(label, 36), anchor="lm")
        page.draw.rounded_rectangle((left, y, right, y + 18), radius=9, fill=TRACK)
        if cosine > 0:
            end = max(left + 18.0, left + (right - left) * min(cosine, 1.0))
            page.draw.rounded_rectangle((left, y, end, y + 18), radius=9, fill=_MAGMA[4])
        page.text(WIDTH - MARGIN, y + 9, f"{cosine:.2f}", anchor="rm")
