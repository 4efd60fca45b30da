"""Acceptance of made films: are their events found, and heard where they are seen.

    python accept_made.py FILMS --judge YAMNET.tflite [--seeds 2] [--sync 0.5]

FILMS: from `made_films.py`, never learned from. Each film has the target of a label that suits what happens in it, so that
only time is asked of the picture. Cues count within 50 ms, what is heard within 100 ms. Chance: the times of the film after
it. Without sync the same seeds are used.
"""

import argparse
import csv
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from made_films import UNSEEN_KINDS, UNSEEN_LOOKS

sys.path.append(str(Path(__file__).parents[1] / "mini"))

from ears import class_scores, heard_labels, right_classes
from echoframe import load
from echoframe.evaluation.judges.yamnet import YamnetJudge
from echoframe.media.onsets import onset_f1, onsets
from echoframe.media.video import probe
from echoframe.timing.watch import watch

LABELS = {  # chosen before anything was measured: struck things that mini remembers, by what happens
    "bouncing": ("basketball bounce", "playing table tennis"),
    "hammering": ("hammering nails", "hammering metal", "chiseling stone", "chopping wood"),
    "stepping": ("footsteps on gravel", "footsteps on snow", "horse clip-clop"),
    "flashing": ("cap gun shooting", "fireworks banging", "camera shutter"),
    "dropping": ("striking bowling", "door slamming"),
    "clapping": ("finger snapping", "people slapping"),
}


@dataclass(frozen=True, kw_only=True)
class Row:
    """cues: F1 within 50 ms. with_sync, without, chance: F1 of what is heard within 100 ms."""

    kind: str
    look: str
    label: str
    cues: float
    with_sync: float
    without: float
    chance: float


def f1(wanted: np.ndarray, found: np.ndarray, tolerance_s: float) -> float:
    score = onset_f1(wanted, found, tolerance_s=tolerance_s)
    return 1.0 if score is None else score.f1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--sync", type=float, default=0.5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, judge = load("mini"), YamnetJudge(args.judge)
    assert model.labels is not None
    with (args.films / "films.csv").open(newline="") as file:
        films = list(csv.DictReader(file))
    times = [np.array([float(t) for t in film["struck"].split()]) for film in films]
    rows: list[Row] = []
    scores: dict[bool, list[np.ndarray]] = {True: [], False: []}
    right = []
    for n, film in enumerate(films):
        clip = probe(args.films / film["file"])
        cues = watch(clip).cues
        names = LABELS[film["kind"]]
        label = names[n % len(names)]
        own = [k for k, name in enumerate(model.labels.names) if name == label]
        target = model.labels.vectors[own].mean(dim=0, keepdim=True)
        heard: dict[bool, list[float]] = {True: [], False: []}
        chance = []
        for synced in (True, False):
            sounds = model.generate_candidates(
                target,
                duration_s=clip.duration_s,
                seeds=[1000 * n + seed for seed in range(args.seeds)],
                options=replace(model.defaults, sync=args.sync if synced else 0.0),
                cues=[cues] * args.seeds,
            )
            for sound in sounds:
                found = onsets(sound.numpy(), model.generator.sample_rate)
                heard[synced].append(f1(times[n], found, 0.1))
                if synced:
                    chance.append(f1(times[(n + 1) % len(times)], found, 0.1))
                    right.append(right_classes(judge, [label])[0])
                scores[synced].append(class_scores(judge, sound[None]).numpy())
        found = np.array([onset.time_s for onset in cues.heeded(args.sync)])
        rows.append(
            Row(
                kind=film["kind"],
                look=film["look"],
                label=label,
                cues=f1(times[n], found, 0.05),
                with_sync=float(np.mean(heard[True])),
                without=float(np.mean(heard[False])),
                chance=float(np.mean(chance)),
            )
        )
    print(f"{len(films)} films, {args.seeds} seeds each, sync {args.sync:g}\n")
    print("| films | n | cues F1 50 ms | heard F1 100 ms | without sync | chance |\n|---|---|---|---|---|---|")
    groups = {"all": rows}
    groups |= {kind: [row for row in rows if row.kind == kind] for kind in LABELS}
    groups |= {look: [row for row in rows if row.look == look] for look in dict.fromkeys(row.look for row in rows)}
    for name, group in groups.items():
        learned = " (never learned from)" if name in (*UNSEEN_KINDS, *UNSEEN_LOOKS) else ""
        parts = ([getattr(row, part) for row in group] for part in ("cues", "with_sync", "without", "chance"))
        means = " | ".join(f"{np.mean(part):.2f}" for part in parts)
        print(f"| {name}{learned} | {len(group)} | {means} |")
    print()
    for synced in (True, False):
        hits = heard_labels(np.stack(scores[synced]), np.stack(right))
        print(f"label hit {'with' if synced else 'without'} sync: {hits.mean:.3f} (chance {hits.chance:.3f})")


if __name__ == "__main__":
    main()
