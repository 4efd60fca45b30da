"""Acceptance of words: a prompt is heard the more the more it weighs, what is not wanted is heard less, an example is met.

    python accept_words.py PICTURES --sounds CORPUS --judge YAMNET.tflite [--n-pictures 20] [--n-prompts 5] [--split test]
        [--only unwanted]

PICTURES, CORPUS: folders with manifest.csv (file, label, split) of pictures and of sounds, of which one split is used: the
test split, or that of validation where something is chosen.
Each picture gets prompts for labels of other kinds, at five weights; the same labels' sounds without a picture stand beside
them. A prompt is the label's everyday word, not its name. Heard: YAMNet finds one of the label's classes among its five
best. What is not wanted is the picture's own label; its score is the highest of its classes'. Examples are test recordings
of those labels, at five variations; nearness is the correlation of YAMNet's scores of the result and of the example.
"""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

sys.path.append(str(Path(__file__).parents[1] / "mini"))

from ears import class_scores, heard_labels, right_classes
from echoframe import EchoFrame, load
from echoframe.bundles.vocabulary import word_table
from echoframe.bundles.words import labels_meant
from echoframe.evaluation.judges.yamnet import YamnetJudge
from echoframe.media.audio import read_audio, resample

WEIGHTS = (0.0, 0.25, 0.5, 0.75, 1.0)
VARIATIONS = (1.0, 0.75, 0.5, 0.25, 0.0)
DURATION_S = 5.0
PARTS = ("unwanted", "examples", "words")
HEARD = 0.05  # of YAMNet's score: less is not heard


