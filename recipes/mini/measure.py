"""What the bundle reaches, as Markdown tables, ceiling and floor beside every figure. How is said in judge.py.

    python measure.py                        # held-out recordings: codec, generator; needs WORK/corpus
    python measure.py --clips FOLDER         # films, with their VGGSound labels in the folder's README.md
    python measure.py --photos FOLDER        # photographs, with the sound labels to hear in photos.csv (file,label)

*Rows*: held-out recordings; the same through codec and Griffin-Lim; sounds generated from the recording's own embedding;
the same with other recordings' embeddings. Every generated row has --seeds sounds of each. A film is right if one of
the five nearest labels of its sound is of the film's kind.
"""

import argparse
import csv
import json
import re
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from codec import DECIBELS
from echoframe import load
from echoframe.audio import log_mel
from echoframe.labels import vggsound_labels
from echoframe.schedulers import SampleOptions
from echoframe.spec import MINI_MEL
from flow import Scenes
from judge import Judge, fit_judge, frechet_distance

HERE = Path(__file__).parent
MIN_RECORDINGS = 5  # of a label, for its figures to count
# where VGGSound's category is wider than the kinds of recipes/mini/labels.csv
KIND_OF_CLIP = {"ripping paper": "tools", "waterfall burbling": "water"}


class HeldOut:
    """The held-out scenes of labels with enough recordings, every label in turn, and the judge fitted to the train scenes."""

    def __init__(self, work: Path, limit: int, split: str = "test") -> None:
        index = json.loads((work / "corpus" / "scenes.json").read_text())
        recordings: dict[str, set[str]] = {}
        for row in index:
            recordings.setdefault(row["label"], set()).add(row["recording"])
        rows = [n for n, r in enumerate(index) if r["split"] == split and len(recordings[r["label"]]) >= MIN_RECORDINGS]
        competing = {index[n]["label"] for n in rows}
        seen: dict[str, int] = {}
        turns = {}
        for n in rows:
            turns[n] = seen[index[n]["label"]] = seen.get(index[n]["label"], 0) + 1
        self.rows = sorted(rows, key=lambda n: (turns[n], n))[:limit]
        self.labels = [index[n]["label"] for n in self.rows]
        scenes = np.load(work / "corpus" / "scenes.npy", mmap_mode="r")
        self.waveforms = torch.from_numpy(scenes[self.rows].astype(np.float32) / 32767)
        corpus = Scenes(work)
        self.train = [n for n, row in enumerate(index) if row["split"] == "train"]
        self.train_labels = [index[n]["label"] for n in self.train]
        self.mean = corpus.mean
        centred = functional.normalize(corpus.blocks.mean(dim=1) - corpus.mean, dim=1)
        self.embeddings, self.train_embeddings = centred[self.rows], centred[self.train]
        self.judge = fit_judge(self.train_embeddings, self.train_labels, competing)


def log_mels(waveforms: Tensor) -> Tensor:
    return torch.cat([log_mel(part, MINI_MEL) for part in waveforms.split(8)])


def embed(bundle, waveforms: Tensor) -> Tensor:
    return torch.cat([bundle.audio_encoder(part, MINI_MEL.sample_rate).cpu() for part in waveforms.split(8)])


def table(title: str, columns: tuple[str, ...]) -> None:
    print(f"\n| {title} | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")


def line(name: str, *cells: object) -> None:
    print(f"| {name} | {' | '.join(f'{c:.3f}' if isinstance(c, float) else str(c) for c in cells)} |", flush=True)


def share(hits: np.ndarray, ceiling: np.ndarray) -> str:
    return f"{hits.mean():.3f} ({hits.mean() / ceiling.mean():.0%})"


