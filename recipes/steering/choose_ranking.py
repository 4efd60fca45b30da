"""Ranking of candidates: whether the best of four is better than one, and by which weights.

    python choose_ranking.py WORK.jsonl --pictures PICTURES --films FILMS --judge YAMNET.tflite [--split val]

Makes four candidates, each of its own target, for pictures of the split, and for films, and writes to WORK.jsonl why each
is ranked as it is and what is heard in it, a line each; a run that was stopped goes on. Then it compares weightings, without
making anything again: the mean of all four, which is what one candidate gives, with the best and the worst by the ranking,
and with the best there is.
PICTURES: a folder with manifest.csv (file, label, split). FILMS: from `made_films.py`; each has the target of a label that
suits what happens in it, as in `accept_made.py`. Label hit: YAMNet finds one of the label's classes among its five best.
Onset F1: within 100 ms of the times that are known. Intervals are of 95 %, over pictures or films.
"""

import argparse
import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path += [str(Path(__file__).parents[1] / name) for name in ("mini", "timing")]

from accept_made import LABELS, f1
from ears import class_scores, heard_labels, right_classes
from echoframe import EchoFrame, load
from echoframe.evaluation.bootstrap import Statistic, paired_difference
from echoframe.evaluation.judges.yamnet import YamnetJudge
from echoframe.media.onsets import onsets
from echoframe.media.video import probe
from echoframe.options import RANK
from echoframe.sound.ranking import Asked, Likely, reasons_of, total
from echoframe.timing.cues import Cues
from echoframe.timing.watch import watch

N_CANDIDATES = 4
DURATION_S = 5.0  # of a picture's sound
WEIGHTINGS: dict[str, dict[str, float]] = {
    "the package's": dict(RANK),
    "target 1, time 1, soundness 0.3": {"target": 1.0, "time": 1.0, "soundness": 0.3},
    "label 1, time 1, soundness 0.3": {"label": 1.0, "time": 1.0, "soundness": 0.3},
    "label 1, target 1, time 1, soundness 0.3": {"label": 1.0, "target": 1.0, "time": 1.0, "soundness": 0.3},
    "label 1, target 0.25, time 1, soundness 0.3": {"label": 1.0, "target": 0.25, "time": 1.0, "soundness": 0.3},
    "label 1, target 0.25, time 1": {"label": 1.0, "target": 0.25, "time": 1.0},
    "label alone": {"label": 1.0},
    "target alone": {"target": 1.0},
    "time alone": {"time": 1.0},
    "soundness alone": {"soundness": 1.0},
}
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What is made and heard. work: the file that it is written to, of which `done` holds the items that are there."""

    model: EchoFrame
    judge: YamnetJudge
    work: Path
    done: frozenset[str]

    def make(
        self,
        item: str,
        label: str,
        targets: Tensor,
        expected: Mapping[str, float],
        seed: int,
        *,
        duration_s: float = DURATION_S,
        cues: Cues | None = None,
        sync: float = 0.0,
        times: np.ndarray | None = None,
    ) -> None:
        """Candidates of one item, why each is ranked as it is, and its figures. times: when something is struck."""
        rate = self.model.generator.sample_rate
        sounds = self.model.generate_candidates(
            targets,
            duration_s=duration_s,
            seeds=[1000 * seed + k for k in range(N_CANDIDATES)],
            options=replace(self.model.defaults, sync=sync),
            cues=None if cues is None else [cues] * N_CANDIDATES,
        )
        assert self.model.audio_encoder is not None
        embeddings = torch.cat([self.model.audio_encoder(sound[None], rate).cpu() for sound in sounds])
        heeded = cues.heeded(sync) if cues else ()
        own = Asked(targets=targets.expand(N_CANDIDATES, -1), expected=expected, prompt=None, heeded=heeded)
        reasons = reasons_of(sounds, embeddings, rate, own, Likely(*self.model.generator.labelled(embeddings)))
        scores = np.stack([class_scores(self.judge, sound[None]).numpy() for sound in sounds])
        hits = heard_labels(scores, np.repeat(right_classes(self.judge, [label]), N_CANDIDATES, axis=0)).values
        figures = [{"label hit": float(hit)} for hit in hits]
        if times is not None:
            for own, sound in zip(figures, sounds, strict=True):
                own["onset F1"] = f1(times, onsets(sound.numpy(), rate), 0.1)
        with self.work.open("a") as file:
            file.write(json.dumps({"item": item, "label": label, "reasons": reasons, "figures": figures}) + "\n")


def make_pictures(bench: Bench, folder: Path, split: str, n: int) -> Iterator[str]:
    """Of the first n pictures of the split in random order, those whose label is known and that are not done yet."""
    assert bench.model.labels is not None
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    for at in np.random.default_rng(0).permutation(len(rows)).tolist()[:n]:
        row = rows[at]
        if row["label"] in bench.model.labels.places and row["file"] not in bench.done:
            picture = folder / row["file"]
            seeds = [N_CANDIDATES * at + k for k in range(N_CANDIDATES)]
            targets = torch.cat([bench.model.predict_targets(picture, seed=seed)[0][1] for seed in seeds])
            (seen,) = bench.model.look(picture)
            bench.make(row["file"], row["label"], targets, dict(seen.labels), at)
            yield row["file"]


def make_films(bench: Bench, folder: Path, sync: float) -> Iterator[str]:
    """Of all films in random order, those that are not done yet."""
    assert bench.model.labels is not None
    with (folder / "films.csv").open(newline="") as file:
        films = list(csv.DictReader(file))
    for n in np.random.default_rng(0).permutation(len(films)).tolist():
        film = films[n]
        if film["file"] in bench.done:
            continue
        clip = probe(folder / film["file"])
        label = LABELS[film["kind"]][n % len(LABELS[film["kind"]])]
        bench.make(
            film["file"],
            label,
            bench.model.labels.places[label][None],
            {label: 1.0},
            n,
            duration_s=clip.duration_s,
            cues=watch(clip).cues,
            sync=sync,
            times=np.array([float(t) for t in film["struck"].split()]),
        )
        yield film["file"]


def compare(rows: Sequence[Row], figure: str) -> None:
    """What each weighting makes of the candidates' figures."""
    values = np.array([[own[figure] for own in row["figures"]] for row in rows])  # (N, candidates)
    differ = int((values.max(axis=1) > values.min(axis=1)).sum())
    print(f"\n{figure}, {len(rows)} items: one {values.mean():.3f}, the best there is {values.max(axis=1).mean():.3f}")
    print(f"candidates differ in {differ} of them\n")
    print("| weights | best | worst | best less one |\n|---|---|---|---|")
    mean = values.mean(axis=1)
    for name, weights in WEIGHTINGS.items():
        best, worst = (
            picked(rows, values, dict.fromkeys(RANK, 0.0) | weights, which) for which in (np.argmax, np.argmin)
        )
        gain = paired_difference(mean_of(best), mean_of(mean), len(rows))
        interval = f"{gain.value:+.3f} ({gain.low:+.3f} to {gain.high:+.3f})"
        print(f"| {name} | {best.mean():.3f} | {worst.mean():.3f} | {interval} |")


