"""Trained weights in pieces small enough to be sent back, and, in 8 bits, small enough to be sent along as a start.

python weights_out.py FOLDER OUT    # the weights in FOLDER (or its parts, or a bundle) as OUT/model.safetensors, 8 bits
"""

import argparse
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
from weights_in import read_start  # noqa: E402

LARGEST_PART = 15_000_000  # bytes
SCALE = ".scale"  # added to a weight's name: the size of one of the 127 steps, of each row


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


def in_8_bits(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Matrices as int8 and a scale of each row; the rest in float16."""
    small: dict[str, Tensor] = {}
    for name, weight in weights.items():
        if weight.ndim < 2:
            small[name] = weight.to(torch.float16)
            continue
        rows = weight.float().flatten(1)
        scale = rows.abs().amax(dim=1).clamp(min=1e-8) / 127
        small[name] = (rows / scale[:, None]).round().to(torch.int8).view(weight.shape)
        small[name + SCALE] = scale
    return small


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    data = save(in_8_bits(read_start(args.folder)))
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "model.safetensors").write_bytes(data)
    print(f"weights_out: {len(data) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
