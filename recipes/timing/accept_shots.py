"""Acceptance of shots: whether the cuts and dissolves of made films are found.

    python accept_shots.py SHOTS

SHOTS: from `made_shots.py`. A cut counts within two frames at 25 a second, the middle of a dissolve within half a second.
"""

import argparse
import csv
from pathlib import Path

import numpy as np
import torch

from echoframe.media.onsets import onset_f1
from echoframe.media.video import probe
from echoframe.timing.watch import watch

TOLERANCES_S = {"cut": 0.09, "dissolve": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shots", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with (args.shots / "shots.csv").open(newline="") as file:
        films = list(csv.DictReader(file))
    counts = {kind: np.zeros(3) for kind in TOLERANCES_S}  # there, found, right
    for film in films:
        borders = watch(probe(args.shots / film["file"])).borders
        for kind, tolerance_s in TOLERANCES_S.items():
            real = np.array([float(t) for t in film[f"{kind}s"].split()])
            found = np.array([border.time_s for border in borders if border.kind == kind])
            score = onset_f1(real, found, tolerance_s=tolerance_s)
            right = 0 if score is None else round(score.recall * len(real))
            counts[kind] += (len(real), len(found), right)
    print(f"{len(films)} films\n\n| borders | there | found | right | F1 |\n|---|---|---|---|---|")
    for kind, (there, found, right) in counts.items():
        print(f"| {kind}s | {there:.0f} | {found:.0f} | {right:.0f} | {2 * right / max(there + found, 1):.3f} |")


if __name__ == "__main__":
    main()
