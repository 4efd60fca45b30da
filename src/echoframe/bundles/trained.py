"""A mapper that was trained here, in the place of a model's own: found in a run's folder, and checked against the model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from echoframe.bundles.bundle import LOADERS
from echoframe.bundles.manifest import Manifest, Space
from echoframe.config import from_dict
from echoframe.errors import BundleError, ConfigError
from echoframe.mappers import Mapper
from echoframe.spec import ClipSpec
from echoframe.weights import read_json

_CONFIG, _RUN, _RESULT = "config.json", "run.json", "result.json"


@dataclass(frozen=True, kw_only=True)
class TrainedMapper:
    """A mapper and, where a run says it, which frames of a clip it was trained on."""

    mapper: Mapper
    clip_spec: ClipSpec | None = None


def load_trained(folder: Path, manifest: Manifest, *, device: torch.device | str = "cpu") -> TrainedMapper:
    """The mapper of a finished run, of a bundle, or of a mapper's own folder, for the model of that manifest.

    Raises BundleError if there is none, it is damaged, or it joins other spaces than the model's.
    """
    if (folder / _RUN).is_file() and not (folder / _RESULT).is_file():
        raise BundleError(f"{folder}: this run is not finished; continue with echoframe train --resume")
    found = next((each for each in (folder / "mapper", folder) if (each / _CONFIG).is_file()), None)
    if found is None:
        raise BundleError(
            f"{folder}: holds no mapper; give the folder of a finished run of echoframe train, or a mapper's own folder"
        )
    kind = read_json(found / _CONFIG).get("kind")
    room, loader = LOADERS.get(str(kind), ("", None))
    if loader is None or room != "mapper":
        raise BundleError(f'{found / _CONFIG}: kind "{kind}" is not a mapper\'s; give the folder of a mapper')
    mapper: Mapper = loader(found, torch.device(device), torch.float32)
    _check_spaces(folder, mapper, manifest)
    return TrainedMapper(mapper=mapper, clip_spec=_clip_spec(folder, manifest))


def check_encoders(manifest: Manifest, trained_on: Mapping[str, Any], run: Path) -> None:
    """Raises BundleError if the weights are not those the embeddings were made with, as far as both say."""
    for name, part in manifest.parts.items():
        hashes = {file.path: file.sha256 for file in part.files}
        for path, sha256 in trained_on.get(name, {}).get("files", {}).items():
            if path in hashes and hashes[path] != sha256:
                raise BundleError(
                    f"{run}: trained on embeddings of another {name} ({path} differs from that of {manifest.name}); "
                    "use the model it was extracted with"
                )


def _check_spaces(folder: Path, mapper: Mapper, manifest: Manifest) -> None:
    config, parts = mapper.config, manifest.parts
    for what, found, needed in (
        ("sees", Space(name=config.visual_space, dim=config.visual_dim), parts["visual_encoder"].gives),
        ("answers in", Space(name=config.audio_space, dim=config.audio_dim), parts["generator"].takes),
    ):
        if needed and found != needed:
            raise BundleError(
                f"{folder}: the mapper {what} {found}, the model {manifest.name} needs {needed}; use the model whose "
                "embeddings it was trained on"
            )


def _clip_spec(folder: Path, manifest: Manifest) -> ClipSpec | None:
    if not (folder / _RUN).is_file():
        return None
    about = read_json(folder / _RUN)
    try:
        check_encoders(manifest, dict(about["encoders"]), folder)
        return from_dict(ClipSpec, about["clip"], name=f"{folder / _RUN} [clip]")
    except (KeyError, TypeError, ValueError, AttributeError, ConfigError) as error:
        raise BundleError(f"{folder / _RUN}: not a run's description ({error!r}); train it again") from error