@torch.no_grad()
def measure_held_out(bundle, held_out: HeldOut, seeds: int, options: SampleOptions) -> None:
    generator, judge = bundle.generator, held_out.judge
    real, labels = held_out.embeddings, held_out.labels
    ceiling = judge.hits(real, labels)
    mels = log_mels(held_out.waveforms)
    tokens = generator.codec.encode(mels.to(generator.device))
    coded, sound = generator.codec.decode(tokens).cpu(), generator.decode(tokens)
    again = log_mels(sound)
    columns = ("n", "top-1 (of real)", "top-5 (of real)", "cosine to the real one")
    table(f"{len(set(labels))} labels of {len(judge.names)} competing", columns)
    line("real held-out recordings (ceiling)", len(labels), ceiling[0].mean(), ceiling[1].mean(), 1.0)
    rebuilt = embed(bundle, sound)
    row(judge, "through the codec and Griffin-Lim", rebuilt, real, labels, ceiling)
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
    made = [embed_generated(bundle, real, seed, options) for seed in range(seeds)]
    shuffled = embed_generated(bundle, real[order], 0, options)
    row(judge, f"generated from its embedding, {seeds} seeds", torch.cat(made), real, labels, ceiling)
    row(judge, "generated, conditions shuffled (floor)", shuffled, real, labels, ceiling)
    print(f"\nMel error of the codec {(coded - mels).abs().mean() * DECIBELS:.2f} dB, with Griffin-Lim ", end="")
    print(f"{(again - mels).abs().mean() * DECIBELS:.2f} dB (mean absolute).")
    picked = torch.randperm(len(held_out.train), generator=torch.Generator().manual_seed(1))
    # drawn as the held-out ones are: the same labels, as often
    chosen = [next(int(n) for n in picked if held_out.train_labels[n] == label) for label in labels]
    points = judge.place(real)
    table(f"Frechet distance to the held-out ones ({points.shape[1]} dimensions)", ("n", "distance"))
    for name, embeddings in (
        ("as many train recordings of the same labels", held_out.train_embeddings[chosen]),
        ("codec and Griffin-Lim", rebuilt),
        ("generated, one seed", made[0]),
        ("generated, conditions shuffled", shuffled),
    ):
        line(name, len(embeddings), frechet_distance(judge.place(embeddings), points))


def row(judge: Judge, name: str, embeddings: Tensor, real: Tensor, labels: list[str], ceiling) -> None:
    times = len(embeddings) // len(labels)
    top1, top5 = judge.hits(embeddings, labels * times)
    cosine = functional.cosine_similarity(embeddings, real.repeat(times, 1)).mean().item()
    line(name, len(embeddings), share(top1, ceiling[0]), share(top5, ceiling[1]), cosine)


def embed_generated(bundle, conditions: Tensor, seed: int, options: SampleOptions) -> Tensor:
    """Embeddings of one sound for each condition, (N, D)."""
    embeddings = []
    for n, part in enumerate(conditions.split(8)):
        seeds = [1_000_000 * seed + 8 * n + i for i in range(len(part))]
        sounds = bundle.generator.generate(part, duration_s=10.24, seeds=seeds, options=options)
        embeddings.append(embed(bundle, sounds))
    return torch.cat(embeddings)