def files_of(folder: Path, split: str, known: set[str]) -> list[tuple[Path, str]]:
    """(file, label) of a split, of labels that are known."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [(folder / row["file"], row["label"]) for row in csv.DictReader(file) if row["split"] == split]
    return [row for row in rows if row[1] in known and row[0].is_file()]


def chosen(rows: Sequence[tuple[Path, str]], n: int, random: np.random.Generator) -> list[tuple[Path, str]]:
    """n of them in random order, each of another label."""
    found: dict[str, Path] = {}
    for at in random.permutation(len(rows)):
        found.setdefault(rows[at][1], rows[at][0])
    return [(path, label) for label, path in found.items()][:n]


def everyday(label: str, names: Sequence[str]) -> str:
    """The first word of the table that means this label alone; its name where none does."""
    for word in word_table().get(label, ()):
        if word != label and labels_meant(word, names).keys() == {label}:
            return word
    return label


class Bench:
    """What is made and heard. Every sound has a seed that follows from its place."""

    def __init__(self, model: EchoFrame, judge: YamnetJudge) -> None:
        self.model, self.judge = model, judge

    def scores(self, source: Path | None, seed: int, **asked: object) -> np.ndarray:
        sound = self.model.generate(source, seed=seed, duration_s=DURATION_S, whole=True, **asked)  # type: ignore[call-overload]
        return class_scores(self.judge, sound.waveform).numpy()

    def right(self, labels: Sequence[str]) -> np.ndarray:
        return right_classes(self.judge, list(labels))


def words(bench: Bench, pictures: Sequence[tuple[Path, str]], prompts: Sequence[str], names: Sequence[str]) -> None:
    heard: dict[float, list[np.ndarray]] = {weight: [] for weight in WEIGHTS}
    asked: list[str] = []
    for n, (picture, own) in enumerate(pictures):
        for label in [each for each in prompts if each != own]:
            asked.append(label)
            for weight in WEIGHTS:
                heard[weight].append(bench.scores(picture, n, prompt=everyday(label, names), prompt_weight=weight))
    right = bench.right(asked)
    for weight in WEIGHTS:
        hits = heard_labels(np.stack(heard[weight]), right)
        print(
            f"prompt weight {weight:g}: the prompt's label is heard in {hits.mean:.3f} of {len(asked)} sounds",
            flush=True,
        )
    alone = [bench.scores(None, n, prompt=label) for label in prompts for n in range(len(pictures))]
    hits = heard_labels(np.stack(alone), bench.right([label for label in prompts for _ in pictures]))
    print(f"the labels' own condition: {hits.mean:.3f} of {len(alone)}", flush=True)


def unwanted(bench: Bench, pictures: Sequence[tuple[Path, str]], names: Sequence[str], n_seeds: int) -> None:
    right = bench.right([label for _, label in pictures])
    pairs = []
    for n, (picture, label) in enumerate(pictures):
        classes = np.flatnonzero(right[n])
        seeds = [n + k * len(pictures) for k in range(n_seeds)]
        both = [
            [bench.scores(picture, seed, negative_prompt=words)[classes].max() for seed in seeds]
            for words in ("", everyday(label, names))
        ]
        pairs.append([float(np.mean(scores)) for scores in both])
        print(f"{label}: {pairs[-1][0]:.4f}, with a negative prompt {pairs[-1][1]:.4f}", flush=True)
    usual, without = np.array(pairs).T
    lower = without < usual
    # a score of 0 cannot be lowered
    parts = {"all": usual >= 0, "those with a score above 0 without": usual > 0, "those heard without": usual >= HEARD}
    for name, part in parts.items():
        print(
            f"a negative prompt lowers the picture's own label in {lower[part].mean():.3f} of {part.sum()} ({name})",
            flush=True,
        )
    print(
        f"the own label's score, mean: {usual.mean():.3f} without, {without.mean():.3f} with a negative prompt",
        flush=True,
    )


def examples(bench: Bench, sounds: Sequence[tuple[Path, str]], pictures: Sequence[tuple[Path, str]]) -> None:
    near = np.zeros((len(sounds), len(VARIATIONS)))
    for n, ((path, _), (picture, _)) in enumerate(zip(sounds, pictures, strict=False)):
        waveform, rate = read_audio(path)
        own = class_scores(bench.judge, resample(waveform, rate, bench.judge.sample_rate)).numpy()
        for k, variation in enumerate(VARIATIONS):
            made = bench.scores(picture, n, like=path, variation=variation)
            near[n, k] = np.corrcoef(np.log(own + 1e-4), np.log(made + 1e-4))[0, 1]
    shown = ", ".join(f"{v:g}: {mean:.3f}" for v, mean in zip(VARIATIONS, near.mean(axis=0), strict=True))
    print(f"nearness to the example by variation, mean of {len(sounds)}: {shown}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pictures", type=Path)
    parser.add_argument("--sounds", type=Path, required=True)
    parser.add_argument("--judge", type=Path, required=True)
    parser.add_argument("--n-pictures", type=int, default=20)
    parser.add_argument("--n-prompts", type=int, default=5)
    about_seeds = "sounds of each picture whose scores' mean is compared, with what is not wanted and without"
    parser.add_argument("--n-seeds", type=int, default=1, help=about_seeds)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", default="test")
    parser.add_argument("--only", choices=PARTS, nargs="+", default=PARTS)
    args = parser.parse_args()
    torch.set_num_threads(1)
    model, judge = load("mini"), YamnetJudge(args.judge)
    assert model.labels is not None
    names = tuple(model.labels.places)
    random, bench = np.random.default_rng(args.seed), Bench(model, judge)
    pictures = chosen(files_of(args.pictures, args.split, set(names)), args.n_pictures, random)
    sounds = chosen(files_of(args.sounds, args.split, set(names)), args.n_pictures, random)
    prompts = [label for _, label in sounds[: args.n_prompts]]
    print(f"prompts: {', '.join(everyday(label, names) for label in prompts)}")
    if "unwanted" in args.only:
        unwanted(bench, pictures, names, args.n_seeds)
    if "examples" in args.only:
        examples(bench, sounds, pictures)
    if "words" in args.only:
        words(bench, pictures, prompts, names)


if __name__ == "__main__":
    main()
