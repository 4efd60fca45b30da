"""Small films for what looks at motion: a thing that bounces, pictures in a row, a camera over a wall. (T, H, W, 3) uint8."""

from collections.abc import Sequence

import numpy as np

SIZE = (160, 90)  # width, height


def coloured(grey: np.ndarray) -> np.ndarray:
    """(..., H, W) of 0 to 255, any numbers -> (..., H, W, 3) uint8."""
    return np.repeat(np.clip(grey + 0.5, 0, 255).astype(np.uint8)[..., None], 3, axis=-1)


def wall(
    seed: int = 0, *, size: tuple[int, int] = SIZE, patch: int = 6, low: float = 60, high: float = 200
) -> np.ndarray:
    """(H, W) float: soft patches of that many pixels, in 0 to 255."""
    width, height = size
    random = np.random.default_rng(seed)
    corners = random.uniform(low, high, (height // patch + 2, width // patch + 2))
    rows, columns = np.arange(height) / patch, np.arange(width) / patch
    between = np.stack([np.interp(rows, np.arange(len(corners)), column) for column in corners.T], axis=1)
    return np.stack([np.interp(columns, np.arange(between.shape[1]), row) for row in between])


def bouncing(hits_s: Sequence[float], *, length_s: float, rate: float) -> np.ndarray:
    """A bright block over a floor of dark boards, which it hits at those times, ever less high."""
    width, height = SIZE
    y, x = np.mgrid[:height, :width]
    behind = 120 + 30 * np.sin(x / 9) + 20 * np.sin(y / 7)
    floor, images = 70, []
    grain = np.random.default_rng(0)
    for i in range(round(length_s * rate)):
        time_s = i / rate
        before, after = [t for t in hits_s if t <= time_s], [t for t in hits_s if t > time_s]
        up = 0.0
        if after and before:
            lasts = after[0] - before[-1]
            up = 80 * (time_s - before[-1]) * (after[0] - time_s) * 4 * min(1.0, lasts)
        elif after:
            up = 50 * (1 - (time_s / after[0]) ** 2)  # it falls ever faster
        image = np.where((abs(x - 80) < 10) & (abs(y - floor + 10 + up) < 10), 235, behind)
        image = np.where(y > floor, 60, image)
        images.append(image + grain.normal(0, 1, image.shape))
    return coloured(np.stack(images))


def panned(shift: tuple[float, float], n_frames: int, *, seed: int = 0, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(T, H, W) float: a camera that moves over a wall by whole or half pixels a frame."""
    width, height = size
    far = (int(abs(shift[0]) * n_frames) + 2, int(abs(shift[1]) * n_frames) + 2)
    whole = wall(seed, size=(2 * (width + far[0]), 2 * (height + far[1])), patch=20)  # at twice the size
    images = []
    for i in range(n_frames):
        left, top = (
            round(2 * step * i) if step >= 0 else 2 * room + round(2 * step * i)
            for step, room in zip(shift, far, strict=True)
        )
        part = whole[top : top + 2 * height, left : left + 2 * width]
        images.append(part.reshape(height, 2, width, 2).mean(axis=(1, 3)))
    return np.stack(images)


def joined(shots: Sequence[np.ndarray], *, dissolve: int = 0) -> np.ndarray:
    """Shots (T, H, W) one after the other; the last `dissolve` frames of each are blended into the first of the next."""
    film = shots[0]
    for shot in shots[1:]:
        if not dissolve:
            film = np.concatenate([film, shot])
            continue
        share = (np.arange(dissolve) + 1)[:, None, None] / (dissolve + 1)
        blend = (1 - share) * film[-dissolve:] + share * shot[:dissolve]
        film = np.concatenate([film[:-dissolve], blend, shot[dissolve:]])
    return film


def held(picture: np.ndarray, n_frames: int) -> np.ndarray:
    """(T, H, W): the same picture over and over."""
    return np.repeat(picture[None], n_frames, axis=0)
