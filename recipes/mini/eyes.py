"""The mapper that knows photographs and ImageNet's classes, and answers with a recording's embedding.

    python eyes.py --pictures PICTURES.csv --manifest SOUNDS.csv... --blocks SOUNDS.npz... [--work WORK]

Reads WORK/pictures (pictures.py) and WORK/visual_encoder. blocks: raw aiSFX vectors of a manifest's recordings, in its
order: blocks (B, 512), starts (N + 1,), mean (512,). A linear layer learns the pictures' labels, a label drawn by the root of
how many it has; imagenet_sounds.csv speaks for the rest (`echoframe.mappers.label_prior`). Beside a label lie its train
recordings, those nearest to what is typical of it: YAMNet, which chose none of them, hears the label in 0.81 of the nearest
third, in 0.66 of the farthest.
Writes WORK/eyes/final.
"""

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from echoframe.mappers.label_prior import LabelPrior, LabelPriorConfig, save_label_prior
from echoframe.mappers.networks import PROBABILITY_FLOOR
from stage import EyesConfig, Run, cosine_rate, read_config
from tables import label_names, read_rows

HERE = Path(__file__).parent
VISUAL_SPACE, AUDIO_SPACE = "efficientnet_lite0/features+probabilities", "aisfx/centred"
# what pictures show whose own sound the corpus lacks
HEARD_AS = {
    "bird squawking": "bird chirping, tweeting",
    "driving motorcycle": "race car, auto racing",
    "shot football": "people cheering",
    "swimming": "splashing water",
}


def read_table(labels: list[str]) -> Tensor:
    """(labels, 1000): how much of an ImageNet class belongs to a label; zero rows for what no class shows."""
    table, names = torch.zeros(len(labels), 1000), label_names()
    for row in read_rows(HERE / "imagenet_sounds.csv"):
        label = names.get(row["label"], row["label"])
        if label in labels:
            table[labels.index(label), int(row["index"])] += float(row["weight"])
    return table


@dataclass(frozen=True, kw_only=True)
class Recordings:
    """Train recordings by label: unit embeddings (N, 512), of each whole recording."""

    by_label: dict[str, Tensor]

    @classmethod
    def read(cls, manifests: Iterable[Path], blocks: Iterable[Path]) -> "Recordings":
        names, found = label_names(), {}
        for manifest, path in zip(manifests, blocks, strict=True):
            values, rows = np.load(path), read_rows(manifest)
            starts, mean = values["starts"], torch.from_numpy(values["mean"]).float()
            if len(starts) != len(rows) + 1:
                raise SystemExit(
                    f"eyes: {path}: {len(starts) - 1} recordings, {manifest} has {len(rows)}; make it again"
                )
            vectors = torch.from_numpy(values["blocks"]).float()
            for n, row in enumerate(rows):
                if row["split"] == "train":
                    label = names.get(row["label"], row["label"])
                    found.setdefault(label, []).append(vectors[starts[n] : starts[n + 1]].mean(0) - mean)
        return cls(by_label={x: functional.normalize(torch.stack(found[x]), dim=1) for x in sorted(found)})


def typical(embeddings: Tensor, most: int, share: float) -> Tensor:
    """That share of a label's embeddings, nearest to their mean first; at least four, if there are, and at most `most`."""
    order = (embeddings @ embeddings.mean(dim=0)).argsort(descending=True)
    return embeddings[order[: min(most, max(4, round(share * len(embeddings))))]]


class Pictures:
    """Frames (N, 2280), labels (N,) and rounds (N,) of a split, of pictures whose label is among `labels`."""

    def __init__(self, manifest: Path, work: Path, labels: list[str], split: str) -> None:
        names, rows = label_names(), read_rows(manifest)
        known = [names.get(row["label"], row["label"]) for row in rows]
        known = [HEARD_AS.get(label, label) if label not in labels else label for label in known]
        index = {label: n for n, label in enumerate(labels)}
        parts = [(int(path.stem), np.load(path)) for path in sorted((work / "pictures").glob("[0-9]*.npz"))]
        row = np.concatenate([values["row"] for _, values in parts])
        kept = np.array([rows[n]["split"] == split and known[n] in index for n in row])
        if not kept.any():
            raise SystemExit(f"eyes: {work / 'pictures'}: no {split} picture of a known label; run pictures.py")
        features = torch.from_numpy(np.concatenate([values["features"] for _, values in parts])[kept]).float()
        weights = load_file(work / "visual_encoder" / "model.safetensors")
        classifier = [weights[f"classifier.{name}"].float() for name in ("weight", "bias")]
        self.frames = torch.cat([features, functional.linear(features, *classifier).softmax(dim=1)], dim=1)
        self.labels = torch.tensor([index[known[n]] for n in row[kept]])
        self.rounds = torch.from_numpy(np.concatenate([np.full(len(v["row"]), n) for n, v in parts])[kept])


