"""How soon `echoframe web` gives the first sound of an example, in a real Chromium on the same machine.

    PYTHONPATH=tests python benchmarks/studio.py [--runs 5]

Seconds from the start of the command: until its page can be used, until an example's labels are there, and until its first
sound can be played. The browser runs already; a person's clicks are not waited for.
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from browsers import started

PATIENCE_MS = 600_000.0


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


def seconds_until(browser: Any, folder: Path) -> list[float]:
    """Until the page can be used, an example was seen, and its first sound is there."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        context.set_default_timeout(PATIENCE_MS)
        page, marks = context.new_page(), [time.monotonic()]
        with served(folder) as base:
            while True:
                try:
                    page.goto(base)
                    break
                except Exception:  # it is not there yet
                    time.sleep(0.1)
            page.locator("#go:enabled").wait_for()
            marks.append(time.monotonic())
            page.locator(".example-dog").click()
            page.locator("#seen img").wait_for()
            marks.append(time.monotonic())
            page.locator("#go").click()
            page.locator("#player video").wait_for()
            marks.append(time.monotonic())
    return [mark - marks[0] for mark in marks[1:]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    print("| run | page, s | labels, s | first sound, s |\n|---|---|---|---|")
    runs = []
    with started() as browser:
        for n in range(args.runs):
            with tempfile.TemporaryDirectory() as folder:
                runs.append(seconds_until(browser, Path(folder) / "own"))
            print(f"| {n + 1} | {' | '.join(f'{each:.1f}' for each in runs[-1])} |", flush=True)
    print(f"| median | {' | '.join(f'{statistics.median(each):.1f}' for each in zip(*runs, strict=True))} |")


if __name__ == "__main__":
    main()
