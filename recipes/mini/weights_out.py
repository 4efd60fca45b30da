"""Trained weights in pieces small enough to be sent back, and joined again."""

import json
import os
import shutil
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from light import prepare

prepare()
from echoframe.generators.denoiser import DenoiserConfig  # noqa: E402

LARGEST_PART = 15_000_000  # bytes


def write_parts(out: Path, shape: DenoiserConfig, weights: dict[str, Tensor], trained: object, log: Path) -> None:
    """Into `out`: float16 weights as model.safetensors.00, .01, ...; config.json; train.json; the log so far."""
    data = save({name: weight.detach().to("cpu", torch.float16).contiguous() for name, weight in weights.items()})
    partial = out.with_name(out.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for n, start in enumerate(range(0, len(data), LARGEST_PART)):
        (partial / f"model.safetensors.{n:02d}").write_bytes(data[start : start + LARGEST_PART])
    (partial / "config.json").write_text(json.dumps(asdict(shape), indent=1) + "\n")
    (partial / "train.json").write_text(json.dumps(asdict(trained), indent=1) + "\n")  # type: ignore[call-overload]
    if log.exists():
        shutil.copy(log, partial)
    shutil.rmtree(out, ignore_errors=True)
    os.replace(partial, out)
