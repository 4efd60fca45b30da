"""Names for places in an audio space: what a sound is nearest to, in words."""

import csv
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echoframe.errors import BundleError, InputError
from echoframe.weights import read_json, read_weights, write_json, write_weights


class NearLabel(NamedTuple):
    """A label, its kind (animals, music, vehicle, ...) and the cosine of its vector with the embedding asked about."""

    name: str
    kind: str
    similarity: float


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelBank:
    """Labels and one unit vector each. vectors: (L, D) float32; names may repeat, one row per recording."""

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    vectors: Float[Tensor, "labels dim"]

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.kinds) == len(self.vectors) > 0:
            raise BundleError(
                f"labels: {len(self.names)} names, {len(self.kinds)} kinds, {len(self.vectors)} vectors; "
                "expected one of each per label, and at least one label"
            )
        object.__setattr__(self, "vectors", nn.functional.normalize(self.vectors.float(), dim=1))

    @cached_property
    def places(self) -> dict[str, Float[Tensor, " dim"]]:
        """Each name with the mean of its vectors, brought to length 1: (D,) float32."""
        rows: dict[str, list[int]] = {}
        for row, name in enumerate(self.names):
            rows.setdefault(name, []).append(row)
        return {name: nn.functional.normalize(self.vectors[own].mean(dim=0), dim=0) for name, own in rows.items()}

    def nearest(self, embedding: Float[Tensor, " dim"], k: int) -> list[NearLabel]:
        """The `k` labels nearest to `embedding` (D,), of any length but zero, the nearest first; each name once."""
        if embedding.shape[0] != self.vectors.shape[1]:
            raise InputError(
                f"labels: the embedding has {embedding.shape[0]} numbers, the labels' vectors have "
                f"{self.vectors.shape[1]}; use the labels of the same audio space"
            )
        unit = nn.functional.normalize(embedding.to(self.vectors.device).float(), dim=0)
        cosines = self.vectors @ unit  # (L,)
        found: dict[str, NearLabel] = {}
        for row in torch.argsort(cosines, descending=True, stable=True).tolist():
            found.setdefault(self.names[row], NearLabel(self.names[row], self.kinds[row], float(cosines[row])))
            if len(found) == k:
                break
        return list(found.values())


def save_labels(labels: LabelBank, directory: Path, *, dtype: torch.dtype | None = None) -> None:
    """Writes labels.json (names and kinds) and model.safetensors (vectors, as `dtype` if given) into `directory`."""
    write_json(directory / "labels.json", {"names": list(labels.names), "kinds": list(labels.kinds)})
    write_weights(directory / "model.safetensors", {"vectors": labels.vectors}, dtype=dtype)


def load_labels(directory: Path, *, device: torch.device | str = "cpu") -> LabelBank:
    """The labels saved in `directory`. Raises BundleError if a file is missing, damaged or belongs to other labels."""
    path = directory / "labels.json"
    values, weights = read_json(path), read_weights(directory / "model.safetensors")
    names, kinds = values.get("names"), values.get("kinds")
    if not isinstance(names, list) or not isinstance(kinds, list) or [*weights] != ["vectors"]:
        raise BundleError(
            f"{path}: found {sorted(values)} beside weights {sorted(weights)}; expected lists names and kinds, "
            "and one tensor, vectors; fetch the bundle again"
        )
    try:
        return LabelBank(names=tuple(names), kinds=tuple(kinds), vectors=weights["vectors"].to(device, torch.float32))
    except BundleError as error:
        raise BundleError(f"{path}: {error}") from error


def vggsound_labels() -> list[tuple[str, str]]:
    """The 309 labels of VGGSound (Chen et al. 2020, CC BY 4.0) with their kind, in alphabetical order.

    >>> labels = vggsound_labels()
    >>> len(labels), labels[0]
    (309, ('air conditioning noise', 'others'))
    """
    text = files("echoframe.bundles").joinpath("vggsound_labels.csv").read_text(encoding="utf-8")
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    return [(row["label"], row["kind"]) for row in csv.DictReader(lines)]
