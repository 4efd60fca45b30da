"""What the bundle's parts reach, in the aiSFX space, as Markdown tables. Needs WORK/corpus and a bundle.

*Conventions*: every sound is brought to 16 kHz first, real ones too. A label's centroid is the mean embedding of its
train scenes. A sound is right at 1 (at 5) if its label's centroid is the nearest (among the five nearest) by cosine.
*Rows*: real held-out scenes (the ceiling); the same through VAE and vocoder; sounds generated from the held-out
scene's own embedding; the same with conditions shuffled (the floor). With --clips: films in a folder whose README.md
names their VGGSound labels; a clip is right if one of its five nearest labels is of the clip's kind.
"""

import argparse
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from echoframe import load
from echoframe.audio import log_mel
from echoframe.labels import vggsound_labels
from echoframe.spec import MINI_MEL

HERE = Path(__file__).parent
# where VGGSound's category is wider than the kinds of recipes/mini/labels.csv
KIND_OF_CLIP = {"ripping paper": "tools", "waterfall burbling": "water"}


def held_out_scenes(work: Path, limit: int) -> tuple[Tensor, list[str]]:
    """One scene of each test recording, every label in turn until `limit`: (N, 163840) and their labels."""
    index = json.loads((work / "corpus" / "scenes.json").read_text())
    rows = [n for n, row in enumerate(index) if row["split"] == "test"]
    seen: dict[str, int] = {}
    for n in rows:
        index[n]["turn"] = seen[index[n]["label"]] = seen.get(index[n]["label"], 0) + 1
    chosen = sorted(rows, key=lambda n: (index[n]["turn"], n))[:limit]
    scenes = np.load(work / "corpus" / "scenes.npy", mmap_mode="r")
    return torch.from_numpy(scenes[chosen].astype(np.float32) / 32767), [index[n]["label"] for n in chosen]


def accuracy(embeddings: Tensor, labels: list[str], names: list[str], centroids: Tensor) -> tuple[float, float]:
    """Top-1 and top-5 shares."""
    nearest = (embeddings @ centroids.T).topk(5, dim=1).indices.tolist()
    right = np.array([[names[i] == label for i in row] for row, label in zip(nearest, labels, strict=True)])
    return float(right[:, 0].mean()), float(right.any(axis=1).mean())


def measure_held_out(bundle, work: Path, limit: int) -> None:
    scenes, labels = held_out_scenes(work, limit)
    encoder, generator, bank = bundle.audio_encoder, bundle.generator, bundle.labels

    def embed(waveforms: Tensor) -> Tensor:
        return torch.cat([encoder(part, MINI_MEL.sample_rate) for part in waveforms.split(8)])

    with torch.no_grad():
        real = embed(scenes)
        latents = [generator.vae.encode(log_mel(s, MINI_MEL)[:, None]).latent_dist.mean for s in scenes.split(8)]
        latent = torch.cat(latents) * generator.vae.config["scaling_factor"]
        coded = generator.decode(latent)
        refined, generator.config = generator.config, replace(generator.config, refine_iterations=0)
        unrefined = generator.decode(latent)
        generator.config = refined
        order = torch.randperm(len(real), generator=torch.Generator().manual_seed(0))
        made = [
            torch.cat(
                [
                    generator.generate(c, duration_s=10.24, seeds=[8 * n + i for i in range(len(c))])
                    for n, c in enumerate(condition.split(8))
                ]
            )
            for condition in (real, real[order])
        ]
    print(
        f"\n| {len(labels)} held-out recordings, {len(set(labels))} labels | top-1 | top-5 | cosine to the real one |"
    )
    print("|---|---|---|---|")
    rows = {
        "real (ceiling)": real,
        "through VAE and vocoder alone": embed(unrefined),
        "through VAE, vocoder and refinement": embed(coded),
        "generated from the embedding": embed(made[0]),
        "generated, conditions shuffled (floor)": embed(made[1]),
    }
    for name, embeddings in rows.items():
        top1, top5 = accuracy(embeddings, labels, bank.names, bank.vectors)
        cosine = functional.cosine_similarity(embeddings, real).mean().item()
        print(f"| {name} | {top1:.3f} | {top5:.3f} | {cosine:.3f} |")


def read_clip_labels(folder: Path) -> dict[str, str]:
    return dict(re.findall(r"^\| (\S+\.mp4) \| (.+?) \|$", (folder / "README.md").read_text(), re.MULTILINE))


def kind_of(label: str) -> str:
    """A VGGSound label's kind in the words of labels.csv."""
    kind = dict(vggsound_labels())[label]
    return KIND_OF_CLIP.get(label, {"animals": "animal"}.get(kind, kind))


def measure_clips(model, folder: Path, *, seed: int, candidates: int) -> None:
    print("\n| clip | label | kind | five nearest labels of the generated sound (kind) | right |")
    print("|---|---|---|---|---|")
    right = 0
    clips = read_clip_labels(folder)
    kinds = dict(zip(model.labels.names, model.labels.kinds, strict=True))
    for name, label in clips.items():
        sound = model.generate(folder / name, seed=seed, candidates=candidates)
        nearest = [(text, kinds[text]) for text, _ in sound.nearest[:5]]
        hit = kind_of(label) in {kind for _, kind in nearest}
        right += hit
        listed = ", ".join(f"{text} ({kind})" for text, kind in nearest)
        print(f"| {name} | {label} | {kind_of(label)} | {listed} | {'yes' if hit else 'no'} |", flush=True)
    print(f"\n{right} of {len(clips)} clips right (seed {seed}, best of {candidates})")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="mini")
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--clips", type=Path, help="a folder of films with a README.md table of their labels")
    parser.add_argument("--limit", type=int, default=96)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--candidates", type=int, default=1, help="sounds to make of each clip; the best is kept")
    args = parser.parse_args()
    model = load(args.bundle)
    if args.clips:
        measure_clips(model, args.clips, seed=args.seed, candidates=args.candidates)
    if (args.work / "corpus" / "scenes.npy").exists():
        measure_held_out(model, args.work, args.limit)


if __name__ == "__main__":
    main()
