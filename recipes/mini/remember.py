"""What the generator remembers: a few recordings of every label that may be passed on, from the packed folder.

    python remember.py PACK OUT [--per-label 12]

PACK is what `pack.py` wrote; OUT becomes the `memory` folder of a generator. Only recordings whose row says
`may_be_remembered`, of the train split, are taken: one piece of every recording first. Of a label's recordings only those
near its centre in the audio space are taken (of all its train recordings, free or not), and of these the ones that lie
furthest from each other. The tokens keep their eight bits. A linear layer learns the labels of all train recordings: it
tells the generator which labels a target may have.
"""

import argparse
import csv
import json
import shutil
from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from echoframe.generators.mel_codec import load_codec
from echoframe.generators.memory import Labeller, Memory, MemoryConfig, Remembered, save_memory
from echoframe.mappers.label_prior import LabelPrior
from pack import REMEMBERED
from tables import read_rows

HERE = Path(__file__).parent
LONGEST = 128  # tokens of one recording: 10.24 s
TYPICAL, LEAST = 0.5, 4  # the share of a label's recordings that are typical, and how many at least
TEMPERATURE = 0.05  # of the choice, in units of cosine: two seeds take another recording in half of the cases
STEPS, BATCH, RATE, WEIGHT_DECAY = 1000, 256, 3e-3, 0.1  # of the labeller's training
NOISE, SHARPNESS, SMOOTHING = (
    0.3,
    8.0,
    0.05,
)  # length of the noise added to a unit embedding; scale of the layer's input


