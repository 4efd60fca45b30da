"""How soon `echoframe web` gives the first sound of an example, in a real Chromium on the same machine.

    PYTHONPATH=src:tests python benchmarks/studio.py [--runs 5]

Seconds from the start of the command: until its page can be used, until an example's labels are there, and until its first
sound can be played. The browser runs already; a person's clicks are not waited for.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import browsers
from studios import first_sound, started

PATIENCE_MS = 600_000.0


def seconds_until(browser: Any, folder: Path) -> list[float]:
    """Until the page can be used, an example was seen, and its first sound is there."""
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context:
        context.set_default_timeout(PATIENCE_MS)
        page, began = context.new_page(), time.monotonic()
        with started(folder) as (_, base):
            page.goto(base)
            times = first_sound(page)
    return [each - began for each in times]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    args = parser.parse_args()
    print("| run | page, s | labels, s | first sound, s |\n|---|---|---|---|")
    runs = []
    with browsers.started() as browser:
        for n in range(args.runs):
            with tempfile.TemporaryDirectory() as folder:
                runs.append(seconds_until(browser, Path(folder) / "own"))
            print(f"| {n + 1} | {' | '.join(f'{each:.1f}' for each in runs[-1])} |", flush=True)
    print(f"| median | {' | '.join(f'{statistics.median(each):.1f}' for each in zip(*runs, strict=True))} |")


if __name__ == "__main__":
    main()
