"""What reads a clip best, and by which loss it should learn: every architecture with every loss, as a Markdown table.

    python compare_mappers.py [--steps 800] [--seeds 1]

All are trained as mapper.py does (the mapper stage of the config, but for kind, loss and steps) and judged on drawn
clips whose targets are *validation* recordings. Columns: the classes that lead to a sound of theirs (top-1, top-5); the
mean cosine to the clip's own target; for each label the energy distance (Szekely and Rizzo 2013) between what is
predicted for its clips and its recordings; how far apart two predictions for one label lie (1 - cosine), as a share of
two recordings' distance; parameters.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch
from torch import Tensor, nn

from echoframe.config import load_toml
from flow import Scenes
from mapper import DrawnClips, Loss, load_clips, right_labels, train
from stage import RecipeConfig

HERE = Path(__file__).parent
KINDS = {"mlp": (384, 2), "residual_mlp": (384, 2), "bilstm": (320, 1), "transformer": (256, 2)}  # width, depth
N_CLIPS = 32  # of each label


def energy_distance(one: Tensor, other: Tensor) -> float:
    """2 E|x - y| - E|x - x'| - E|y - y'| of two sets of points, (N, D) and (M, D); pairs are of different points."""

    def within(points: Tensor) -> Tensor:
        return torch.cdist(points, points).sum() / (len(points) * (len(points) - 1))

    return float(2 * torch.cdist(one, other).mean() - within(one) - within(other))


def spread(points: Tensor) -> float:
    """Mean 1 - cosine of pairs of unit vectors."""
    cosines = points @ points.T
    n = len(points)
    return float(1 - (cosines.sum() - cosines.diagonal().sum()) / (n * (n - 1)))


@torch.no_grad()
def judge(mapper: nn.Module, scenes: Scenes, held_out: DrawnClips, train_clips: DrawnClips) -> list[float]:
    """The figures of one mapper, on the same clips for every one."""
    generator = torch.Generator().manual_seed(99)
    top1, top5 = right_labels(mapper, scenes, train_clips, generator)
    frames, mask, target, label = held_out.batch(N_CLIPS * len(held_out.shown), generator)
    found = mapper(frames, mask, seeds=range(len(frames)))
    cosine = float((found * target).sum(1).mean())
    energies, spreads = [], []
    for one in held_out.shown.tolist():
        own = held_out.embeddings(held_out.members[one, : held_out.n_members[one]])
        predicted = found[label == one]
        if len(own) >= 3 and len(predicted) >= 3:
            energies.append(energy_distance(predicted, own))
            spreads.append(spread(predicted) / spread(own))
    n = len(energies)
    return [top1, top5, cosine, sum(energies) / n, sum(spreads) / n]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=HERE / "cpu.toml")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, default=1)
    args = parser.parse_args()
    config = load_toml(RecipeConfig, args.config).mapper
    torch.set_num_threads(config.threads)
    scenes = Scenes(args.work)
    clips, held_out = load_clips(args.work, scenes), load_clips(args.work, Scenes(args.work, "val"))
    rows = []
    for kind, (width, depth) in KINDS.items():
        for loss in get_args(Loss):
            figures = []
            for seed in range(args.seeds):
                one = replace(
                    config,
                    kind=kind,
                    hidden_dim=width,
                    depth=depth,
                    loss=loss,
                    steps=args.steps,
                    seed=seed,
                    guidance=1.0,
                )
                mapper, _ = train(f"mappers/{kind}_{loss}_{seed}", args.work, one, loss, scenes, clips)
                figures.append(judge(mapper, scenes, held_out, clips))
            size = sum(p.numel() for p in mapper.parameters()) / 1e6
            means = torch.tensor(figures).mean(0).tolist()
            rows.append(f"| {kind} | {loss} | {' | '.join(f'{x:.3f}' for x in means)} | {size:.1f} M |")
    print(
        "\n| reader | loss | top-1 | top-5 | cosine | energy distance | spread | size |\n|---|---|---|---|---|---|---|---|"
    )
    print("\n".join(rows))


if __name__ == "__main__":
    main()
