"""Stage 5: the mapper, from ImageNet class probabilities to the aiSFX space. No picture is needed to train it.

A clip's visual embedding is EfficientNet's probabilities per frame. Training clips are drawn: a sound label, one of
the ImageNet classes that show it (imagenet_sounds.csv), and around that class the probabilities the classifier's own
weights would give: logits of the class's weight vector plus noise, so that a rooster is taken for a hen as often as the
network would. The target is the embedding of a stretch of one of the label's recordings. What ships is a prior, which
draws one of these embeddings; the mapper it reads pictures with learns by MSE in the whitened space and by contrast
(compare_mappers.py, and docs/LOG.md, say why).
"""

import csv
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from echoframe.mappers.networks import MapperConfig, save_mapper
from echoframe.mappers.prior import FlowPrior, PriorConfig, build_prior
from echoframe.training.build import spread_of
from echoframe.training.loss import MapperLoss
from flow import N_BLOCKS, Scenes
from stage import DrawnClipsConfig, Ema, MapperStageConfig, Run, arguments, cosine_rate

HERE = Path(__file__).parent
SHORTEST = 4  # aiSFX blocks of a target: 5.8 s


def read_table(labels: list[str], names: dict[str, str] | None = None) -> Tensor:
    """(labels, 1000) weights: how much of an ImageNet class belongs to a label; zero rows for what it cannot show.

    names: another name that a label of the table goes by.
    """
    table = torch.zeros(len(labels), 1000)
    with (HERE / "imagenet_sounds.csv").open(newline="") as lines:
        for row in csv.DictReader(line for line in lines if not line.startswith("#")):
            label = (names or {}).get(row["label"], row["label"])
            if label in labels:
                table[labels.index(label), int(row["index"])] += float(row["weight"])
    return table


class DrawnClips:
    """Batches of (B, T, 1000) probabilities, (B, T) masks, (B, 512) targets and (B,) labels."""

    def __init__(self, scenes: Scenes, classifier: Tensor, bias: Tensor, config: DrawnClipsConfig) -> None:
        self.config, self.labels = config, scenes.labels
        self.table = read_table(scenes.labels)
        self.shown = (self.table.sum(1) > 0).nonzero()[:, 0]
        members = [torch.tensor(scenes.by_label[label]) for label in scenes.labels]
        self.n_members = torch.tensor([len(m) for m in members])
        self.members = nn.utils.rnn.pad_sequence(members, batch_first=True)  # (labels, most scenes)
        self.summed = functional.pad((scenes.blocks - scenes.mean).cumsum(1), (0, 0, 1, 0))  # (scenes, 8, 512)
        # what the classifier says of each class's own weight vector: its confusions
        directions = functional.normalize(classifier - classifier.mean(0), dim=1)
        self.logits = config.confidence * directions @ directions.T + (bias - bias.mean())  # (1000, 1000)

    def embeddings(self, rows: Tensor, first: Tensor | int = 0, last: Tensor | int = N_BLOCKS) -> Tensor:
        """Unit vectors of stretches of scenes, from block `first` to before block `last`."""
        return functional.normalize(self.summed[rows, last] - self.summed[rows, first], dim=1)

    def batch(self, size: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        def uniform(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator)

        def normal(*shape: int) -> Tensor:
            return torch.randn(shape, generator=generator)

        config = self.config
        low, high = config.sharpness
        label = self.shown[(uniform(size) * len(self.shown)).long()]
        classes = torch.multinomial(self.table[label], 2, replacement=True, generator=generator)  # (B, 2)
        other = (uniform(size) * 1000).long()  # something else in the picture
        share = config.other * uniform(size, 1).square()
        logits = (1 - share) * self.logits[classes[:, 0]] + share * self.logits[other]
        logits = logits + config.second * uniform(size, 1) * self.logits[classes[:, 1]]
        logits = logits + config.clip_noise * normal(size, 1000)  # this clip
        logits = logits[:, None] + config.frame_noise * normal(size, config.n_frames, 1000)  # its frames
        frames = torch.softmax(logits * (low + (high - low) * uniform(size, 1, 1)), dim=2)
        rows = self.members[label, (uniform(size) * self.n_members[label]).long()]
        length = SHORTEST + (uniform(size) * (N_BLOCKS - SHORTEST + 1)).long()
        first = (uniform(size) * (N_BLOCKS - length + 1)).long()
        mask = torch.ones((size, config.n_frames), dtype=torch.bool)
        return frames, mask, self.embeddings(rows, first, first + length), label


def load_clips(work: Path, scenes: Scenes, config: DrawnClipsConfig = DrawnClipsConfig()) -> DrawnClips:
    weights = load_file(work / "visual_encoder" / "model.safetensors")
    classifier, bias = (weights[f"classifier.{name}"].float() for name in ("weight", "bias"))
    return DrawnClips(scenes, classifier, bias, config)


def build(config: MapperStageConfig, scenes: Scenes, clips: DrawnClips) -> MapperLoss:
    """A new prior, its spaces learned from the train scenes, and what it learns by."""
    reader = MapperConfig(
        kind=config.kind,  # type: ignore[arg-type]
        visual_dim=1000,
        audio_dim=512,
        hidden_dim=config.hidden_dim,
        depth=config.depth,
        n_frames=64,
        input="log_probability",
        visual_space="efficientnet_lite0/probabilities",
        audio_space="aisfx/centred",
        audio_scaling="whiten",
    )
    shape = PriorConfig(
        regressor=reader,
        components=config.components,
        hidden_dim=config.prior_dim,
        depth=config.prior_depth,
        guidance=config.guidance,
        guided_levels=config.guided_levels,
    )
    prior = build_prior(shape, seed=config.seed)
    targets = clips.embeddings(torch.tensor(sorted(n for rows in scenes.by_label.values() for n in rows)))
    prior.fit_space(targets)
    prior.regressor.audio_scaling.fit(targets)
    return MapperLoss(prior, config.loss, spread=spread_of(prior, targets))


def train(
    name: str, work: Path, config: MapperStageConfig, scenes: Scenes, clips: DrawnClips
) -> tuple[FlowPrior, torch.Generator]:
    """The averaged weights of a run kept in WORK/name, in eval mode, and its generator."""
    learner = build(config, scenes, clips)
    prior = learner.mapper
    assert isinstance(prior, FlowPrior)
    torch.manual_seed(config.seed)  # dropout
    optimizer = torch.optim.AdamW(
        learner.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay, fused=True
    )
    ema = Ema(prior, config.ema)
    run = Run(
        name,
        work,
        config,
        {"mapper": learner, "optimizer": optimizer, "ema": ema},
        steps=config.steps,
        seed=config.seed,
    )

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, config.steps)
        frames, mask, target, _ = clips.batch(config.batch_size, run.generator)
        losses = learner(frames, mask, target, generator=run.generator)
        optimizer.zero_grad(set_to_none=True)
        losses["loss"].backward()
        nn.utils.clip_grad_norm_(learner.parameters(), config.max_gradient)
        optimizer.step()
        ema.update(prior, step)
        return {key: value.item() for key, value in losses.items()}

    run.loop(one_step, log_every=100)
    prior.load_state_dict(ema.weights)
    return prior.eval(), run.generator


