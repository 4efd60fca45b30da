"""What was seen over time, drawn on the picture: a band of onsets over what moves, and lines where one shot ends.

*Conventions*: times are seconds from the beginning of the sound, x is in pixels.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from PIL import Image, ImageDraw

FINE = 4  # how much larger the band is drawn first, so that its edges are smooth
TICK = 3  # px: how wide an onset is
LEAST_TICK = 0.16  # of the band's height: an onset of no confidence
PAPER, MOVING, STRUCK, EDGE = (255, 255, 255), (221, 223, 232), (214, 58, 92), (205, 205, 212)
DASH = (5, 4)  # px: of a dissolve's line, drawn and left out
HALO, LINE = (10, 10, 20, 105), (255, 255, 255, 240)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class PosterCues:
    """What was seen, as it is drawn.

    borders: (time, whether it is a dissolve), rising. onsets: (time, confidence from 0 to 1). times_s, activity: (T,) how
    much moves at each frame, 0 and more, in any unit.
    """

    borders: tuple[tuple[float, bool], ...] = ()
    onsets: tuple[tuple[float, float], ...] = ()
    times_s: Float[np.ndarray, " frames"]
    activity: Float[np.ndarray, " frames"]


def cues_band(cues: PosterCues, size: tuple[int, int], duration_s: float) -> Image.Image:
    """A band of `size` (width, height) that lasts `duration_s`: what moves in grey, onsets as high as they are sure."""
    width, height = (FINE * side for side in size)
    band = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(band)
    xs = np.arange(0, width, FINE)
    room = height - 3 * FINE  # a line of paper stays above the highest
    if len(cues.times_s):
        ys = height - room * np.interp(xs / width * duration_s, cues.times_s, relative(cues.activity), left=0, right=0)
        draw.polygon([(0, height), *zip(xs.tolist(), ys.tolist(), strict=True), (width, height)], fill=MOVING)
    draw.line((0, height - 1, width, height - 1), fill=EDGE, width=2 * FINE)
    for time_s, confidence in sorted(cues.onsets, key=lambda onset: onset[1]):  # the surest in front
        if 0 <= time_s <= duration_s:
            x, high = width * time_s / duration_s, room * (LEAST_TICK + (1 - LEAST_TICK) * confidence)
            place = (x - FINE * TICK / 2, height - high, x + FINE * TICK / 2, height)
            draw.rounded_rectangle(
                place, radius=FINE * TICK / 2, fill=_mixed(confidence), corners=(True, True, False, False)
            )
    return band.resize(size, Image.Resampling.LANCZOS)


def relative(activity: Float[np.ndarray, " frames"]) -> Float[np.ndarray, " frames"]:
    """What moves in parts of the most that does, but for single frames: 0 to 1."""
    usual = np.quantile(activity, 0.98)
    return np.clip(activity / max(float(usual), 1e-9), 0, 1)


def draw_borders(
    image: Image.Image,
    cues: PosterCues,
    *,
    left: int,
    width: int,
    duration_s: float,
    spans: tuple[tuple[int, int], ...],
) -> None:
    """Draws a thin line at each border, dashed for a dissolve, over each of `spans` (top, bottom) of an RGB image."""
    draw = ImageDraw.Draw(image, "RGBA")
    for time_s, is_dissolve in cues.borders:
        if not 0 < time_s < duration_s:
            continue
        x = left + round(width * time_s / duration_s)
        for top, bottom in spans:
            draw.line((x, top, x, bottom), fill=HALO, width=3)
            for y in range(top, bottom + 1, sum(DASH)) if is_dissolve else (top,):
                draw.line((x, y, x, min(y + DASH[0] - 1, bottom) if is_dissolve else bottom), fill=LINE, width=1)


def _mixed(confidence: float) -> tuple[int, ...]:
    """The colour of an onset: paler where it is less sure."""
    share = 0.35 + 0.65 * confidence
    return tuple(round(share * struck + (1 - share) * paper) for struck, paper in zip(STRUCK, PAPER, strict=True))
