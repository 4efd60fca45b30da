"""How hard, and between which noise levels, the prior should be guided: accuracy against diversity, as a Markdown table.

    python prior_guidance.py

Drawn clips of the train split, the prior of WORK/mapper. Columns: the table's classes that lead to a sound of theirs
(top-1, top-5); 1 - cosine of what two seeds draw for one clip.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from echoframe.mappers.prior import load_prior
from flow import Scenes
from mapper import load_clips, right_labels

HERE = Path(__file__).parent
TRIED = [(1, 0, 1), (1.5, 0, 1), (2, 0, 1), (3, 0, 1), (3, 0, 0.7), (4, 0, 0.5), (6, 0, 0.4), (3, 0.2, 0.75)]
TRIED += [(3, 0.3, 0.8), (4, 0.2, 0.75), (4, 0.4, 0.8), (4, 0.3, 0.7), (5, 0.3, 0.7)]  # guidance, from, to
N_CLIPS = 200


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    work = parser.parse_args().work
    scenes, prior = Scenes(work), load_prior(work / "mapper" / "final")
    clips = load_clips(work, scenes)
    frames, mask, *_ = clips.batch(N_CLIPS, torch.Generator().manual_seed(5))
    print("| guidance | between levels | top-1 | top-5 | two seeds apart |\n|---|---|---|---|---|")
    for guidance, low, high in TRIED:
        prior.config = replace(prior.config, guidance=float(guidance), guided_levels=(float(low), float(high)))
        drawn = [right_labels(prior, scenes, clips, torch.Generator().manual_seed(seed)) for seed in (1, 2)]
        top1, top5 = (sum(figures) / len(drawn) for figures in zip(*drawn, strict=True))
        one, other = (prior(frames, mask, seeds=range(k, k + N_CLIPS)) for k in (0, 1000))
        apart = 1 - (one * other).sum(1).mean()
        print(f"| {guidance} | {low} to {high} | {top1:.3f} | {top5:.3f} | {apart:.3f} |", flush=True)


if __name__ == "__main__":
    main()
