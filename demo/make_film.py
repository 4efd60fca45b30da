"""Makes clip.mp4 out of dog.jpg: ten seconds of slow pan and zoom over the one photograph, H.264, no sound.

The film has camera movement and nothing else: the dog in it does not move. Run it again after changing the photograph:

    python demo/make_film.py
"""

from pathlib import Path

import av
from PIL import Image

HERE = Path(__file__).parent
WIDTH, HEIGHT = 1280, 720  # px
FRAME_RATE = 25  # frames per second
DURATION = 10.0  # s

# The view glides between these: left, top and width as shares of the photograph's width, height and width.
START = (0.00, 0.10, 1.00)
END = (0.30, 0.02, 0.62)


def ease(share: float) -> float:
    """0 to 1, slow at both ends: share * share * (3 - 2 * share)."""
    return share * share * (3.0 - 2.0 * share)


def view(photograph: Image.Image, share: float) -> Image.Image:
    """What the camera sees when `share` (0 to 1) of the film has gone by, 1280 x 720 px RGB."""
    left, top, wide = (a + (b - a) * ease(share) for a, b in zip(START, END, strict=True))
    x, y, width = left * photograph.width, top * photograph.height, wide * photograph.width
    # A box of fractions of a pixel: whole pixels would make the slow movement stutter.
    box = (x, y, min(x + width, photograph.width), min(y + width * HEIGHT / WIDTH, photograph.height))
    return photograph.resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC, box=box)


def make_film(photograph: Path, film: Path) -> None:
    """Writes the film of one photograph."""
    picture = Image.open(photograph).convert("RGB")
    count = round(DURATION * FRAME_RATE)
    with av.open(str(film), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAME_RATE, options={"crf": "27", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.thread_count = 1  # so that the same versions write the same bytes
        for index in range(count):
            frame = av.VideoFrame.from_image(view(picture, index / (count - 1)))
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    make_film(HERE / "dog.jpg", HERE / "clip.mp4")
