"""Takes the pictures of the studio in docs/studio: at a phone's, a laptop's and a large screen's width, light and dark.

PYTHONPATH=src:tests python demo/picture_studio.py

It starts `echoframe web` and makes two sounds of an example. `benchmarks/studio.py` says how long that takes.
"""

import io
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

import browsers
from studios import first_sound, started

PICTURES = Path(__file__).parents[1] / "docs" / "studio"
SIZES = {390: 844, 1280: 800, 1920: 1080}
COLOURS = 96  # as many as a page needs, so that the files are small
PATIENCE_MS = 600_000.0
SEEK = "(player) => new Promise((go) => { player.onseeked = go; player.currentTime = 2; })"


def save(page: Any, name: str, **more: Any) -> None:
    """A picture of the page, in few colours."""
    image = Image.open(io.BytesIO(page.screenshot(**more))).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, browsers.started() as browser:
        first = browser.new_context(viewport={"width": 1280, "height": 800})
        first.set_default_timeout(PATIENCE_MS)
        page = first.new_page()
        with started(Path(folder) / "own") as (_, base):
            page.goto(base)
            first_sound(page)
            page.get_by_text("Done.").wait_for()
            state = first.storage_state()
            for width, height in SIZES.items():
                for scheme in ("light", "dark"):
                    with browser.new_context(
                        viewport={"width": width, "height": height}, color_scheme=scheme, storage_state=state
                    ) as context:
                        outside, troubles = browsers.watched(context, base)
                        context.set_default_timeout(PATIENCE_MS)
                        page = context.new_page()
                        page.goto(base)
                        page.locator("#seen img").wait_for()
                        page.locator("#history input").click()
                        page.get_by_role("option", name="seed 0").click()
                        page.locator("#player video").evaluate(SEEK)
                        page.mouse.move(0, 0)
                        page.wait_for_function("document.querySelector('#player video').readyState === 4")
                        page.wait_for_timeout(1500)
                        save(page, f"{width}-{scheme}", full_page=width == min(SIZES))
                        print(f"{len(outside)} requests to other hosts, {len(troubles)} errors", *troubles)


if __name__ == "__main__":
    main()
