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

from diffusion import Scenes
from echoframe.mapper import MapperConfig, build_mapper, save_mapper
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
        table = read_table(scenes.labels)
        shown = table.sum(1) > 0
        self.scenes, self.table, self.n_frames = scenes, table, n_frames
        self.labels = [n for n in range(len(table)) if shown[n]]
        # what the classifier says of each class's own weight vector: its confusions
        directions = nn.functional.normalize(classifier - classifier.mean(0), dim=1)
        likeness = directions @ directions.T  # (1000, 1000)
        self.logits = likeness * 12.0 + (bias - bias.mean())

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        draws = torch.rand((size, 5), generator=generator)
        frames, targets = [], []
        for draw in draws:
            label = self.labels[int(draw[0] * len(self.labels))]
            classes = torch.multinomial(self.table[label], 2, replacement=True, generator=generator)
            other = int(draw[1] * 1000)  # something else in the picture
            share = 0.6 * float(draw[2]) ** 2
            logits = (1 - share) * self.logits[classes[0]] + share * self.logits[other]
            logits = logits + 0.3 * float(draw[3]) * self.logits[classes[1]]
            logits = logits + torch.randn(1000, generator=generator) * 1.2  # this clip
            moving = torch.randn((self.n_frames, 1000), generator=generator) * 0.8  # its frames
            sharpness = 0.5 + float(draw[4])
            frames.append(torch.softmax((logits + moving) * sharpness, dim=1))
            of_label = self.scenes.by_label[self.scenes.labels[label]]
            scene = of_label[int(torch.randint(len(of_label), (1,), generator=generator))]
            targets.append(self.scenes.embedding(scene, 0, 7))
        mask = torch.ones((size, self.n_frames), dtype=torch.bool)
        return torch.stack(frames), mask, torch.stack(targets)


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config: MapperStageConfig = recipe.mapper
    torch.set_num_threads(config.threads)
    weights = load_file(work / "visual_encoder" / "model.safetensors")
    latents = torch.empty(0, 1, 128, 8)  # this stage needs the embeddings only
    scenes = Scenes(work, latents)
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
    centroids = torch.stack(
        [
            nn.functional.normalize(torch.stack([scenes.embedding(s, 0, 7) for s in of_label]).mean(0), dim=0)
            for of_label in (scenes.by_label[label] for label in scenes.labels)
        ]
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
