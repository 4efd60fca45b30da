"""An organised mirror on the Hugging Face hub: its tars fetched one after another, unpacked, and dropped."""

import json
from pathlib import Path

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HTTPError

from echoframe.data.ledger import Ledger
from echoframe.data.unpack import unpack
from echoframe.errors import InputError
from echoframe.output import atomic_files
from echoframe.progress import ProgressCallback

TARS = (".tar", ".tar.gz", ".tgz")
RECORD = "mirror.json"  # which tars of which commit are unpacked
_PARTIAL = ".mirror"


def fetch_mirror(
    repo: str, folder: Path, ledger: Ledger, *, progress: ProgressCallback | None = None
) -> dict[str, int]:
    """Fetches and unpacks every tar of the dataset repository `repo` into a clip folder; counts as `unpack` gives them.

    A tar that is done is not fetched again, one that broke off is fetched on from there, a damaged one gives what comes
    before the damage, and is named. Only one tar lies on the disk at a time. Raises InputError if the repository cannot
    be reached or holds no tar.
    """
    record = folder / RECORD
    try:
        commit = HfApi().dataset_info(repo).sha or "main"
        names = HfApi().list_repo_files(repo, repo_type="dataset", revision=commit)
        tars = sorted(name for name in names if name.endswith(TARS))
        if not tars:
            raise InputError(
                f"{repo}: no tar among its {len(names)} files; expected a dataset repository with {TARS[0]} files"
            )
        done: dict[str, dict[str, int]] = _read(record, f"{repo}@{commit}")
        for n, name in enumerate(tars, start=1):
            if name in done:
                continue
            if progress is not None:
                progress(n, len(tars), f"{repo}/{name}")
            path = Path(hf_hub_download(repo, name, repo_type="dataset", revision=commit, local_dir=folder / _PARTIAL))
            done[name] = unpack(path, folder, ledger)
            with atomic_files([record]) as (partial,):
                partial.write_text(json.dumps({"source": f"{repo}@{commit}", "tars": done}, indent=1) + "\n")
            path.unlink()
    except (OSError, HTTPError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"{repo}: cannot be fetched from the hub ({reason}); check the name and the network"
        ) from error
    totals: dict[str, int] = {}
    for counts in done.values():
        for what, n in counts.items():
            totals[what] = totals.get(what, 0) + n
    return totals


def _read(record: Path, source: str) -> dict[str, dict[str, int]]:
    if not record.exists():
        return {}
    values = json.loads(record.read_text())
    return values["tars"] if values.get("source") == source else {}  # another commit: look at all its tars again