def build(config: EyesConfig, recordings: Recordings, pictures: Pictures) -> LabelPrior:
    labels = list(recordings.by_label)
    prior = LabelPrior(
        LabelPriorConfig(
            visual_dim=pictures.frames.shape[1],
            audio_dim=512,
            labels=tuple(labels),
            learned_share=config.learned_share,
            frame_sharpness=config.frame_sharpness,
            sharpness=config.sharpness,
            per_label=config.per_label,
            visual_space=VISUAL_SPACE,
            audio_space=AUDIO_SPACE,
        )
    )
    prior.table.copy_(read_table(labels))
    numbers = pictures.frames.clone()
    numbers[:, 1280:] = (numbers[:, 1280:] / PROBABILITY_FLOOR).log1p()
    prior.mean.copy_(numbers.mean(dim=0))
    prior.deviation.copy_(numbers.std(dim=0) + 0.1)  # some features hardly ever change
    for n, label in enumerate(labels):
        chosen = typical(recordings.by_label[label], config.per_label, config.typical_share)
        prior.vectors[n, : len(chosen)], prior.counts[n] = chosen, float(len(chosen))
    return prior


def train(prior: LabelPrior, pictures: Pictures, config: EyesConfig, work: Path) -> None:
    """Cross entropy over labels that have pictures, a label drawn by the root of how many it has."""
    torch.manual_seed(config.seed)  # dropout
    optimizer = torch.optim.AdamW(prior.learned.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    parts = {"learned": prior.learned, "optimizer": optimizer}
    run = Run("eyes", work, config, parts, steps=config.steps, seed=config.seed)
    counts = torch.bincount(pictures.labels, minlength=len(prior.config.labels))
    seen = counts > 0
    chance = counts[pictures.labels].float().rsqrt()
    column = torch.cumsum(seen.long(), 0) - 1  # a label's place among those with pictures
    prior.train()

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, config.steps)
        rows = torch.multinomial(chance, config.batch_size, replacement=True, generator=run.generator)
        scores = prior.scores(pictures.frames[rows])[:, seen]
        loss = functional.cross_entropy(scores, column[pictures.labels[rows]], label_smoothing=config.smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return {"loss": loss.item()}

    run.loop(one_step, log_every=100)
    with torch.no_grad():
        prior.learned.bias[~seen] = -30.0  # it says nothing of labels without pictures
    prior.eval()


@torch.no_grad()
def measure(prior: LabelPrior, pictures: Pictures) -> dict[str, float]:
    """Shares of pictures whose label is the likeliest: as they are, and varied; of the table alone, and all together."""
    mask = torch.ones(len(pictures.labels), 1, dtype=torch.bool)
    together = prior.probabilities(pictures.frames[:, None], mask).argmax(dim=1) == pictures.labels
    table = prior.look_up(pictures.frames).argmax(dim=1) == pictures.labels
    plain = pictures.rounds == 0
    found = {"right": together[plain], "right_by_table": table[plain]}
    if not bool(plain.all()):
        found |= {"right_varied": together[~plain], "right_varied_by_table": table[~plain]}
    return {name: round(hits.float().mean().item(), 3) for name, hits in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, help="a TOML file of differences from the defaults in stage.py")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--pictures", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, nargs="+", required=True)
    parser.add_argument("--blocks", type=Path, nargs="+", required=True)
    args = parser.parse_args()
    config = read_config(args.config).eyes
    torch.set_num_threads(1)
    recordings = Recordings.read(args.manifest, args.blocks)
    labels = list(recordings.by_label)
    pictures = Pictures(args.pictures, args.work, labels, "train")
    prior = build(config, recordings, pictures)
    train(prior, pictures, config, args.work)
    print(
        f"eyes: {len(labels)} labels, val {measure(prior, Pictures(args.pictures, args.work, labels, 'val'))}",
        flush=True,
    )
    save_label_prior(prior, args.work / "eyes" / "final", dtype=torch.float16)


if __name__ == "__main__":
    main()
