"""`echoframe generate`, with the CPU seconds of its parts written to a file.

    python benchmarks/timed_generate.py PARTS.json CLIP -o OUT ...

It runs the echoframe that Python finds, of any commit since 0.4.0, so PYTHONPATH chooses the checkout. A part's seconds are
of all threads, user and system, without those of the parts inside it; "rest" is what no part holds. Noise comes from the
seed alone, as it did in 0.4.0, and not from the clip too, so that commits before and after can be compared.
"""

import contextlib
import inspect
import json
import sys
import time
from collections.abc import Callable
from functools import partialmethod
from pathlib import Path
from typing import Any


class Parts:
    """CPU seconds by the name of a part."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._inside = [0.0]  # seconds of the parts within each part that is open

    def measure(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def measured(*args: Any, **options: Any) -> Any:
            began = time.process_time()
            self._inside.append(0.0)
            try:
                return work(*args, **options)
            finally:
                whole = time.process_time() - began
                self.seconds[name] = self.seconds.get(name, 0.0) + whole - self._inside.pop()
                self._inside[-1] += whole

        return measured

    def replace(self, name: str, owner: Any, attribute: str) -> None:
        setattr(owner, attribute, self.measure(name, getattr(owner, attribute)))


def run(parts: Parts, arguments: list[str]) -> int:
    with contextlib.suppress(ImportError):  # as the command does before it loads torch, in checkouts that do
        from echoframe.apps.threads import wait_briefly

        wait_briefly()
    from echoframe.apps import cli, generate
    from echoframe.encoders.clap import ClapAudioEncoder
    from echoframe.encoders.clip import ClipVisualEncoder
    from echoframe.generators.audioldm import AudioLdmGenerator
    from echoframe.pipeline import EchoFrame

    if "own_chance" in inspect.signature(EchoFrame.render).parameters:
        EchoFrame.render = partialmethod(EchoFrame.render, own_chance=False)  # type: ignore[method-assign]
    parts.seconds["importing"] = time.process_time()
    parts.replace("loading", generate, "load")
    parts.replace("texts", AudioLdmGenerator, "embed_text")
    parts.replace("CLIP", ClipVisualEncoder, "__call__")
    parts.replace("steps", AudioLdmGenerator, "_denoise")
    parts.replace("decoding", AudioLdmGenerator, "decode")
    parts.replace("CLAP", ClapAudioEncoder, "__call__")
    return cli.main(["generate", *arguments])


def main() -> int:
    out, *arguments = sys.argv[1:]
    parts = Parts()
    code = run(parts, arguments)
    parts.seconds["rest"] = time.process_time() - sum(parts.seconds.values())
    Path(out).write_text(json.dumps(parts.seconds, indent=1), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
