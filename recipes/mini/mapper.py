"""Stage 5: the mapper, from ImageNet class probabilities to the aiSFX space. No picture is needed to train it.

A clip's visual embedding is EfficientNet's probabilities per frame. Training clips are drawn: a sound label, one of
the ImageNet classes that show it (imagenet_sounds.csv), and around that class the probabilities the classifier's own
weights would give: logits of the class's weight vector plus noise, so that a rooster is taken for a hen as often as the
network would. The target is the embedding of one of the label's recordings; its expectation is what MSE learns.
"""

import csv
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from echoframe.mapper import MapperConfig, build_mapper, save_mapper
from flow import Scenes
from stage import MapperStageConfig, Run, arguments, cosine_rate

HERE = Path(__file__).parent


def read_table(labels: list[str]) -> Tensor:
    """(labels, 1000) weights: how much of an ImageNet class belongs to a label; zero rows for what it cannot show."""
    table = torch.zeros(len(labels), 1000)
    with (HERE / "imagenet_sounds.csv").open(newline="") as lines:
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            if row["label"] in labels:
                table[labels.index(row["label"]), int(row["index"])] = float(row["weight"])
    return table


class DrawnClips:
    """Batches of (B, T, 1000) probabilities, (B, T) masks and (B, 512) targets."""

    def __init__(self, scenes: Scenes, classifier: Tensor, bias: Tensor, n_frames: int) -> None:
        self.n_frames, self.labels = n_frames, scenes.labels
        self.table = read_table(scenes.labels)
        self.shown = (self.table.sum(1) > 0).nonzero()[:, 0]
        members = [torch.tensor(scenes.by_label[label]) for label in scenes.labels]
        self.n_members = torch.tensor([len(m) for m in members])
        self.members = nn.utils.rnn.pad_sequence(members, batch_first=True)  # (labels, most scenes)
        self.embeddings = nn.functional.normalize(scenes.blocks.mean(1) - scenes.mean, dim=1)  # (scenes, 512)
        # what the classifier says of each class's own weight vector: its confusions
        directions = nn.functional.normalize(classifier - classifier.mean(0), dim=1)
        self.logits = 12.0 * directions @ directions.T + (bias - bias.mean())  # (1000, 1000)

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        label = self.shown[(uniform(size) * len(self.shown)).long()]
        classes = torch.multinomial(self.table[label], 2, replacement=True, generator=generator)  # (B, 2)
        other = (uniform(size) * 1000).long()  # something else in the picture
        share = 0.6 * uniform(size, 1).square()
        logits = (1 - share) * self.logits[classes[:, 0]] + share * self.logits[other]
        logits = logits + 0.3 * uniform(size, 1) * self.logits[classes[:, 1]]
        logits = logits + 1.2 * normal(size, 1000)  # this clip
        logits = logits[:, None] + 0.8 * normal(size, self.n_frames, 1000)  # its frames
        frames = torch.softmax(logits * (0.5 + uniform(size, 1, 1)), dim=2)
        scene = self.members[label, (uniform(size) * self.n_members[label]).long()]
        return frames, torch.ones((size, self.n_frames), dtype=torch.bool), self.embeddings[scene]


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config: MapperStageConfig = recipe.mapper
    torch.set_num_threads(config.threads)
    weights = load_file(work / "visual_encoder" / "model.safetensors")
    scenes = Scenes(work)
    clips = DrawnClips(scenes, weights["classifier.weight"].float(), weights["classifier.bias"].float(), n_frames=4)
    mapper_config = MapperConfig(
        kind=config.kind,  # type: ignore[arg-type]
        visual_dim=1000,
        audio_dim=512,
        hidden_dim=config.hidden_dim,
        depth=config.depth,
        n_frames=64,
        input="log_probability",
        visual_space="efficientnet_lite0/probabilities",
        audio_space="aisfx/centred",
    )
    mapper = build_mapper(mapper_config)
    optimizer = torch.optim.AdamW(mapper.parameters(), lr=config.learning_rate, weight_decay=0.02)
    run = Run("mapper", work, config, {"mapper": mapper, "optimizer": optimizer}, steps=config.steps, seed=config.seed)

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, config.steps)
        frames, mask, target = clips.batch(config.batch_size, run.generator)
        loss = (mapper(frames, mask) - target).square().sum(1).mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"squared_error": loss.item()}

    run.loop(one_step, log_every=100)
    mapper.eval()
    save_mapper(mapper, work / "mapper" / "final")
    check(mapper, scenes, clips, config, run.generator)


@torch.no_grad()
def check(
    mapper: nn.Module, scenes: Scenes, clips: DrawnClips, config: MapperStageConfig, generator: torch.Generator
) -> None:
    """Prints how often the nearest label centroid of a fresh drawn clip's embedding is a label its class belongs to."""
    centroids = nn.functional.normalize(
        torch.stack([clips.embeddings[scenes.by_label[label]].mean(0) for label in clips.labels]), dim=1
    )
    classes = (clips.table.sum(0) > 0).nonzero()[:, 0]
    logits = clips.logits[classes] + torch.randn((len(classes), 1000), generator=generator)
    frames = torch.softmax(logits, dim=1)[:, None].expand(-1, 4, -1)
    embedding = mapper(frames, torch.ones(frames.shape[:2], dtype=torch.bool))
    nearest = (embedding @ centroids.T).topk(5, dim=1).indices
    hits = np.array([[clips.table[label, c] > 0 for label in row] for row, c in zip(nearest, classes, strict=True)])
    top1, top5 = hits[:, 0].mean(), hits.any(axis=1).mean()
    print(f"mapper: {len(classes)} ImageNet classes, top-1 {top1:.3f}, top-5 {top5:.3f}", flush=True)
    if top5 < config.min_top5:
        raise SystemExit("mapper: too few classes lead to a sound of theirs; train longer")


if __name__ == "__main__":
    main()
