"""A run's state in one safetensors file: weights, their average, the best so far, the optimizer's, and where it stood.

What comes next in a run follows from this file, the config and the step's number alone: batches and noise are drawn anew
for each step from the seed, so that no random state has to be kept.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.optim import Optimizer

from echoframe.errors import InputError, OutputError
from echoframe.weights import write_weights

CHECKPOINT = "checkpoint.safetensors"
_MAPPERS = re.compile(r"(model/mapper|average/module\.mapper)\.|best/")  # what stands before a weight of the mapper


@dataclass(kw_only=True, slots=True)
class TrainingProgress:
    """Where a run stands. best_loss: on validation, of step best_step. waited: measurements since then. seconds: of
    training, over all its parts. resident: whether the set was in memory, which decides the order of clips."""

    step: int = 0
    best_loss: float = float("inf")
    best_step: int = 0
    waited: int = 0
    seconds: float = 0.0
    resident: bool = True


def save_checkpoint(
    folder: Path,
    *,
    parts: dict[str, nn.Module],
    optimizer: Optimizer,
    best: dict[str, Tensor],
    progress: TrainingProgress,
) -> None:
    """Writes the state, whole or not at all: if the disk is full, the last one stays. Raises OutputError then."""
    tensors = {f"{name}/{key}": value for name, part in parts.items() for key, value in part.state_dict().items()}
    tensors |= {f"best/{key}": value for key, value in best.items()}
    for n, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer/{n}/{key}": value for key, value in state.items()}
    # safetensors keeps no two names for one piece of memory
    copies = {name: tensor.detach().cpu().clone() for name, tensor in tensors.items()}
    try:
        write_weights(folder / CHECKPOINT, copies, metadata={"progress": json.dumps(asdict(progress))})
    except (OSError, SafetensorError) as error:
        raise OutputError(
            f"{folder / CHECKPOINT}: cannot be written ({error}); the previous checkpoint is kept; "
            "free some space, then use --resume"
        ) from error


def load_checkpoint(
    folder: Path, *, parts: dict[str, nn.Module], optimizer: Optimizer, new_names: Mapping[str, str] | None = None
) -> tuple[TrainingProgress, dict[str, Tensor]]:
    """Puts the state back; returns where the run stood and its best weights. Raises InputError if it does not fit.

    new_names: of the mapper's weights, for a run begun by an older version.
    """
    path = folder / CHECKPOINT
    try:
        with safe_open(path, framework="pt") as file:
            progress = TrainingProgress(**json.loads(file.metadata()["progress"]))
            names = file.keys()
            tensors = {_renamed(name, new_names or {}): file.get_tensor(name) for name in names}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a checkpoint ({error}); remove it and start the run again") from error
    try:
        for name, part in parts.items():
            part.load_state_dict(_under(tensors, name))
        groups, states = optimizer.state_dict()["param_groups"], _states(tensors)
        if (
            set(states) != {n for group in groups for n in group["params"]}
            or len(set(map(frozenset, states.values()))) > 1
        ):
            raise ValueError("its optimizer knows other weights")
        optimizer.load_state_dict({"state": states, "param_groups": groups})
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"{path}: belongs to another mapper ({str(error).splitlines()[0]}); start the run again"
        ) from error
    return progress, _under(tensors, "best")


def _renamed(name: str, new_names: Mapping[str, str]) -> str:
    """The name of a tensor, with the parts that are the mapper's own as they are called now."""
    found = _MAPPERS.match(name)
    if found is None:
        return name
    return found[0] + ".".join(new_names.get(part, part) for part in name[found.end() :].split("."))


def _under(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    return {key.removeprefix(f"{name}/"): value for key, value in tensors.items() if key.startswith(f"{name}/")}


def _states(tensors: dict[str, Tensor]) -> dict[int, dict[str, Any]]:
    found: dict[int, dict[str, Any]] = {}
    for name, value in _under(tensors, "optimizer").items():
        n, key = name.split("/")
        found.setdefault(int(n), {})[key] = value
    return found


def step_generator(seed: int, step: int, rank: int = 0) -> torch.Generator:
    """The random numbers of one step of one process."""
    return torch.Generator().manual_seed(hash_of(seed, step, rank))


def seed_dropout(seed: int, step: int, rank: int, device: torch.device) -> None:
    """Sets torch's own random state, from which dropout draws, for one step; the caller keeps what it was."""
    torch.random.set_rng_state(step_generator(seed, step, rank + 2**20).get_state())
    if device.type == "cuda":
        torch.cuda.manual_seed(hash_of(seed, step, rank))


def hash_of(*numbers: int) -> int:
    """63 bits that are a tuple's own, the same on every machine."""
    found = 0x9E3779B97F4A7C15
    for number in numbers:  # splitmix64 (Steele, Lea and Flood 2014)
        found = (found + number * 0x9E3779B97F4A7C15 + 0x9E3779B97F4A7C15) % 2**64
        found = (found ^ (found >> 30)) * 0xBF58476D1CE4E5B9 % 2**64
        found = (found ^ (found >> 27)) * 0x94D049BB133111EB % 2**64
        found ^= found >> 31
    return found >> 1
