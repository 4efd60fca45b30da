"""Hub repositories whose weights are pickles: the same repository with safetensors in their place, in a folder of ours.

`<cache>/echoframe-converted/<org>--<name>/<commit>/` mirrors the hub's snapshot without its pickles, and holds
converted.json with the sha256 of every file. It appears whole or not at all; once it is there, neither the pickles nor
the snapshot are needed any more.
"""

import logging
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from safetensors import SafetensorError

from echoframe.encoders.convert import PICKLED, convert_pytorch_bin
from echoframe.errors import BundleError, EchoFrameError
from echoframe.output import atomic_folder, file_sha256, is_partial
from echoframe.weights import read_json, write_json

FOLDER = "echoframe-converted"
HASHES = "converted.json"
MIRRORED = (".safetensors", ".json", ".txt")
_STALE_S = 86_400  # no conversion takes a day: a temporary folder older than that was left by a killed one

log = logging.getLogger(__name__)


def converted_folder(cache: Path, repo_id: str, commit: str) -> Path:
    """Where the converted repository lies, or would.

    >>> converted_folder(Path("cache"), "cvssp/audioldm-s-full-v2", "0123").as_posix()
    'cache/echoframe-converted/cvssp--audioldm-s-full-v2/0123'
    """
    return cache / FOLDER / repo_id.replace("/", "--") / commit


def is_converted(folder: Path) -> bool:
    """Whether `folder` is a converted repository from which nothing was taken away."""
    files = _listed(folder)
    return bool(files) and all((folder / name).is_file() for name in files)


def pickle_names(parts: Sequence[str]) -> list[str]:
    """What to fetch for weights folders without safetensors; "." is the repository itself.

    >>> pickle_names([".", "vae"])[1:3]
    ['pytorch_model.bin', 'vae/diffusion_pytorch_model.bin']
    """
    return [str(PurePosixPath(part) / name) for part in parts for name in PICKLED]


def convert_snapshot(snapshot: Path, out: Path, *, parts: Sequence[str]) -> Path:
    """Mirrors `snapshot` as `out`, the pickled weights in the folders `parts` of it as safetensors; returns `out`.

    Nothing in the pickles is run. Raises BundleError, and leaves nothing behind, if a part has no weights, if a pickle
    holds anything but plain tensors, or if there is no room.
    """
    empty = [part for part in parts if not any((snapshot / part / name).is_file() for name in PICKLED)]
    if empty:
        raise BundleError(
            f"{snapshot}: {', '.join(empty)} hold neither safetensors nor {' or '.join(PICKLED)}; "
            "the repository has changed; update echoframe"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        _sweep(out)
        with atomic_folder(out) as whole:
            _mirror(snapshot, whole)
            for part in parts:
                target = convert_pytorch_bin(snapshot / part, whole / part)
                size = target.stat().st_size / 1e6
                log.info("%s: %s: pickle converted to %s, %.0f MB", out.parent.name, part, target.name, size)
            write_json(whole / HASHES, {"files": _hashes(whole)})
            if out.exists() and not is_converted(out):
                shutil.rmtree(out)  # damaged: something in it was deleted
    except (OSError, SafetensorError) as error:
        if is_converted(out):
            return out  # another process was first, with the same files
        raise BundleError(
            f"{out}: cannot be written ({error}); check the folder, and the disk: as much room again is needed as the "
            "pickles take"
        ) from error
    return out


def remove_pickles(snapshot: Path, parts: Sequence[str], fetched: Sequence[Path]) -> int:
    """Removes those pickles of the converted `parts` that were `fetched` to be converted, with the files that the hub's
    cache keeps for them; returns how many bytes of others stay, which were there before for another program's sake.
    """
    kept = 0
    for path in (snapshot / name for name in pickle_names(parts)):
        if not path.is_file():
            continue
        if path not in fetched:
            kept += path.stat().st_size
            continue
        blob = path.resolve()
        path.unlink()
        blob.unlink(missing_ok=True)
    return kept


def check_converted(folder: Path) -> int:
    """Hashes every file against the list made when they were converted; returns how many. Raises BundleError."""
    files = _listed(folder)
    for name, expected in files.items():
        found = file_sha256(folder / name)
        if found != expected:
            raise BundleError(
                f"{folder / name}: altered: sha256 {found[:12]}..., expected {str(expected)[:12]}...; "
                f"delete {folder} and pull the model again"
            )
    return len(files)


def _listed(folder: Path) -> dict[str, str]:
    try:
        files = read_json(folder / HASHES).get("files")
    except EchoFrameError:
        return {}  # none, or damaged: the conversion is made again
    return files if isinstance(files, dict) else {}


def _mirror(snapshot: Path, whole: Path) -> None:
    for path in sorted(path for path in snapshot.rglob("*") if path.suffix in MIRRORED and path.is_file()):
        target = whole / path.relative_to(snapshot)
        target.parent.mkdir(parents=True, exist_ok=True)
        if path.suffix == ".safetensors":
            try:
                os.link(path.resolve(), target)  # large, and never written to again
                continue
            except OSError:
                pass  # a file system without hard links: copied
        shutil.copyfile(path, target)


def _hashes(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): file_sha256(path) for path in files}


def _sweep(out: Path) -> None:
    for left in out.parent.glob(f".{out.name}.*.tmp"):
        if is_partial(left) and time.time() - left.stat().st_mtime > _STALE_S:
            shutil.rmtree(left, ignore_errors=True)
