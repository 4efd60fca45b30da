"""The films that the page offers as examples. demo/make_examples.py made them, SOURCE.md beside them names their licences."""

import base64
import io
from importlib.resources import files
from pathlib import Path

from PIL import Image

from echoframe.media.video import read_frames
from echoframe.spec import ClipSpec

EXAMPLES = {"dog": "A dog", "cat": "A cat", "ball": "A ball"}  # what their buttons say
SIDE = 54  # px: the shorter side of their pictures


def example_film(name: str) -> Path:
    """The film of that name."""
    return Path(str(files("echoframe.studio") / "films" / f"{name}.mp4"))


def pictures_css() -> str:
    """The style that puts a film's picture on its button."""
    rules = []
    for name in EXAMPLES:
        image = read_frames(example_film(name), ClipSpec(n_frames=1, sampling="head"), short_side=SIDE).images[0]
        held = io.BytesIO()
        Image.fromarray(image).save(held, format="JPEG", quality=80)
        address = "data:image/jpeg;base64," + base64.b64encode(held.getvalue()).decode()
        rules.append(f".example-{name}::before {{ background-image: url({address}); }}")
    return "\n".join(rules)
