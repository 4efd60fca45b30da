"""What moves in a film, frame by frame."""

from pathlib import Path

import numpy as np
from jaxtyping import Float

from echoframe.media.video import read_frames
from echoframe.spec import ClipSpec

FRAME_RATE = 25.0  # 1/s
SHORT_SIDE = 72  # px: hands and hammers are seen, the sensor's noise is not
LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


def motion_envelope(path: Path, *, duration_s: float = 10.0) -> Float[np.ndarray, " frames"]:
    """How much each frame differs from the one 40 ms before, the mean over pixels of the change in luma, 0 to 255.

    25 frames a second of the film's first `duration_s` seconds, fewer if it is shorter. A cut is cut down to twice the 95th
    percentile of the others: it is one frame, but would outweigh all. Raises VideoError or InputError as `read_frames`.
    """
    spec = ClipSpec(duration_s=duration_s, frame_rate=FRAME_RATE, n_frames=round(duration_s * FRAME_RATE))
    frames = read_frames(path, spec, short_side=SHORT_SIDE)
    luma = frames.images[frames.mask] @ LUMA
    moved = np.abs(np.diff(luma, axis=0, prepend=luma[:1])).mean(axis=(1, 2))
    return np.minimum(moved, 2 * np.quantile(moved, 0.95))
