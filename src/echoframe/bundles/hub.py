"""Models whose parts lie in several repositories of the Hugging Face hub: what they are, fetching them, finding them.

A repository is pinned to a commit. Where none is known, "main" is resolved when the model is pulled, and the commit
is written to echoframe.lock.json in the cache: every later load takes that one. Safetensors, JSON and text are fetched;
a pickle only where a folder of weights has no safetensors, and then `convert_hub` turns it into one at once.
"""

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from huggingface_hub import HfApi, constants, snapshot_download
from huggingface_hub.errors import HFValidationError, HTTPError
from huggingface_hub.utils import validate_repo_id

from echoframe.bundles.convert_hub import (
    check_converted,
    convert_snapshot,
    converted_folder,
    is_converted,
    pickle_names,
    remove_pickles,
)
from echoframe.bundles.hub_models import HUB_MODELS, PINNED_WEIGHTS, Repo, is_repo_id
from echoframe.bundles.manifest import Manifest, Part, Space
from echoframe.bundles.spaces import spaces_differ
from echoframe.errors import BundleError, InputError
from echoframe.output import file_sha256
from echoframe.weights import read_json, write_json

LOCK = "echoframe.lock.json"
WANTED = ("*.safetensors", "*.json", "*.txt")
UNWANTED = ("*.fp16.safetensors", "*.non_ema.safetensors", "onnx/*", "openvino/*")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_UNREACHABLE = (OSError, HTTPError)


def repos_of(name: str) -> dict[str, Repo]:
    """The repositories of a hub model or, for "organisation/name", that one. Empty if `name` is neither."""
    if name in HUB_MODELS:
        return HUB_MODELS[name].repos
    return {"bundle": Repo(id=name, licence="", weights=())} if is_repo_id(name) else {}


def pull(name: str, *, cache_dir: Path | None = None, tell: Callable[[str], None] | None = None) -> dict[str, Path]:
    """Fetches what `name` needs into the hub's cache: part name to directory. What is there already is not fetched.

    Weights that the hub has only as pickles are converted, and the directory is that of the converted repository.
    tell: of pickles that are not needed any more and stay. Raises BundleError if the hub cannot be reached, does not know a
    repository, or has weights that are not plain, or other than those that are known.
    """
    repos = repos_of(name)
    if not repos:
        raise BundleError(
            f'"{name}": there is nothing to pull; the models on the hub are {", ".join(HUB_MODELS)} and "org/name"'
        )
    found = {}
    # the generator first: it is the largest, and what most likely fails
    for part, repo in sorted(repos.items(), key=lambda item: item[0] != "generator"):
        found[part] = fetch_repo(repo, cache_dir=cache_dir, tell=tell)
    return found


def fetch_repo(repo: Repo, *, cache_dir: Path | None = None, tell: Callable[[str], None] | None = None) -> Path:
    """Fetches one repository into the hub's cache, if it is not there, and returns its folder. tell, raises: as `pull`."""
    try:
        commit = repo.revision
        if not _COMMIT.fullmatch(commit):
            commit = HfApi().model_info(repo.id, revision=repo.revision).sha or repo.revision
        own = converted_folder(cache_folder(cache_dir), repo.id, commit)
        folder, fetched = (own, []) if is_converted(own) else _download(repo, commit, cache_dir)
    except _UNREACHABLE as error:
        raise BundleError(
            f"{repo.id}: cannot be fetched from the hub ({_first_line(error)}); check the network and the name, and pull "
            'it again; or work without it: "mini" comes with the package'
        ) from error
    if folder != own:
        _check_pins(repo, folder)
    pickled = _without_safetensors(repo, folder)
    found = convert_snapshot(folder, own, parts=pickled) if pickled else folder
    kept = remove_pickles(folder, pickled, fetched)
    if kept and tell is not None:
        tell(
            f"{repo.id}: {kept / 1e9:.2f} GB of pickles in {folder} are not needed here any more; another program fetched "
            "them, so they stay"
        )
    if commit != repo.revision:
        _write_lock(repo.id, commit, cache_dir)
    return found


