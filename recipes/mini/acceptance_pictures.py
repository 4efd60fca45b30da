"""Acceptance of pictures: whether their labels are heard, and how far two seeds lie apart."""

from collections.abc import Sequence

import numpy as np
import torch

from acceptance_bench import Bench, Variant, head, line, stacked
from acceptance_lists import Listed
from ears import Heard, divergences, heard_labels, mean_over_labels

STILL_S = 5.0  # of sound for a picture
COLUMNS = ("n", "YAMNet: label hit", "mean over labels", "aiSFX: label nearest", "label among 5 nearest")


def pictures(bench: Bench) -> None:
    """Both tables."""
    chosen, seeds = bench.pictures, max(bench.seeds or 2, 2)
    labels = [one.label for one in chosen]
    n_labels = len(set(labels))
    head(
        f"Pictures: {len(chosen)} of the test split, {n_labels} labels, seeds 0 to {seeds - 1}, {STILL_S:g} s", COLUMNS
    )
    row(bench, "a training recording of the label (ceiling)", others(bench, labels), labels)
    targets = [bench.target(one.file, seed, until_s=STILL_S) for seed in range(seeds) for one in chosen]
    near = [bench.hear_recording(bench.nearest(target)) for target in targets]
    row(bench, "the training recording nearest to the mapper's target (retrieval bound)", near, labels)
    made: dict[str, list[Heard]] = {}
    for variant in bench.variants():
        made[variant.name] = [hear(bench, one, seed, variant) for seed in range(seeds) for one in chosen]
        row(bench, variant.name, made[variant.name], labels)
    scores, _ = stacked(made[variant.name][: len(labels)])
    share = heard_labels(scores, bench.right(labels)).chance
    n_names = len(bench.aisfx.names)
    line("chance: pairs shuffled", len(labels), share, None, 1 / n_names, 5 / n_names)
    diversity(bench, labels, made)


def hear(bench: Bench, one: Listed, seed: int, variant: Variant) -> Heard:
    return bench.hear_clip(one.file, seed, variant, duration_s=STILL_S)


def others(bench: Bench, labels: Sequence[str], seed: int = 0) -> list[Heard]:
    """For each label a training recording of it, drawn; for a label without any, a held-out one."""
    rng = np.random.default_rng(seed)
    own = {label: [one for one in bench.train if one.label == label] for label in set(labels)}
    every = {label: own[label] or [one for one in bench.recordings if one.label == label] for label in own}
    return [bench.hear_recording(every[label][rng.integers(len(every[label]))]) for label in labels]


def row(bench: Bench, name: str, made: Sequence[Heard], labels: Sequence[str]) -> None:
    labels = list(labels) * (len(made) // len(labels))
    scores, embeddings = stacked(made)
    hits = heard_labels(scores, bench.right(labels))
    top1, top5 = bench.aisfx.hits(torch.from_numpy(embeddings).float(), labels)
    over = mean_over_labels(hits.values, labels)
    line(name, len(made), hits.mean, over, float(top1.mean()), float(top5.mean()))


def diversity(bench: Bench, labels: Sequence[str], made: dict[str, list[Heard]]) -> None:
    """How far two seeds of one picture lie apart, beside two recordings of its label; and how near to recordings."""
    columns = ("n", "aiSFX: 1 - cosine", "YAMNet: KL", "1 - cosine to the nearest training recording", "to the memory")
    head("Two seeds of one picture apart", columns)
    first, second = (others(bench, labels, seed) for seed in (1, 2))
    apart(bench, "two training recordings of the label", [*first, *second], len(labels), near=False)
    for name, heard in made.items():
        apart(bench, name, heard, len(labels))


def apart(bench: Bench, name: str, heard: Sequence[Heard], n: int, *, near: bool = True) -> None:
    """One line: the first n sounds beside the next n."""
    (scores, embeddings), (other_scores, others) = stacked(heard[:n]), stacked(heard[n : 2 * n])
    counted = np.array([near or not np.array_equal(a, b) for a, b in zip(embeddings, others, strict=True)])
    cosines = (embeddings * others).sum(axis=1)[counted]  # a recording drawn twice is no two recordings
    kl = divergences(scores, other_scores).values[counted]
    to_train = 1 - float((embeddings @ bench.train_embeddings.T).max(axis=1).mean()) if near else None
    remembered = memory_embeddings(bench)
    to_memory = None if remembered is None or not near else 1 - float((embeddings @ remembered.T).max(axis=1).mean())
    line(name, len(cosines), 1 - float(cosines.mean()), float(kl.mean()), to_train, to_memory)


def memory_embeddings(bench: Bench) -> np.ndarray | None:
    """(N, 512) unit vectors of what the generator remembers; None if it remembers nothing."""
    memory = getattr(bench.model.generator, "memory", None)
    vectors = getattr(memory, "embeddings", None)
    if vectors is None:
        return None
    rows = torch.as_tensor(vectors).double().cpu().numpy()
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)
