"""Films made by a program: a scene (`scenes.py`) seen through a camera in one of ten looks, with the times of its events.

    python made_films.py OUT [--each 1] [--kinds dropping clapping] [--looks dark] [--seed 0]

writes OUT/KIND_LOOK_SEED.mp4 and OUT/films.csv (file, kind, look, seed, frame_rate, struck: seconds, separated by spaces,
places: X:Y of each, shares of the picture's width and height).
Two kinds and three looks are never learned from (`UNSEEN_KINDS`, `UNSEEN_LOOKS`).
"""

import argparse
import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from scipy.ndimage import gaussian_filter

from calm_scenes import CALM_LEARNED
from more_scenes import LEARNED, MET
from scenes import CALM, STRIKING, WIDTH, Scene, Shape, drifting

KINDS = tuple(STRIKING)
SCENES = {**STRIKING, **CALM, **LEARNED, **CALM_LEARNED, **MET}  # new ones last: the place is a part of the seed
ALL_KINDS = tuple(SCENES)
UNSEEN_KINDS = ("dropping", "clapping")
LOOKS = ("plain", "textured", "grainy", "blurred", "shaking", "crowded", "panning", "zooming", "dark", "compressed")
UNSEEN_LOOKS = ("zooming", "dark", "compressed")
RATES = (Fraction(25), Fraction(30), Fraction(24), Fraction(30000, 1001))
SLOW_RATES = (Fraction(15), Fraction(20))  # learned from as well, as there are such films
APART_S = 0.08  # two events nearer than that are heard as one
SIZE = (320, 180)


@dataclass(frozen=True, kw_only=True)
class Camera:
    """How a scene is seen. move: (shift x, shift y, zoom) at a time in seconds; shutter: share of a frame it stays open."""

    move: Callable[[float], tuple[float, float, float]]
    blur: float = 0.0
    grain: float = 0.0
    exposure: float = 1.0
    shutter: float = 0.0
    crf: int = 20
    texture: float = 0.1
    crowd: bool = False


def still_camera(_: float) -> tuple[float, float, float]:
    return 0.0, 0.0, 1.0


def wandering(
    random: np.random.Generator, length_s: float, *, speed: float, smooth_s: float
) -> Callable[[float], float]:
    """A smooth random path around 0 with that standard deviation."""
    n = int(length_s * 100) + 1
    path = gaussian_filter(random.normal(size=n), smooth_s * 100, mode="wrap")
    path = (path - path.mean()) * (speed / max(path.std(), 1e-9))
    return lambda t: float(np.interp(t * 100, np.arange(n), path))


def camera_of(look: str, random: np.random.Generator, length_s: float) -> Camera:
    """The look's camera: each has its own strength of what it is called by, and a little of what all have."""
    usual = Camera(
        move=still_camera, grain=random.uniform(0, 0.01), shutter=float(random.choice([0.0, 0.3, 0.6])), crf=20
    )
    x, y = (wandering(random, length_s, speed=random.uniform(0.004, 0.012), smooth_s=0.08) for _ in "xy")
    far = wandering(random, length_s, speed=random.uniform(0.1, 0.3), smooth_s=random.uniform(0.8, 2))
    tall = wandering(random, length_s, speed=random.uniform(0.02, 0.1), smooth_s=random.uniform(0.8, 2))
    near = wandering(random, length_s, speed=random.uniform(0.06, 0.2), smooth_s=random.uniform(0.8, 2))
    match look:
        case "plain":
            return replace(usual, texture=0.0)
        case "textured":
            return replace(usual, texture=random.uniform(0.2, 0.6))
        case "grainy":
            return replace(usual, grain=random.uniform(0.02, 0.06))
        case "blurred":
            return replace(usual, blur=random.uniform(0.008, 0.025))
        case "shaking":
            return replace(usual, move=lambda t: (x(t), y(t), 1.0), texture=random.uniform(0.1, 0.5))
        case "crowded":
            return replace(usual, crowd=True, texture=random.uniform(0.1, 0.4))
        case "panning":
            return replace(usual, move=lambda t: (far(t), tall(t), 1.0), texture=random.uniform(0.1, 0.5))
        case "zooming":
            return replace(usual, move=lambda t: (x(t), y(t), 1 + near(t)), texture=random.uniform(0.1, 0.5))
        case "dark":
            return replace(usual, exposure=random.uniform(0.15, 0.35), grain=random.uniform(0.01, 0.03))
        case "compressed":
            return replace(usual, crf=int(random.integers(32, 40)), texture=random.uniform(0.1, 0.3))
    raise ValueError(look)