def find_repo(repo: Repo, *, cache_dir: Path | None = None) -> Path | None:
    """The folder of a repository that was fetched, by no network; none if it was not."""
    revision = repo.revision if _COMMIT.fullmatch(repo.revision) else _read_lock(cache_dir).get(repo.id, "main")
    try:
        return _in_cache(repo, str(revision), cache_dir)
    except _UNREACHABLE:
        return None


def locate(name: str, *, cache_dir: Path | None = None) -> dict[str, Path]:
    """Where the parts of `name` lie in the cache, without any network. Raises BundleError if it was not pulled."""
    found = {}
    for part, repo in repos_of(name).items():
        folder = find_repo(repo, cache_dir=cache_dir)
        if folder is None:
            raise BundleError(
                f"{name}: {repo.id} is not on this machine (looked in {cache_folder(cache_dir)}); "
                f'"echoframe models pull {name}" fetches it once, or work without it: "mini" comes with the package'
            )
        found[part] = folder
        pickled = _without_safetensors(repo, found[part])
        if pickled:
            raise BundleError(
                f"{repo.id}: no safetensors in {', '.join(pickled)} ({found[part]}), and pickles are not read; "
                f'"echoframe models pull {name}" converts them once'
            )
    return found


def _check_pins(repo: Repo, folder: Path) -> None:
    """Raises BundleError if a weights file is another than the one that is known under that name."""
    for name, sha256 in PINNED_WEIGHTS.get(repo.id, {}).items():
        found = file_sha256(folder / name) if (folder / name).is_file() else sha256
        if found != sha256:
            raise BundleError(
                f"{folder / name}: its sha256 is {found[:12]}..., the known file's {sha256[:12]}...; delete it and pull again"
            )


def _download(repo: Repo, commit: str, cache_dir: Path | None) -> tuple[Path, list[Path]]:
    """The snapshot's folder, and the pickles that were not there before."""
    folder = Path(
        snapshot_download(
            repo.id,
            revision=commit,
            cache_dir=cache_dir,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
        )
    )
    pickled = _without_safetensors(repo, folder)
    if pickled:
        names = pickle_names(pickled)
        before = {name for name in names if (folder / name).is_file()}
        folder = Path(snapshot_download(repo.id, revision=commit, cache_dir=cache_dir, allow_patterns=names))
        return folder, [folder / name for name in names if name not in before and (folder / name).is_file()]
    return folder, []


def _in_cache(repo: Repo, revision: str, cache_dir: Path | None) -> Path:
    """The converted repository where there is one, else the hub's own snapshot of it."""
    cache = cache_folder(cache_dir)
    own = converted_folder(cache, repo.id, revision)
    if is_converted(own):
        return own
    folder = Path(
        snapshot_download(
            repo.id,
            revision=revision,
            cache_dir=cache_dir,
            local_files_only=True,
            allow_patterns=list(WANTED),
            ignore_patterns=list(UNWANTED),
        )
    )
    own = converted_folder(cache, repo.id, folder.name)  # revision may have been "main"
    return own if is_converted(own) else folder


def _without_safetensors(repo: Repo, folder: Path) -> list[str]:
    return [part for part in repo.weights if not any((folder / part).glob("*.safetensors"))]


def hub_sources(name: str, folders: dict[str, Path]) -> dict[str, str]:
    """Each part's repository and commit, as "org/name@commit"."""
    return {part: f"{HUB_MODELS[name].repo(part).id}@{folder.name}" for part, folder in folders.items()}