def read_pack(pack: Path) -> tuple[list[dict[str, str]], dict[str, Tensor]]:
    """The rows of the packed folder, and its arrays."""
    with (pack / "sounds.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    with np.load(pack / "sounds.npz") as held:
        return rows, {name: torch.from_numpy(held[name]) for name in held.files if held[name].ndim}


def embeddings_of(arrays: dict[str, Tensor]) -> Tensor:
    """(N, D): the unit embedding of every recording, the mean of its blocks about the centre of the space."""
    blocks = (arrays["blocks"].double() / 255).square() * arrays["block_scale"]
    starts = arrays["block_starts"].tolist()
    means = torch.stack([blocks[a:b].mean(dim=0) for a, b in zip(starts, starts[1:], strict=False)])
    return functional.normalize(means.float() - arrays["mean"], dim=1)


def spread_out(rows: list[int], embeddings: Tensor, n: int) -> list[int]:
    """At most `n` of the rows, each the furthest from those before it, beginning with the most typical."""
    points = embeddings[rows]
    chosen = [int((points @ functional.normalize(points.mean(dim=0), dim=0)).argmax())]
    while len(chosen) < min(n, len(rows)):
        nearest = (points @ points[chosen].T).amax(dim=1)
        nearest[chosen] = 2.0
        chosen.append(int(nearest.argmin()))
    return [rows[i] for i in chosen]


def typical(rows: list[int], embeddings: Tensor, centre: Tensor) -> list[int]:
    """The rows nearest to their label's centre, in order: what lies far from it is often another sound beside the label's."""
    cosines = embeddings[rows] @ functional.normalize(centre, dim=0)
    n = max(LEAST, round(TYPICAL * len(rows)))
    return [rows[i] for i in cosines.argsort(descending=True).tolist()[:n]]


def choose(rows: list[dict[str, str]], embeddings: Tensor, per_label: int) -> list[int]:
    """The rows to remember, in the order of the packed folder."""
    pieces: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for n, row in enumerate(rows):
        if row["may_be_remembered"] == "y" and row["split"] == "train":
            pieces[row["label"]][row["recording"]].append(n)
    of_label: dict[str, list[int]] = defaultdict(list)
    for n, row in enumerate(rows):
        if row["split"] == "train":
            of_label[row["label"]].append(n)
    chosen: list[int] = []
    for label, recordings in pieces.items():
        centre = embeddings[of_label[label]].mean(dim=0)
        firsts = typical([found[0] for found in recordings.values()], embeddings, centre)
        others = [n for found in recordings.values() for n in found[1:]]
        others = typical(others, embeddings, centre) if others else []
        taken = spread_out(firsts, embeddings, per_label)
        if len(taken) < per_label and others:
            taken += spread_out(others, embeddings, per_label - len(taken))
        chosen += taken
    return sorted(chosen)


def learn_labels(embeddings: Tensor, labels: list[str], steps: int) -> Labeller:
    """A linear layer from noisy unit embeddings (N, D) to their labels, a label drawn by the root of how many it has."""
    torch.manual_seed(0)
    names = sorted(set(labels))
    targets = torch.tensor([names.index(label) for label in labels])
    chance = torch.bincount(targets)[targets].float().rsqrt()
    layer = nn.Linear(embeddings.shape[1], len(names))
    optimizer = torch.optim.AdamW(layer.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * (1 - step / steps)
        rows = torch.multinomial(chance, BATCH, replacement=True)
        points = embeddings[rows]
        noisy = functional.normalize(points + NOISE * torch.randn_like(points) / points.shape[1] ** 0.5, dim=1)
        loss = functional.cross_entropy(layer(SHARPNESS * noisy), targets[rows], label_smoothing=SMOOTHING)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return Labeller(names=tuple(names), weight=SHARPNESS * layer.weight.detach(), bias=layer.bias.detach())


def found_labels(labeller: Labeller, rows: list[dict[str, str]], embeddings: Tensor) -> float:
    """The share of validation recordings whose label the labeller finds."""
    right = [
        labeller.names[int(labeller.log_probabilities(embedding).argmax())] == row["label"]
        for row, embedding in zip(rows, embeddings, strict=True)
        if row["split"] == "val"
    ]
    return sum(right) / max(len(right), 1)


def meet(prior: LabelPrior, memory: Memory) -> None:
    """Makes the prior answer with what is remembered: of a label with remembered recordings, their embeddings alone."""
    for index, label in enumerate(prior.config.labels):
        own = [n for n, entry in enumerate(memory.entries) if entry.label == label][: prior.config.per_label]
        if own:
            prior.vectors[index].zero_()
            prior.vectors[index, : len(own)] = memory.embeddings[own]
            prior.counts[index] = len(own)


def attributions() -> dict[str, str]:
    """Whom to name for each source that may be remembered."""
    return REMEMBERED | {row["package"]: row["attribution"] for row in read_rows(HERE / "sound_packages.csv")}


def remember(pack: Path, per_label: int) -> Memory:
    """The memory of the packed folder's recordings."""
    rows, arrays = read_pack(pack)
    embeddings, named = embeddings_of(arrays), attributions()
    chosen = choose(rows, embeddings, per_label)
    bounds = arrays["token_starts"].tolist()
    tokens = arrays["tokens"].float() * arrays["scale"]
    kept = [tokens[bounds[n] : min(bounds[n + 1], bounds[n] + LONGEST)] for n in chosen]
    entries = [
        Remembered(
            sound=Path(rows[n]["file"]).name,
            label=rows[n]["label"],
            source=rows[n]["source"],
            licence=rows[n]["licence"],
            attribution=named.get(rows[n]["source"], ""),
        )
        for n in chosen
    ]
    train = [n for n, row in enumerate(rows) if row["split"] == "train"]
    labeller = learn_labels(embeddings[train], [rows[n]["label"] for n in train], STEPS)
    print(f"remember: the labeller finds {found_labels(labeller, rows, embeddings):.2f} of the val labels", flush=True)
    per_db = json.loads((pack / "config.json").read_text())["per_db"]
    return Memory(
        MemoryConfig(temperature=TEMPERATURE, per_db=per_db, space="aisfx/centred"),
        entries=entries,
        embeddings=embeddings[chosen],
        tokens=torch.cat(kept),
        starts=torch.tensor([0, *(len(part) for part in kept)]).cumsum(0),
        steady=torch.tensor([rows[n]["steady"] == "y" for n in chosen]),
        codec=load_codec(pack / "codec"),
        labeller=labeller,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--per-label", type=int, default=12)
    args = parser.parse_args()
    memory = remember(args.pack, args.per_label)
    shutil.rmtree(args.out, ignore_errors=True)
    save_memory(memory, args.out)
    labels = len({entry.label for entry in memory.entries})
    size = sum(path.stat().st_size for path in args.out.iterdir()) / 1e6
    print(f"remember: {len(memory.entries)} recordings of {labels} labels, {size:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
