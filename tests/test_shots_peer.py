"""A second opinion on cuts: ContentDetector of PySceneDetect, on small films in colour, made here.

Both have to name the same frames, within one. Where the two differ on purpose, the film is of its own and the test says why.
"""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from echoframe.media.video import probe
from echoframe.timing.watch import watch
from moving_pictures import SIZE, wall
from planted_video import write_video

RATES = (Fraction(25), Fraction(30000, 1001), Fraction(24))
KINDS = ("walls", "gradients", "shapes", "moving", "panning", "grainy")
EACH = 4  # films of a kind


def tinted(grey: np.ndarray, nth: int) -> np.ndarray:
    """(H, W, 3) in 0 to 255: a grey picture, reddish, greenish and bluish in turn."""
    return grey[..., None] * np.roll([1.0, 0.8, 0.5], nth)


def picture(random: np.random.Generator, kind: str, nth: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """(H, W, 3) in 0 to 255: what the shot number `nth` shows."""
    width, height = size
    if kind == "gradients":  # from the side and from above in turn
        dark, bright = random.uniform(0, 40), random.uniform(215, 255)
        across = np.linspace(dark, bright, size[nth % 2])[:: random.choice([-1, 1])]
        return tinted(np.broadcast_to(across[:, None] if nth % 2 else across, (height, width)), nth)
    if kind == "shapes":
        image = np.full((height, width, 3), random.uniform(20, 230, 3))
        y, x = np.mgrid[:height, :width]
        for _ in range(6):
            centre_x, centre_y, radius = random.uniform(0, width), random.uniform(0, height), random.uniform(8, 30)
            image[np.hypot(x - centre_x, y - centre_y) < radius] = random.uniform(0, 255, 3)
        return image
    patch = 10 if kind == "panning" else 25
    return tinted(wall(int(random.integers(1 << 30)), size=size, patch=patch, low=0, high=255), nth)


def shot(random: np.random.Generator, kind: str, nth: int, n: int) -> np.ndarray:
    """(n, H, W, 3) in 0 to 255."""
    width, height = SIZE
    if kind == "panning":
        step = int(random.choice([-2, -1, 1, 2]))
        far = picture(random, kind, nth, (width + abs(step) * n, height))
        lefts = [step * i if step > 0 else -step * (n - i) for i in range(n)]
        return np.stack([far[:, left : left + width] for left in lefts])
    film = np.repeat(picture(random, kind, nth)[None], n, axis=0)
    if kind == "moving":
        shade, top, speed = random.uniform(0, 255, 3), int(random.integers(10, 50)), random.uniform(0.5, 3)
        for i, image in enumerate(film):
            left = round(speed * i)
            image[top : top + 24, left : left + 24] = shade
    if kind == "grainy":
        film = film + random.normal(0, 8, film.shape)
    return film


def written(path: Path, shots: list[np.ndarray], rate: Fraction = RATES[0]) -> Path:
    images = np.clip(np.concatenate(shots), 0, 255).astype(np.uint8)
    return write_video(path, images=list(images), rate=rate)


def made(path: Path, kind: str, seed: int) -> tuple[Path, list[int]]:
    """A film of several shots, and the first frames of all but the first of them."""
    random = np.random.default_rng([KINDS.index(kind), seed])
    lengths = random.integers(18, 40, random.integers(3, 6)).tolist()
    shots = [shot(random, kind, nth, n) for nth, n in enumerate(lengths)]
    return written(path, shots, RATES[seed % len(RATES)]), np.cumsum(lengths)[:-1].tolist()


def theirs(path: Path) -> list[int]:
    """The first frames of shots, as PySceneDetect's detector finds them with its own settings."""
    scenedetect = pytest.importorskip("scenedetect")
    scenes = scenedetect.detect(str(path), scenedetect.ContentDetector())
    return [begin.frame_num for begin, _ in scenes[1:]]


def ours(path: Path) -> list[int]:
    info = probe(path)
    return [round(border.time_s * info.frame_rate) for border in watch(info).borders if border.kind == "cut"]


def agree(one: list[int], other: list[int]) -> bool:
    """Whether each frame of one list has a frame of the other within one, both ways round."""
    return all(
        any(abs(frame - each) <= 1 for each in there) for here, there in ((one, other), (other, one)) for frame in here
    )


def test_agreement_is_told_from_disagreement():
    assert agree([10, 50], [11, 49])
    assert agree([], [])
    assert not agree([10], [])
    assert not agree([], [10])
    assert not agree([10, 50], [10, 52])


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_cuts_are_found_as_by_pyscenedetect(kind, tmp_path):
    for seed in range(EACH):
        path, planted = made(tmp_path / f"{kind}{seed}.mp4", kind, seed)
        assert len(planted) >= 2
        found, known = ours(path), theirs(path)
        assert agree(found, known), (seed, planted, found, known)
        assert agree(found, planted), (seed, planted, found)


def test_a_flash_is_a_cut_to_them_and_none_to_us(tmp_path):
    """They compare a frame with the one before; we also look whether the picture comes back."""
    film = np.repeat(picture(np.random.default_rng(0), "walls", 0)[None], 75, axis=0)
    film[40:42] = 255
    path = written(tmp_path / "flash.mp4", [film])
    assert ours(path) == []
    assert theirs(path)[0] == 40


def test_a_cut_between_colours_of_the_same_luma_is_theirs_alone(tmp_path):
    """We watch luma, which is what the cues need; they watch hue and saturation as well."""
    reddish, bluish = np.array([200, 83, 60]), np.array([60, 134, 200])
    assert abs((reddish - bluish) @ [0.299, 0.587, 0.114]) < 5
    path = written(tmp_path / "hue.mp4", [np.ones((30, 90, 160, 1)) * colour for colour in (reddish, bluish)])
    assert theirs(path) == [30]
    assert ours(path) == []


def test_a_cut_between_grey_pictures_is_ours_alone(tmp_path):
    """Their mean of hue, saturation and luma counts a grey film's differences a third."""
    shots = [np.repeat(wall(seed, patch=25)[None, :, :, None], 30, axis=0).repeat(3, axis=3) for seed in (1, 2)]
    path = written(tmp_path / "grey.mp4", shots)
    assert ours(path) == [30]
    assert theirs(path) == []