def _wall(random: np.random.Generator, ground: float, depth: float) -> np.ndarray:
    """(540, 960, 3): what is behind, three times as wide as the picture and as high."""
    layers = sum(
        gaussian_filter(random.normal(size=(540, 960)).astype(np.float32), blur) * blur for blur in (2.0, 6.0, 20.0)
    )
    layers = layers / max(float(np.abs(layers).max()), 1e-9)
    tint = random.uniform(0.7, 1.0, 3).astype(np.float32)
    return np.clip(ground + depth * layers, 0, 1)[..., None].astype(np.float32) * tint


def draw(
    shapes: list[Shape], wall: np.ndarray, skin: np.ndarray, move: tuple[float, float, float], size: tuple[int, int]
) -> np.ndarray:
    """(H, W, 3) float32: shapes over the wall, through a camera moved by `move`."""
    width, height = size
    shift_x, shift_y, zoom = move
    xs = (np.arange(width, dtype=np.float32) + 0.5) / height
    ys = (np.arange(height, dtype=np.float32) + 0.5) / height
    xs, ys = (xs - WIDTH / 2) / zoom + WIDTH / 2 + shift_x, (ys - 0.5) / zoom + 0.5 + shift_y
    rows, columns = (ys + 1) * (len(wall) / 3), (xs + WIDTH) * (wall.shape[1] / (3 * WIDTH))
    picture = _between(_between(wall, rows, 0), columns, 1)
    pixel = 1 / (height * zoom)
    for shape in shapes:
        reach = shape.radius * max(shape.flat, 1) + pixel
        left, right = np.searchsorted(xs, (min(shape.x0, shape.x1) - reach, max(shape.x0, shape.x1) + reach))
        top, bottom = np.searchsorted(ys, (min(shape.y0, shape.y1) - reach, max(shape.y0, shape.y1) + reach))
        if left == right or top == bottom:
            continue
        x, y = xs[None, left:right], ys[top:bottom, None]
        dx, dy = shape.x1 - shape.x0, shape.y1 - shape.y0
        along = ((x - shape.x0) * dx + (y - shape.y0) * dy) / max(dx * dx + dy * dy, 1e-12)
        along = np.clip(along, 0, 1)
        far = np.hypot(x - shape.x0 - along * dx, (y - shape.y0 - along * dy) / shape.flat)
        cover = np.clip((shape.radius - far) / pixel + 0.5, 0, 1)[..., None].astype(np.float32)
        colour = shape.shade * np.asarray(shape.tint, dtype=np.float32)
        if shape.grain:
            across = ((x - shape.x0) * 150).astype(int) % len(skin), ((y - shape.y0) * 150).astype(int) % len(skin)
            colour = colour * (1 + shape.grain * skin[across[1], across[0]][..., None])
        there = picture[top:bottom, left:right]
        there += cover * (colour - there)
    return picture


def _between(values: np.ndarray, places: np.ndarray, axis: int) -> np.ndarray:
    places = np.clip(places, 0, values.shape[axis] - 1.001)
    low = places.astype(int)
    share = (places - low).astype(np.float32).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
    return values.take(low, axis) * (1 - share) + values.take(low + 1, axis) * share


@dataclass(frozen=True, kw_only=True)
class MadeFilm:
    """frames: of (H, W, 3) uint8, as they come. size: (W, H). struck: seconds, and places: (x, y) in the picture, 0 to 1."""

    frames: Iterator[np.ndarray]
    frame_rate: Fraction
    size: tuple[int, int]
    struck: list[float]
    places: list[tuple[float, float]]
    camera: Camera


