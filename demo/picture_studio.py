"""Takes the pictures of the studio in docs/studio: at a phone's, a laptop's and a large screen's width, light and dark.

PYTHONPATH=src:tests python demo/picture_studio.py

It starts `echoframe web` and makes two sounds of an example. `benchmarks/studio.py` says how long that takes.
"""

import io
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

from browsers import started, watched

PICTURES = Path(__file__).parents[1] / "docs" / "studio"
SIZES = {390: 844, 1280: 800, 1920: 1080}
COLOURS = 96  # as many as a page needs, so that the files are small
PATIENCE_MS = 600_000.0
SEEK = "(player) => new Promise((go) => { player.onseeked = go; player.currentTime = 2; })"


def save(page: Any, name: str, **more: Any) -> None:
    """A picture of the page, in few colours."""
    image = Image.open(io.BytesIO(page.screenshot(**more))).convert("RGB")
    image.quantize(COLOURS, dither=Image.Dither.NONE).save(PICTURES / f"{name}.png", optimize=True)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of the command's server."""
    words = [sys.executable, "-m", "echoframe", "web", "--port", "0", "--folder", str(folder)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield re.findall(r"http\S+", process.stdout.readline())[0]
        finally:
            process.kill()


def main() -> None:
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, started() as browser:
        first = browser.new_context(viewport={"width": 1280, "height": 800})
        first.set_default_timeout(PATIENCE_MS)
        page = first.new_page()
        with served(Path(folder) / "own") as base:
            while True:
                try:
                    page.goto(base)
                    break
                except Exception:  # it is not there yet
                    time.sleep(0.1)
            page.locator("#go:enabled").wait_for()
            page.locator(".example-dog").click()
            page.locator("#seen img").wait_for()
            page.locator("#go").click()
            page.locator("#player video").wait_for()
            page.get_by_text("Done.").wait_for()
            state = first.storage_state()
            for width, height in SIZES.items():
                for scheme in ("light", "dark"):
                    with browser.new_context(
                        viewport={"width": width, "height": height}, color_scheme=scheme, storage_state=state
                    ) as context:
                        outside, troubles = watched(context, base)
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
