"""Makes the films that the studio offers as examples: a dog and a cat, panned over a photograph, and a ball that bounces.

PYTHONPATH=recipes/timing python demo/make_examples.py
"""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from make_film import ease
from PIL import Image

import made_films

ROOT = Path(__file__).parents[1]
FILMS = ROOT / "src" / "echoframe" / "studio" / "films"
RATE = Fraction(24)  # frames per second
LENGTH_S = 6.0
# photograph; size of the film, in pixels; left, top and width of the view at the start and at the end, as shares
PANS = {
    "dog": (ROOT / "demo" / "dog.jpg", (640, 360), (0.00, 0.10, 1.00), (0.30, 0.02, 0.62)),
    "cat": (ROOT / "tests" / "data" / "chelsea.jpg", (480, 270), (0.00, 0.05, 1.00), (0.20, 0.08, 0.66)),
}


def pan(name: str) -> Iterator[np.ndarray]:
    """The frames of a slow pan and zoom, (H, W, 3) uint8."""
    path, (width, height), start, end = PANS[name]
    photograph = Image.open(path).convert("RGB")
    count = round(LENGTH_S * RATE)
    for index in range(count):
        share = ease(index / (count - 1))
        left, top, wide = (a + (b - a) * share for a, b in zip(start, end, strict=True))
        x, y, across = left * photograph.width, top * photograph.height, wide * photograph.width
        box = (x, y, min(x + across, photograph.width), min(y + across * height / width, photograph.height))
        yield np.asarray(photograph.resize((width, height), Image.Resampling.BICUBIC, box=box))


def write(path: Path, frames: Iterator[np.ndarray], size: tuple[int, int]) -> None:
    """A film of the frames, as H.264 without sound."""
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "27", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.thread_count = 1  # so that the same versions write the same bytes
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))


def main() -> None:
    for name, (_, size, *_) in PANS.items():
        write(FILMS / f"{name}.mp4", pan(name), size)
    ball = made_films.make("bouncing", "plain", 3, length_s=LENGTH_S, size=(640, 360), rates=(RATE,))
    write(FILMS / "ball.mp4", ball.frames, ball.size)


if __name__ == "__main__":
    main()
