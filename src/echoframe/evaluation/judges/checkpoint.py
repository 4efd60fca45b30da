"""The weights of judges as their authors publish them: PyTorch files, read without running anything that is in them."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from echoframe.errors import BundleError
from echoframe.output import file_sha256
from echoframe.weights import read_weights, why_not_plain

_scalar = np.float64(0).__reduce__()[0]
_reconstruct = np.zeros(0).__reduce__()[0]
_NUMPY_NUMBERS = [  # validation figures beside the weights; numpy before 2 wrote the first name of each
    *((_scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")),
    *((_reconstruct, f"numpy.{core}.multiarray._reconstruct") for core in ("core", "_core")),
    np.ndarray,
    np.dtype,
    *(type(np.dtype(kind)) for kind in ("f4", "f8", "i4", "i8")),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Published:
    """what: whose weights. file, url: its name and where it is. digest: how its sha256 begins, or its md5 after "md5:".
    key: the weights' key in the file, "" if it holds nothing else.
    """

    what: str
    file: str
    url: str
    digest: str = ""
    key: str = ""


def read_checkpoint(path: Path, published: Published) -> tuple[dict[str, Tensor], str]:
    """The weights in `path`, by name, and its sha256. A .safetensors file of the same names will do too.

    Raises BundleError if the file is missing, has the published name but not its digest, or holds anything else.
    """
    what, url = published.what, published.url
    if not path.is_file():
        raise BundleError(f"{path}: no such file, expected {what}'s weights; fetch {url}")
    sha256 = file_sha256(path)
    fault = digest_fault(path, published) if path.name == published.file else ""
    if fault:
        raise BundleError(f"{path}: {fault}; fetch {url} again")
    if path.suffix == ".safetensors":
        return read_weights(path), sha256
    try:
        with torch.serialization.safe_globals(_NUMPY_NUMBERS):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything: KeyError, struct.error, AssertionError, ...
        raise BundleError(
            f"{path}: not readable as {what}'s weights ({why_not_plain(error)}); fetch {url} again"
        ) from error
    weights = content.get(published.key) if published.key and isinstance(content, dict) else content
    if not isinstance(weights, dict) or not all(isinstance(value, Tensor) for value in weights.values()):
        where = f' under "{published.key}"' if published.key else ""
        found = ", ".join(map(str, list(content)[:4])) if isinstance(content, dict) else type(content).__name__
        raise BundleError(f"{path}: holds no weights{where} (found {found}); expected {published.file} from {url}")
    return weights, sha256


def digest_fault(path: Path, published: Published) -> str:
    """What is wrong with the file's digest, as far as one is published; "" if nothing is."""
    kind, _, wanted = published.digest.rpartition(":")
    found = _digest(path, kind or "sha256")
    if found.startswith(wanted):
        return ""
    return f"its {kind or 'sha256'} is {found[:8]}..., the published file's {wanted[:8]}..."


def _digest(path: Path, kind: str) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()