@torch.no_grad()
def right_labels(
    mapper: nn.Module, scenes: Scenes, clips: DrawnClips, generator: torch.Generator
) -> tuple[float, float]:
    """Shares of the table's classes that lead to one of their labels: its centroid the nearest, one of the nearest 5."""
    centroids = torch.stack([clips.embeddings(torch.tensor(scenes.by_label[x])).mean(0) for x in clips.labels])
    classes = (clips.table.sum(0) > 0).nonzero()[:, 0]
    logits = clips.logits[classes] + torch.randn((len(classes), 1000), generator=generator)
    frames = torch.softmax(logits, dim=1)[:, None].expand(-1, 4, -1)
    mask = torch.ones(frames.shape[:2], dtype=torch.bool)
    embedding = mapper(frames, mask, seeds=range(len(classes)))
    nearest = (embedding @ functional.normalize(centroids, dim=1).T).topk(5, dim=1).indices
    hits = clips.table[nearest, classes[:, None]] > 0  # (classes, 5)
    return hits[:, 0].float().mean().item(), hits.any(dim=1).float().mean().item()


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config: MapperStageConfig = recipe.mapper
    torch.set_num_threads(config.threads)
    scenes = Scenes(work)
    clips = load_clips(work, scenes, config.clips)
    mapper, generator = train("mapper", work, config, scenes, clips)
    top1, top5 = right_labels(mapper, scenes, clips, generator)
    print(f"mapper: ImageNet classes that lead to a sound of theirs: top-1 {top1:.3f}, top-5 {top5:.3f}", flush=True)
    if top5 < config.min_top5:
        raise SystemExit("mapper: too few classes lead to a sound of theirs; train longer")
    save_mapper(mapper, work / "mapper" / "final")


if __name__ == "__main__":
    main()