def measure_photos(model, held_out: HeldOut, folder: Path, seeds: int, candidates: int) -> None:
    """Photographs whose label competes: generated, the nearest train recording to the mapper's point, and chance."""
    judge, names = held_out.judge, held_out.judge.names
    with (folder / "photos.csv").open(newline="") as lines:
        rows = [row for row in csv.DictReader(lines) if row["label"] in names]
    labels = [row["label"] for row in rows]
    made: list[list[Tensor]] = []
    found = []
    for photo in rows:
        sounds = [model.generate(folder / photo["file"], seed=s, candidates=candidates) for s in range(seeds)]
        made.append([model.audio_encoder(sound.waveform, sound.sample_rate)[0] for sound in sounds])
        target = look(model, folder / photo["file"])
        found.append(held_out.train_embeddings[int((held_out.train_embeddings @ target).argmax())])
    generated = torch.stack([vector for vectors in zip(*made, strict=True) for vector in vectors])
    table(f"{len(rows)} photographs of {len(set(labels))} labels", ("n", "top-1", "top-5", "mean over labels, top-1"))
    for name, embeddings in (("generated", generated), ("nearest train recording to the target", torch.stack(found))):
        times = len(embeddings) // len(labels)
        top1, top5 = judge.hits(embeddings, labels * times)
        per_label = [top1[np.array(labels * times) == label].mean() for label in set(labels)]
        line(name, len(embeddings), top1.mean(), top5.mean(), float(np.mean(per_label)))
    line("chance", "", 1 / len(names), 5 / len(names), 1 / len(names))
    apart = [1 - float(a @ b) for a, b in zip(*list(zip(*made, strict=True))[:2], strict=True)]
    train = held_out.train_embeddings
    others = []
    for label in sorted(set(labels)):
        own = train[[n for n, x in enumerate(held_out.train_labels) if x == label]]
        pairs = (own @ own.T)[~torch.eye(len(own), dtype=torch.bool)]
        others.append(1 - float(pairs.mean()))
    print(f"\nDiversity (1 - cosine): two seeds of one photograph {np.mean(apart):.3f}, ", end="")
    print(f"two scenes of one label {np.mean(others):.3f}.")


@torch.no_grad()
def look(model, photo: Path) -> Tensor:
    """The mapper's point for a still, (D,)."""
    _, target = model.aim(photo, start_s=0.0, duration_s=4.0)
    return target[0].cpu()


def read_clip_labels(folder: Path) -> dict[str, str]:
    return dict(re.findall(r"^\| (\S+\.mp4) \| (.+?) \|$", (folder / "README.md").read_text(), re.MULTILINE))


def kind_of(label: str) -> str:
    """A VGGSound label's kind in the words of labels.csv."""
    kind = dict(vggsound_labels())[label]
    return KIND_OF_CLIP.get(label, {"animals": "animal"}.get(kind, kind))


def measure_clips(model, folder: Path, *, seed: int, candidates: int) -> None:
    table("clip", ("label", "kind", "five nearest labels of the generated sound (kind)", "right"))
    right = 0
    clips = read_clip_labels(folder)
    kinds = dict(zip(model.labels.names, model.labels.kinds, strict=True))
    for name, label in clips.items():
        sound = model.generate(folder / name, seed=seed, candidates=candidates)
        nearest = [(text, kinds[text]) for text, _ in sound.nearest[:5]]
        hit = kind_of(label) in {kind for _, kind in nearest}
        right += hit
        listed = ", ".join(f"{text} ({kind})" for text, kind in nearest)
        line(name, label, kind_of(label), listed, "yes" if hit else "no")
    print(f"\n{right} of {len(clips)} clips right (seed {seed}, best of {candidates})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="mini")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--clips", type=Path, help="a folder of films with a README.md table of their labels")
    parser.add_argument("--photos", type=Path, help="a folder of photographs with a photos.csv")
    parser.add_argument("--limit", type=int, default=1000, help="held-out recordings at most")
    parser.add_argument(
        "--split", choices=("test", "val"), default="test", help="val is for choosing, test for reporting"
    )
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=0, help="of the clips")
    parser.add_argument("--steps", type=int, help="the bundle's own if not given")
    parser.add_argument("--guidance", type=float, help="the bundle's own if not given")
    parser.add_argument("--candidates", type=int, default=1, help="sounds to make of each clip; the best is kept")
    args = parser.parse_args()
    model = load(args.bundle)
    if args.clips:
        measure_clips(model, args.clips, seed=args.seed, candidates=args.candidates)
        return
    held_out = HeldOut(args.work, args.limit, args.split)
    if args.photos:
        measure_photos(model, held_out, args.photos, args.seeds, args.candidates)
        return
    own = model.defaults
    options = SampleOptions(
        steps=args.steps or own.steps,
        guidance=own.guidance if args.guidance is None else args.guidance,
        scheduler=own.scheduler,
    )
    measure_held_out(model, held_out, args.seeds, options)


if __name__ == "__main__":
    main()