def hub_manifest(name: str, folders: dict[str, Path], *, cache_dir: Path | None = None) -> tuple[Manifest, str]:
    """The manifest of a hub model, its dimensions read from the configs in `folders`, and its repositories' commits.

    Without the CLAP if its text tower was found to embed texts in another space than the generator's.
    """
    repos, generator = {part: HUB_MODELS[name].repo(part) for part in folders}, folders["generator"]
    sources = hub_sources(name, folders)
    if "audio_encoder" in repos and spaces_differ(
        sources["generator"], sources["audio_encoder"], cache_folder(cache_dir)
    ):
        # nothing of two spaces is mixed
        repos = {part: repo for part, repo in repos.items() if part != "audio_encoder"}
    clap = repos.get("audio_encoder")
    # without a CLAP of its own the space is named after the generator's text tower
    audio_space = clap.id if clap else f"{repos['generator'].id}/text_encoder"
    parts = {}
    for part, repo in repos.items():
        if part == "generator":
            dim = _number(generator / "unet" / "config.json", "projection_class_embeddings_input_dim")
            kind, takes, gives = "audioldm", Space(name=audio_space, dim=dim), None
        else:
            dim = _number(folders[part] / "config.json", "projection_dim")
            kind = "clip" if part == "visual_encoder" else "clap"
            takes, gives = None, Space(name=repo.id, dim=dim)
        parts[part] = Part(kind=kind, licence=repo.licence, source=sources[part], takes=takes, gives=gives)
    sample_rate = _number(generator / "vocoder" / "config.json", "sampling_rate")
    return Manifest(name=name, version="", sample_rate=sample_rate, parts=parts), ", ".join(sources.values())


def _number(path: Path, key: str) -> int:
    value = read_json(path).get(key)
    if not isinstance(value, int):
        raise BundleError(f"{path}: {key} is {value}, expected a whole number; pull the model again")
    return value


def check_blobs(folder: Path) -> int:
    """Hashes every file of a snapshot against the name the hub's cache gave it; returns how many could be checked.

    The cache names a file by its sha256 (large files) or its git hash, and links to it; copies, as on some Windows
    machines, carry no name to check. A converted repository has a list of its own. Raises BundleError at the first
    that was altered.
    """
    if is_converted(folder):
        return check_converted(folder)
    checked = 0
    for path in sorted(path for path in folder.rglob("*") if path.is_symlink()):
        expected = path.resolve().name
        if not path.is_file():
            raise BundleError(f"{path}: missing, expected the file {expected} in the hub's cache; pull the model again")
        data = path.read_bytes() if len(expected) == 40 else None
        if data is not None:
            found = hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
        else:
            found = file_sha256(path)
        if found != expected:
            raise BundleError(
                f"{path}: altered: hash {found[:12]}..., expected {expected[:12]}...; delete it and pull again"
            )
        checked += 1
    return checked


def cache_folder(cache_dir: Path | None) -> Path:
    """The hub's cache: `cache_dir`, or its usual place."""
    return Path(cache_dir or constants.HF_HUB_CACHE)


def _read_lock(cache_dir: Path | None) -> dict[str, object]:
    path = cache_folder(cache_dir) / LOCK
    return read_json(path) if path.is_file() else {}


def _write_lock(repo_id: str, commit: str, cache_dir: Path | None) -> None:
    write_json(cache_folder(cache_dir) / LOCK, _read_lock(cache_dir) | {repo_id: commit})


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def check_repo(repo: str) -> None:
    """Raises InputError unless `repo` can be a repository's name. Asks nobody."""
    try:
        validate_repo_id(repo)
    except HFValidationError as error:
        raise InputError(f'"{repo}": is not a valid repository name; expected a name such as me/my-model') from error


def upload(folder: Path, repo: str, *, repo_type: Literal["model", "dataset"], message: str) -> str:
    """Uploads a folder to a repository of the hub, made if need be; returns the address. Raises InputError if refused."""
    check_repo(repo)
    api = HfApi()
    try:
        api.create_repo(repo, repo_type=repo_type, exist_ok=True)
        api.upload_folder(repo_id=repo, folder_path=folder, repo_type=repo_type, commit_message=message)
    except _UNREACHABLE as error:
        raise InputError(
            f"{repo}: cannot be uploaded ({_first_line(error)}); log in with hf auth login and run it again"
        ) from error
    return f"https://huggingface.co/{'datasets/' if repo_type == 'dataset' else ''}{repo}"
