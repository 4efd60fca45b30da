"""The zero-shot bridge of a hub model, kept by the revisions it was made of: its 618 texts are embedded once."""

import contextlib
import hashlib
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from echoframe.errors import EchoFrameError
from echoframe.mappers.zero_shot import HEARD_AS, SEEN_AS, ZeroShotBridge, load_bridge, save_bridge
from echoframe.output import atomic_folder

FOLDER = "echoframe-bridges"


def kept_bridge(cache: Path | None, made_of: Sequence[str], build: Callable[[], ZeroShotBridge]) -> ZeroShotBridge:
    """The bridge that was kept in `cache` under what it is `made_of` (and the captions), or else a new one, kept from now on.

    cache: none keeps nothing. What is damaged there is made again; where nothing can be written, nothing is kept.
    """
    if cache is None:
        return build()
    name = hashlib.sha256("\n".join((SEEN_AS, HEARD_AS, *made_of)).encode()).hexdigest()[:32]
    folder = cache / FOLDER / name
    if folder.is_dir():
        try:
            return load_bridge(folder)
        except EchoFrameError:
            shutil.rmtree(folder, ignore_errors=True)
    bridge = build()
    with contextlib.suppress(OSError), atomic_folder(folder) as partial:
        save_bridge(bridge, partial)
    return bridge