def make(
    kind: str,
    look: str,
    seed: int,
    *,
    length_s: float = 8.0,
    size: tuple[int, int] = SIZE,
    rates: tuple[Fraction, ...] = RATES,
) -> MadeFilm:
    """A film of that kind and look."""
    random = np.random.default_rng([seed, ALL_KINDS.index(kind), LOOKS.index(look)])
    rate = rates[random.integers(len(rates))]
    ground = float(random.uniform(0.2, 0.8))
    scene = SCENES[kind](random, length_s, ground)
    camera = camera_of(look, random, length_s)
    others = drifting(random, length_s, ground) if camera.crowd else None
    frames = _shoot(scene, others, camera, random, rate=rate, length_s=length_s, ground=ground, size=size)
    struck: list[float] = []
    places: list[tuple[float, float]] = []
    for t, x, y in sorted(scene.struck):
        place = _in_sight(x, y, camera.move(t))
        if t < length_s and place and (not struck or t - struck[-1] >= APART_S):
            struck.append(t)
            places.append(place)
    return MadeFilm(frames=frames, frame_rate=rate, size=size, struck=struck, places=places, camera=camera)


def _in_sight(x: float, y: float, move: tuple[float, float, float]) -> tuple[float, float] | None:
    """Where a place of the scene lies in the picture, 0 to 1; None outside: what happens there cannot be seen."""
    shift_x, shift_y, zoom = move
    seen_x, seen_y = (x - shift_x - WIDTH / 2) * zoom / WIDTH + 0.5, (y - shift_y - 0.5) * zoom + 0.5
    return (seen_x, seen_y) if 0 <= seen_x <= 1 and 0 <= seen_y <= 1 else None


def _shoot(
    scene: Scene,
    others: Scene | None,
    camera: Camera,
    random: np.random.Generator,
    *,
    rate: Fraction,
    length_s: float,
    ground: float,
    size: tuple[int, int],
) -> Iterator[np.ndarray]:
    wall = _wall(random, ground, camera.texture)
    skin = gaussian_filter(random.normal(size=(64, 64)), 1.5, mode="wrap").astype(np.float32) * 3
    n_open = 3 if camera.shutter else 1
    for i in range(int(length_s * rate)):
        picture = np.zeros((size[1], size[0], 3), dtype=np.float32)
        for k in range(n_open):
            t = float(i / rate) + camera.shutter / float(rate) * (k - (n_open - 1) / 2) / n_open
            t = max(t, 0.0)
            shapes = [*(others.shapes(t) if others else []), *scene.shapes(t)]
            picture += draw(shapes, wall, skin, camera.move(t), size) * (scene.light(t) / n_open)
        if camera.blur:
            picture = gaussian_filter(picture, (camera.blur * size[1], camera.blur * size[1], 0))
        picture = picture * camera.exposure + random.normal(0, 1, picture.shape).astype(np.float32) * camera.grain
        yield (np.clip(picture, 0, 1) * 255 + 0.5).astype(np.uint8)


def write(film: MadeFilm, path: Path) -> None:
    """The film as H.264 in an MP4."""
    held = io.BytesIO()
    with av.open(held, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=film.frame_rate)
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(film.camera.crf), "preset": "veryfast"}
        stream.codec_context.thread_count = 1
        stream.width, stream.height = film.size
        for frame in film.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    path.write_bytes(held.getvalue())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--each", type=int, default=1, help="films of every kind and look")
    parser.add_argument("--kinds", nargs="+", choices=ALL_KINDS, default=KINDS)
    parser.add_argument("--looks", nargs="+", choices=LOOKS, default=LOOKS)
    parser.add_argument("--seed", type=int, default=0, help="of the first; the next ones follow")
    parser.add_argument("--length", type=float, default=8.0, help="seconds")
    parser.add_argument("--slow", action="store_true", help="with slow frame rates as well")
    parser.add_argument("--size", type=int, nargs=2, default=SIZE, help="pixels")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rates = (*RATES, *SLOW_RATES) if args.slow else RATES
    rows = []
    for seed in range(args.seed, args.seed + args.each):
        for kind in args.kinds:
            for look in args.looks:
                film = make(kind, look, seed, length_s=args.length, size=tuple(args.size), rates=rates)
                name = f"{kind}_{look}_{seed}.mp4"
                write(film, args.out / name)
                struck = " ".join(f"{t:.4f}" for t in film.struck)
                places = " ".join(f"{x:.3f}:{y:.3f}" for x, y in film.places)
                rows.append((name, kind, look, seed, float(film.frame_rate), struck, places))
        print(f"seed {seed}: {len(rows)} films", flush=True)
    with (args.out / "films.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "kind", "look", "seed", "frame_rate", "struck", "places"))
        writer.writerows(rows)


if __name__ == "__main__":
    main()
