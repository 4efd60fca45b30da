"""What the flow adds to the memory: its own best sounds, for labels none of whose recordings may be passed on.

    python own_sounds.py PACK PARTS MEMORY OUT [--per-label 2] [--tries 24]

PACK is the packed folder, PARTS what `train_flow.py` wrote, MEMORY what `remember.py` wrote. A small classifier of the
log-mel's tokens learns the labels from the train recordings alone. For each label without a remembered recording the flow
makes `--tries` sounds from the embeddings of the label's train recordings, and the best by the classifier are kept, if it
finds their label among its five best. OUT is the memory with them. No other model judges: neither aiSFX nor YAMNet.
"""

import argparse
import json
import shutil
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from echoframe.config import from_dict
from echoframe.flow import flow_levels, solve
from echoframe.generators.denoiser import Denoiser, DenoiserConfig
from echoframe.generators.joint import guided
from echoframe.generators.mel_codec import load_codec
from echoframe.generators.memory import Memory, Remembered, load_memory, save_memory
from packed import Packed
from stage import cosine_rate
from weights_in import read_start

SOURCE, LICENCE = "made by mini's flow", "LicenseRef-research-only"
TOKENS = 64  # of a sound: 5.12 s
STEPS, GUIDANCE = 20, 1.5
WIDTH, BATCH, TRAINING_STEPS, RATE = 192, 48, 1200, 2e-3
BEST = 5  # the label has to be among so many for a sound to be kept


class Classifier(nn.Module):
    """(B, N, C) tokens to the scores (B, labels) of what is heard, wherever it is heard."""

    def __init__(self, channels: int, n_labels: int) -> None:
        super().__init__()
        sizes = (channels, WIDTH, WIDTH, WIDTH)
        self.layers = nn.ModuleList(
            nn.Conv1d(before, after, 3, padding=1) for before, after in zip(sizes, sizes[1:], strict=False)
        )
        self.norms = nn.ModuleList(nn.GroupNorm(8, WIDTH) for _ in self.layers)
        self.drop = nn.Dropout(0.3)
        self.out = nn.Linear(2 * WIDTH, n_labels)

    def forward(self, tokens: Tensor) -> Tensor:
        found = tokens.transpose(1, 2)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            found = functional.silu(norm(layer(found)))
        return self.out(self.drop(torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1)))


def train_classifier(packed: Packed, labels: list[str], steps: int) -> Classifier:
    """Learns the labels of scenes, laid out and varied as they are for the flow."""
    torch.manual_seed(0)
    generator = torch.Generator().manual_seed(0)
    classifier = Classifier(packed.channels, len(labels))
    index = {label: n for n, label in enumerate(labels)}
    targets = torch.tensor([index[label] for label in packed.labels])
    optimizer = torch.optim.AdamW(classifier.parameters(), lr=RATE, weight_decay=0.05)
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = RATE * cosine_rate(step, steps)
        rows = torch.multinomial(packed.weights, BATCH, replacement=True, generator=generator)
        scenes = packed.vary(packed.scenes(rows, TOKENS, generator)[0], generator)
        loss = functional.cross_entropy(classifier(scenes), targets[rows], label_smoothing=0.1)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        if (step + 1) % 200 == 0:
            print(f"own_sounds: classifier {step + 1}/{steps}, loss {loss.item():.3f}", flush=True)
    return classifier.eval()


def best_labels(scores: Tensor) -> Tensor:
    """(B, 5): the labels that are likeliest."""
    return scores.topk(min(BEST, scores.shape[1]), dim=1).indices