def mean_of(values: np.ndarray) -> Statistic:
    return lambda at: float(values[at].mean())


def picked(
    rows: Sequence[Row], values: np.ndarray, weights: Mapping[str, float], which: Callable[[list[float]], Any]
) -> np.ndarray:
    """The figure of each item's candidate that `which` takes by its total; the first one of equal ones."""
    chosen = [int(which([total(each, weights) for each in row["reasons"]])) for row in rows]
    return values[np.arange(len(rows)), chosen]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--films", type=Path, required=True)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--split", default="val")
    parser.add_argument("--n-pictures", type=int, default=100)
    parser.add_argument("--sync", type=float, default=0.5)
    args = parser.parse_args()
    torch.set_num_threads(1)
    done = frozenset(row["item"] for row in rows_of(args.work))
    args.work.write_text("".join(whole_lines(args.work)))
    bench = Bench(model=load("mini"), judge=YamnetJudge(args.judge), work=args.work, done=done)
    pictures = make_pictures(bench, args.pictures, args.split, args.n_pictures)
    # by turns: a run that was stopped has some of both
    for made in zip_longest(make_films(bench, args.films, args.sync), pictures):
        print(*(item for item in made if item), file=sys.stderr, flush=True)
    rows = rows_of(args.work)
    films = [row for row in rows if "onset F1" in row["figures"][0]]
    compare([row for row in rows if row not in films], "label hit")
    compare(films, "onset F1")
    compare(films, "label hit")


def whole_lines(work: Path) -> list[str]:
    """Without one that was broken off, which is made again."""
    lines = work.read_text().splitlines(keepends=True) if work.exists() else []
    return [line for line in lines if line.endswith("\n")]


def rows_of(work: Path) -> list[Row]:
    return [json.loads(line) for line in whole_lines(work)]


if __name__ == "__main__":
    main()
