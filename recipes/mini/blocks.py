"""The aiSFX vectors of every recording of a manifest: what `pack.py` takes as the embeddings of its sounds.

    python blocks.py MANIFEST OUT.npz --encoder FOLDER [--centre]

Writes blocks (B, 512) float16, raw vectors of 2.32-s blocks, 1.161 s apart; starts (N + 1,); files (N,); mean (512,), the
centre of the space, which is the encoder's. With --centre the train recordings of this manifest first give the encoder its
centre: ask for it with the first manifest, and not with the others. A recording shorter than a block is repeated. Parts of
200 are kept beside OUT and read again.
"""

import argparse
import csv
import math
from pathlib import Path

import numpy as np
import torch

from corpus import normalise
from echoframe.encoders.aisfx import AisfxEncoder, write_mean
from echoframe.media.audio import read_audio

RATE = 16_000
SHORTEST_S = 2.4
PART = 200


@torch.no_grad()
def blocks_of(path: Path, encoder: AisfxEncoder) -> np.ndarray:
    """(blocks, 512) float16 of one recording, mean-free with a peak of 0.5."""
    waveform, _ = read_audio(path, sample_rate=RATE)
    samples = normalise(waveform[0].numpy())
    samples = np.tile(samples, max(1, math.ceil(SHORTEST_S * RATE / len(samples))))
    return encoder.block_embeddings(torch.from_numpy(samples)[None], RATE)[0].numpy().astype(np.float16)


def all_blocks(folder: Path, files: list[str], encoder: AisfxEncoder, parts: Path) -> list[np.ndarray]:
    """The blocks of every file; parts of 200 are kept in `parts` and read again."""
    parts.mkdir(parents=True, exist_ok=True)
    found: list[np.ndarray] = []
    for first in range(0, len(files), PART):
        part = parts / f"{first:05d}.npz"
        names = files[first : first + PART]
        if not part.exists() or np.load(part)["files"].tolist() != names:
            made = [blocks_of(folder / name, encoder) for name in names]
            temporary = part.with_suffix(".tmp.npz")
            sizes = np.array([len(blocks) for blocks in made])
            np.savez(temporary, blocks=np.concatenate(made), sizes=sizes, files=np.array(names))
            temporary.rename(part)
            print(f"blocks: {first + len(names)} of {len(files)}", flush=True)
        with np.load(part) as held:
            found += np.split(held["blocks"], held["sizes"].cumsum()[:-1])
    return found


def centre_of(rows: list[dict[str, str]], found: list[np.ndarray]) -> np.ndarray:
    """(512,): the mean of the train recordings."""
    means = [
        blocks.astype(np.float32).mean(axis=0)
        for row, blocks in zip(rows, found, strict=True)
        if row["split"] == "train"
    ]
    return np.mean(means, axis=0)


def write_blocks(manifest: Path, out: Path, folder: Path, *, centre: bool) -> None:
    """folder: of the encoder, whose centre is replaced if `centre`."""
    with manifest.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    files, encoder = [row["file"] for row in rows], AisfxEncoder.from_directory(folder)
    found = all_blocks(manifest.parent, files, encoder, out.with_suffix(".parts"))
    mean = centre_of(rows, found) if centre else encoder.mean.numpy()
    if centre:
        write_mean(folder, torch.from_numpy(mean))
    starts = np.cumsum([0] + [len(blocks) for blocks in found])
    temporary = out.with_suffix(".tmp.npz")
    np.savez(temporary, blocks=np.concatenate(found), starts=starts, files=np.array(files), mean=mean)
    temporary.rename(out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--encoder", type=Path, required=True, help="folder of the aiSFX encoder")
    parser.add_argument("--centre", action="store_true", help="this manifest gives the encoder its centre")
    args = parser.parse_args()
    write_blocks(args.manifest, args.out, args.encoder, centre=args.centre)


if __name__ == "__main__":
    main()