@torch.no_grad()
def found_labels(classifier: Classifier, packed: Packed, labels: list[str]) -> float:
    """The share of the recordings whose label is among the classifier's five best."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.arange(len(packed.labels))
    scores = torch.cat([classifier(packed.scenes(part, TOKENS, generator)[0]) for part in rows.split(64)])
    index = {label: n for n, label in enumerate(labels)}
    right = torch.tensor([index.get(label, -1) for label in packed.labels])[:, None]
    return (best_labels(scores) == right).any(dim=1).float().mean().item()


def load_flow(parts: Path) -> Denoiser:
    network = Denoiser(from_dict(DenoiserConfig, json.loads((parts / "config.json").read_text()), name=str(parts)))
    network.load_state_dict(read_start(parts))
    return network.eval()


@torch.no_grad()
def make(flow: Denoiser, conditions: Tensor, seed: int) -> Tensor:
    """(B, TOKENS, C): a sound for each unit embedding (B, D)."""
    noise = torch.randn((len(conditions), TOKENS, flow.config.channels), generator=torch.Generator().manual_seed(seed))
    both = torch.cat([torch.zeros_like(conditions), conditions])

    def direction(tokens: Tensor, level: float) -> Tensor:
        predicted = flow(torch.cat([tokens, tokens]), torch.full((2 * len(tokens),), level), both)
        return guided(predicted, GUIDANCE)

    return solve(direction, noise, flow_levels(STEPS, 1.0), second_order=True)


def best_sounds(
    flow: Denoiser, classifier: Classifier, conditions: Tensor, label: int, tries: int, keep: int
) -> list[tuple[Tensor, Tensor, float]]:
    """The best of `tries` sounds of a label: tokens, the embedding each was made from, and its probability."""
    conditions = conditions[torch.arange(tries) % len(conditions)]
    sounds = torch.cat([make(flow, part, n) for n, part in enumerate(conditions.split(8))])
    with torch.no_grad():
        scores = classifier(sounds)
    among = (best_labels(scores) == label).any(dim=1)
    chances = torch.where(among, scores.softmax(dim=1)[:, label], 0.0)
    order = chances.argsort(descending=True).tolist()[:keep]
    return [(sounds[n], conditions[n], chances[n].item()) for n in order if chances[n] > 0]


def add(memory: Memory, made: list[tuple[str, Tensor, Tensor]], steady: dict[str, bool], pack: Path) -> Memory:
    """The memory with made sounds: label, tokens and embedding of each."""
    count: dict[str, int] = defaultdict(int)
    entries = list(memory.entries)
    for label, _, _ in made:
        count[label] += 1
        entries.append(Remembered(sound=f"{label} {count[label]}", label=label, source=SOURCE, licence=LICENCE))
    ends = memory.starts[-1] + torch.tensor([len(tokens) for _, tokens, _ in made]).cumsum(0)
    return Memory(
        memory.config,
        entries=entries,
        embeddings=torch.cat([memory.embeddings, *(embedding[None] for _, _, embedding in made)]),
        tokens=torch.cat([memory.tokens, *(tokens for _, tokens, _ in made)]),
        starts=torch.cat([memory.starts, ends]),
        steady=torch.cat([memory.steady, torch.tensor([steady[label] for label, _, _ in made], dtype=torch.bool)]),
        codec=load_codec(pack / "codec"),
        labeller=memory.labeller,
    )


def conditions_by_label(packed: Packed) -> dict[str, Tensor]:
    """(n, D) for each label: the embeddings of its recordings."""
    rows = torch.arange(len(packed.labels))
    every = packed.condition(rows, torch.zeros_like(rows), 10**6, None)
    found: dict[str, list[int]] = defaultdict(list)
    for n, label in enumerate(packed.labels):
        found[label].append(n)
    return {label: every[numbers] for label, numbers in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path)
    parser.add_argument("parts", type=Path)
    parser.add_argument("memory", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--per-label", type=int, default=2)
    parser.add_argument("--tries", type=int, default=24)
    parser.add_argument("--steps", type=int, default=TRAINING_STEPS, help="of the classifier's training")
    args = parser.parse_args()
    packed = Packed(args.pack, "train", "cpu")
    labels = sorted(set(packed.labels))
    classifier = train_classifier(packed, labels, args.steps)
    share = found_labels(classifier, Packed(args.pack, "val", "cpu"), labels)
    print(f"own_sounds: the classifier finds {share:.2f} of the val recordings' labels among {BEST}", flush=True)
    memory, flow = load_memory(args.memory, load_codec(args.pack / "codec")), load_flow(args.parts)
    conditions = conditions_by_label(packed)
    mostly_steady = {
        label: sum(packed.sounds.steady[n].item() for n, x in enumerate(packed.labels) if x == label) * 2 > len(own)
        for label, own in conditions.items()
    }
    made: list[tuple[str, Tensor, Tensor]] = []
    without = sorted(set(labels) - {entry.label for entry in memory.entries})
    for label in without:
        best = best_sounds(flow, classifier, conditions[label], labels.index(label), args.tries, args.per_label)
        made += [(label, tokens, embedding) for tokens, embedding, _ in best]
        print(f"own_sounds: {label}: {', '.join(f'{chance:.2f}' for *_, chance in best) or 'none'}", flush=True)
    shutil.rmtree(args.out, ignore_errors=True)
    save_memory(add(memory, made, mostly_steady, args.pack), args.out)
    print(
        f"own_sounds: {len(made)} sounds of {len({label for label, *_ in made})} of {len(without)} labels", flush=True
    )


if __name__ == "__main__":
    main()
