"""Acceptance of what the generator does with recordings: to tokens and back, and from their own embeddings."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from acceptance_bench import Bench, head, line, stacked
from acceptance_lists import Listed
from ears import Heard, divergences, heard_alike, heard_labels, mean_over_labels
from echoframe.media.audio import log_mel

COLUMNS = (
    "n",
    "YAMNet: label hit (of real)",
    "mean over labels",
    "agreement hit",
    "KL to the real one",
    "aiSFX: label among 5 nearest",
    "cosine to the real one",
)
SHORTEST_S, LONGEST_S = 4.0, 10.0  # of sounds from embeddings; between them they last as long as the recording


@torch.no_grad()
def through_tokens(bench: Bench, one: Listed) -> tuple[Tensor, int]:
    """A recording as its tokens leave it, as long as it was."""
    waveform, rate = bench.read(one)
    generator = bench.model.generator
    mel, codec = generator.config.mel, generator.codec
    token = mel.hop_length * codec.config.frames
    padded = torch.nn.functional.pad(waveform, (0, -waveform.shape[1] % token))
    tokens = codec.encode(log_mel(padded, mel).to(generator.device))
    return generator.decode(tokens).cpu()[:, : waveform.shape[1]], rate


def row(bench: Bench, name: str, made: Sequence[Heard], real: Sequence[Heard], labels: Sequence[str]) -> None:
    """One line; `made` may hold several sounds for each of `real`, one round after the other."""
    times = len(made) // len(real)
    labels, (true, true_embeddings) = list(labels) * times, stacked(list(real) * times)
    scores, embeddings = stacked(made)
    hits = heard_labels(scores, bench.right(labels))
    ceiling = heard_labels(true, bench.right(labels)).mean
    _, top5 = bench.aisfx.hits(torch.from_numpy(embeddings).float(), labels)
    cosine = float((embeddings * true_embeddings).sum(axis=1).mean())
    share = f"{hits.mean:.3f} ({hits.mean / max(ceiling, 1e-9):.0%})"
    alike, apart = heard_alike(true, scores), divergences(true, scores)
    over = mean_over_labels(hits.values, labels)
    line(name, len(made), share, over, alike.mean, apart.mean, float(top5.mean()), cosine)


def chance(bench: Bench, made: Sequence[Heard], real: Sequence[Heard], labels: Sequence[str]) -> None:
    """The floor: one round of sounds with others' labels and others' real sounds."""
    (scores, embeddings), (true, true_embeddings) = stacked(made[: len(real)]), stacked(real)
    share, alike = heard_labels(scores, bench.right(labels)).chance, heard_alike(true, scores).chance
    near = embeddings @ true_embeddings.T
    others = (near.sum() - np.trace(near)) / max(near.size - len(near), 1)
    among = 5 / len(bench.aisfx.names)
    line(
        "chance: pairs shuffled", len(real), share, None, alike, divergences(true, scores).chance, among, float(others)
    )


def tokens(bench: Bench) -> None:
    """From tokens to a waveform."""
    chosen = bench.held_out
    labels = [one.label for one in chosen]
    real = [bench.hear_recording(one) for one in chosen]
    made = []
    for one in chosen:
        about = {**bench.maker, **bench.about(one), "through": "tokens"}
        made.append(bench.ears.hear(about, lambda one=one: through_tokens(bench, one)))
    head(f"Tokens to waveform: {len(chosen)} held-out recordings of {len(set(labels))} labels", COLUMNS)
    row(bench, "the real recording (ceiling)", real, real, labels)
    row(bench, "through tokens and back", made, real, labels)
    chance(bench, made, real, labels)


def embeddings(bench: Bench) -> None:
    """From the recordings' own embeddings."""
    chosen, seeds = bench.held_out, bench.seeds or 2
    labels = [one.label for one in chosen]
    real = [bench.hear_recording(one) for one in chosen]
    head(
        f"From their own embeddings: {len(chosen)} held-out recordings of {len(set(labels))} labels, "
        f"seeds 0 to {seeds - 1}, 4 to 10 s",
        COLUMNS,
    )
    row(bench, "the real recording (ceiling)", real, real, labels)
    near = [bench.hear_recording(bench.nearest(heard.embedding)) for heard in real]
    row(bench, "the training recording nearest in aiSFX", near, real, labels)
    made: list[Heard] = []
    for variant in bench.variants():
        made = [
            bench.hear_target(one, heard.embedding, seed, variant, duration(bench, one))
            for seed in range(seeds)
            for one, heard in zip(chosen, real, strict=True)
        ]
        row(bench, variant.name, made, real, labels)
    chance(bench, made, real, labels)


def duration(bench: Bench, one: Listed) -> float:
    waveform, rate = bench.read(one)
    return round(min(max(waveform.shape[1] / rate, SHORTEST_S), LONGEST_S), 2)
