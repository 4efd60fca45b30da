"""A run's folder: what it was asked to do (run.json), and what came of it (result.json, mapper/)."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from echoframe.config import from_dict
from echoframe.data.embedding_reader import EmbeddingSets
from echoframe.errors import ConfigError, InputError
from echoframe.training.card import CARD
from echoframe.training.config import TrainConfig
from echoframe.training.measure import Figures

RUN, RESULT, MAPPER = "run.json", "result.json", "mapper"


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainResult:
    """What a run came to. folder: the mapper's. step: of the weights that were kept. figures: on validation clips."""

    folder: Path
    step: int
    steps: int
    loss: float
    seconds: float
    figures: Figures


def read_result(folder: Path) -> TrainResult:
    """What the run in `folder` came to. Raises InputError if it is not over, or no run."""
    path = folder / RESULT
    try:
        found = dict(json.loads(path.read_text(encoding="utf-8")))
        figures = Figures(**found.pop("figures"))
        return TrainResult(folder=folder / MAPPER, figures=figures, **found)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); the run is not finished; continue with --resume"
        ) from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"{path}: not a run's result ({error}); train it again") from error


def is_whole(folder: Path) -> bool:
    """Whether the run in `folder` came to its end, and its mapper is still there."""
    kept = (folder / RESULT, *(folder / MAPPER / name for name in ("config.json", "model.safetensors", CARD)))
    return all(path.is_file() for path in kept)


def read_about(folder: Path) -> dict[str, Any]:
    """The description of the run in `folder`. Raises InputError if it is damaged."""
    path = folder / RUN
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        for key in ("config", "encoders", "clip"):
            if not isinstance(found[key], dict):
                raise TypeError(f"{key} is {found[key]!r}")
        return found | {"data_sha256": str(found["data_sha256"]), "parameters": int(found["parameters"])}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a run's description ({error!r}); train it again") from error


def _with_defaults(config: dict[str, Any], path: Path) -> dict[str, Any]:
    """A run's config as this version writes it: settings that are newer than the run have their defaults."""
    try:
        return json.loads(json.dumps(asdict(from_dict(TrainConfig, config, name="config"))))
    except ConfigError as error:
        raise InputError(
            f"{path}: its {error}; start the run again in another folder, or use the echoframe it was begun with"
        ) from error


def check_run(folder: Path, config: TrainConfig, sets: EmbeddingSets | None = None) -> None:
    """Raises InputError if the run in `folder` is of another config or other data."""
    path = folder / RUN
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        theirs, data = found["config"], found["data_sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a run's description ({error}); start the run again in another folder") from error
    if not isinstance(theirs, dict):
        raise InputError(f"{path}: not a run's description ({theirs}); start the run again in another folder")
    theirs = _with_defaults(theirs, path)
    ours = json.loads(json.dumps(asdict(config)))
    for name in sorted(ours.keys() | theirs.keys()):
        if name != "out" and ours.get(name) != theirs.get(name):
            raise InputError(
                f"{folder}: was started with {name} {theirs.get(name)}, but this config has {ours.get(name)}; "
                "change it back, or choose "
                "another out"
            )
    if sets is not None and sets.sha256 != data:
        raise InputError(
            f"{folder}: was started on other data than {', '.join(config.data)} holds now; choose another out"
        )
