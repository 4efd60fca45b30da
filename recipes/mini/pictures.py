"""What EfficientNet-Lite0 sees in labelled photographs, as they are and varied as films vary.

    python pictures.py --manifest PICTURES.csv [--rounds 4] [--work WORK]

manifest: file, label, split (train / val / test). Writes WORK/pictures/RR.npz: row (N,), of the manifest; features
(N, 1280) float16. Round 0 is each picture's centre; the others vary the train pictures (vary_pictures.py), and the val
pictures in three of them. Rounds that are there already are not made again.
"""

import argparse
import csv
import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from echoframe.encoders.efficientnet_lite import EfficientNetLite, EfficientNetLiteConfig, EfficientNetLiteEncoder
from echoframe.weights import load_weights
from vary_pictures import vary

HERE = Path(__file__).parent
VAL_ROUNDS = 3
AT_ONCE = 16


def read_features(folder: Path) -> EfficientNetLiteEncoder:
    """The bundle's visual encoder, giving features whatever its config says."""
    network = EfficientNetLite()
    load_weights(network, folder / "model.safetensors")
    return EfficientNetLiteEncoder(network, EfficientNetLiteConfig(output="features"))


def is_wanted(split: str, number: int) -> bool:
    return number == 0 or split == "train" or (split == "val" and number <= VAL_ROUNDS)


def short_side_256(image: Image.Image) -> np.ndarray:
    """As frames of a film come to the encoder."""
    scale = 256 / min(image.size)
    size = (max(256, round(image.width * scale)), max(256, round(image.height * scale)))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))


def make_round(
    number: int, rows: list[dict[str, str]], images: list[Image.Image], encoder: EfficientNetLiteEncoder
) -> dict[str, np.ndarray]:
    wanted = [n for n, row in enumerate(rows) if is_wanted(row["split"], number)]
    train = [n for n, row in enumerate(rows) if row["split"] == "train"]
    found = []
    for first in range(0, len(wanted), AT_ONCE):
        some = wanted[first : first + AT_ONCE]
        if number == 0:
            found += [encoder(short_side_256(images[n])[None]) for n in some]
            continue
        varied = []
        for n in some:
            random = np.random.default_rng((number, n))
            image = vary(images[n], lambda r=random: images[train[r.integers(len(train))]], random)
            varied.append(
                np.pad(np.asarray(image), ((16, 16), (16, 16), (0, 0)), mode="edge")
            )  # the centre is looked at
        found.append(encoder(np.stack(varied)))
    return {"row": np.array(wanted), "features": torch.cat(found).numpy().astype(np.float16)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--rounds", type=int, default=4)
    args = parser.parse_args()
    torch.set_num_threads(1)
    out = args.work / "pictures"
    out.mkdir(parents=True, exist_ok=True)
    with args.manifest.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    images = [Image.open(args.manifest.parent / row["file"]).convert("RGB") for row in rows]
    encoder = read_features(args.work / "visual_encoder")
    for number in range(args.rounds):
        path = out / f"{number:02d}.npz"
        if path.exists():
            continue
        np.savez(out / "partial.npz", **make_round(number, rows, images, encoder))  # pyright: ignore[reportArgumentType]
        os.replace(out / "partial.npz", path)
        print(f"pictures: round {number + 1} of {args.rounds}", flush=True)


if __name__ == "__main__":
    main()
