"""Acceptance of films: the twelve beside four published systems, and the dog of `make demo`."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from acceptance_bench import Bench, head, line, stacked
from acceptance_lists import SYSTEMS, canonical, read_films
from ears import Heard, divergences, heard_alike, heard_labels
from echoframe.evaluation.agreement import best_classes
from echoframe.evaluation.protocols import WHOLE_S
from echoframe.evaluation.sounds import Listening, find_sounds, listen

DEMO = Path(__file__).parents[2] / "demo" / "clip.mp4"
DEMO_LABEL, DEMO_SEEDS, DEMO_FIRST = "dog barking", 10, 3
COLUMNS = (
    "n",
    "agreement hit",
    "KL",
    "label hit",
    "aiSFX: cosine",
    "known labels: n",
    "hit",
    "KL",
    "label hit",
)


def hear_file(bench: Bench, path: Path) -> Heard:
    """A published sound, or a film's own, as `echoframe evaluate` hears it."""

    def make() -> tuple[Tensor, int]:
        excerpt = listen(path, Listening(clip_s=WHOLE_S))
        return excerpt.waveform, excerpt.sample_rate

    about = {"file": f"{path.parent.name}/{path.name}", "bytes": path.stat().st_size}
    return bench.ears.hear(about, make)


def films(bench: Bench) -> None:
    """Agreement with the films' own sounds; also for those films alone whose label the model knows."""
    peers, seeds = bench.shared / "peers", bench.seeds or 5
    of_films = {stem: canonical(label) for stem, label in read_films(bench.shared).items()}
    labels = list(of_films.values())
    paths = find_sounds(peers / "films")
    real = [hear_file(bench, paths[stem]) for stem in of_films]
    n_known = sum(label in bench.known for label in labels)
    head(f"{len(labels)} films, seeds 0 to {seeds - 1}; the model knows the labels of {n_known}", COLUMNS)
    row(bench, "the real sound (ceiling)", real, real, labels)
    for name, folder in SYSTEMS.items():
        sounds = find_sounds(peers / folder)
        row(bench, name, [hear_file(bench, sounds[stem]) for stem in of_films], real, labels)
    targets = [bench.target(paths[stem], seed, until_s=10.0) for seed in range(seeds) for stem in of_films]
    near = [bench.hear_recording(bench.nearest(target)) for target in targets]
    row(bench, "the training recording nearest to the mapper's target", near, real, labels)
    made: list[Heard] = []
    for variant in bench.variants():
        made = [bench.hear_clip(paths[stem], seed, variant) for seed in range(seeds) for stem in of_films]
        row(bench, variant.name, made, real, labels)
    row(bench, "chance: pairs shuffled", made[: len(real)], real, labels, shuffled=True)


def row(
    bench: Bench,
    name: str,
    made: Sequence[Heard],
    real: Sequence[Heard],
    labels: Sequence[str],
    *,
    shuffled: bool = False,
) -> None:
    """One line: all films, then those whose label the model knows."""
    times = len(made) // len(real)
    labels = list(labels) * times
    (true, true_embeddings), (scores, embeddings) = stacked(list(real) * times), stacked(made)

    def figures(kept: np.ndarray) -> tuple[float | None, ...]:
        if kept.sum() < 2:
            return None, None, None
        of = (
            heard_alike(true[kept], scores[kept]),
            divergences(true[kept], scores[kept]),
            heard_labels(scores[kept], bench.right([label for label, own in zip(labels, kept, strict=True) if own])),
        )
        return tuple(one.chance if shuffled else one.mean for one in of)

    near = embeddings @ true_embeddings.T
    others = (near.sum() - np.trace(near)) / max(near.size - len(near), 1)
    cosine = others if shuffled else np.trace(near) / len(near)
    known = np.array([label in bench.known for label in labels])
    every = np.ones(len(labels), dtype=bool)
    line(name, len(made), *figures(every), float(cosine), int(known.sum()), *figures(known))


def demo(bench: Bench) -> None:
    """The dog of `make demo`: its classes among YAMNet's first three."""
    seeds = bench.seeds or DEMO_SEEDS
    columns = ("seeds", f"a dog among the first {DEMO_FIRST}", "among the first five", "what is heard first, by seed")
    head(f"`make demo`: {DEMO_LABEL}, seeds 0 to {seeds - 1}", columns)
    right = bench.right([DEMO_LABEL] * seeds)
    for variant in bench.variants():
        heard = [bench.hear_clip(DEMO, seed, variant) for seed in range(seeds)]
        scores, _ = stacked(heard)
        counts = [int(heard_labels(scores, right, k=k).values.sum()) for k in (DEMO_FIRST, 5)]
        line(variant.name, seeds, *(f"{count} of {seeds}" for count in counts), first_heard(bench, scores))


def first_heard(bench: Bench, scores: np.ndarray) -> str:
    """The best specific class of each sound."""
    return ", ".join(bench.judge.names[place] for place in best_classes(scores, 1).argmax(axis=1))
