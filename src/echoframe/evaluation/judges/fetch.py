"""Fetches the weights of a protocol's judges from where their authors published them, once, and only when asked to.

A file is kept under its published name if its digest is the published one; another is not kept at all.
"""

import os
import shutil
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from echoframe.bundles.hub import fetch_repo, find_repo
from echoframe.bundles.hub_models import CLAP
from echoframe.errors import BundleError, InputError
from echoframe.evaluation.judges import melception, panns, passt, vggish, yamnet
from echoframe.evaluation.judges.checkpoint import Published, digest_fault
from echoframe.output import atomic_files

PUBLISHED: dict[str, Published] = {
    "vggish": vggish.PUBLISHED,
    "panns-16k": panns.PUBLISHED,
    "passt": passt.PUBLISHED,
    "melception": melception.PUBLISHED,
    "yamnet": yamnet.PUBLISHED,
}
TIMEOUT_S = 60.0
Open = Callable[[str], AbstractContextManager[IO[bytes]]]


def judges_folder() -> Path:
    """Where fetched weights lie: $XDG_CACHE_HOME/echoframe/judges, or ~/.cache/echoframe/judges."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "echoframe" / "judges"


def find_weights(judge: str) -> Path | None:
    """The fetched weights of that judge, by no network; none if they were not fetched."""
    if judge == "clap":
        return find_repo(CLAP)
    path = judges_folder() / PUBLISHED[judge].file
    return path if path.is_file() else None


def pull_judges(
    judges: tuple[str, ...], *, tell: Callable[[str], None], open_url: Open | None = None
) -> dict[str, Path]:
    """Fetches what is not there, and checks every file: judge to its file or folder. A judge that needs none has no entry.

    Raises InputError that names every file that could not be had, once all were tried.
    """
    found: dict[str, Path] = {}
    failed: list[str] = []
    for judge in judges:
        if judge not in PUBLISHED and judge != "clap":
            continue
        try:
            found[judge] = fetch_repo(CLAP) if judge == "clap" else _pull(PUBLISHED[judge], tell, open_url or _open)
            tell(f"{judge}: {found[judge]}")
        except (BundleError, InputError) as error:
            failed.append(str(error))
    if failed:
        raise InputError("; ".join(failed))
    return found


def _pull(published: Published, tell: Callable[[str], None], open_url: Open) -> Path:
    path = judges_folder() / published.file
    if path.is_file():
        fault = digest_fault(path, published)
        if fault:
            raise BundleError(f"{path}: {fault}; delete it, and pull it again")
        return path
    tell(f"fetching {published.url}")
    with atomic_files([path]) as (partial,):
        try:
            with open_url(published.url) as answer, partial.open("wb") as file:
                shutil.copyfileobj(answer, file)
        except (urllib.error.URLError, TimeoutError, ConnectionError) as error:
            reason = getattr(error, "reason", None) or error
            raise InputError(
                f"{published.url}: cannot be fetched ({reason}); check the network, or put the file at {path} yourself"
            ) from error
        fault = digest_fault(partial, published)
        if fault:
            raise BundleError(f"{published.url}: {fault}; it is not kept; try again, or fetch it elsewhere")
    return path


def _open(url: str) -> AbstractContextManager[IO[bytes]]:
    return urllib.request.urlopen(urllib.request.Request(url, headers={"User-Agent": "echoframe"}), timeout=TIMEOUT_S)
