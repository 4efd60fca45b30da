"""What every acceptance table needs: the model, the ears, the lists, and the rows' variants."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import echoframe
from acceptance_lists import Listed, canonical, held_out, read_pictures, read_recordings
from corpus import normalise
from ears import Ears, Heard, right_classes
from echoframe.evaluation.judges.yamnet import YamnetJudge
from echoframe.media.audio import read_audio
from echoframe.media.video import read_frames
from echoframe.pipeline import EchoFrame
from judge import Judge, fit_judge

PACKAGE = Path(echoframe.__file__).parent
MAKE_NO_SOUND = ("apps", "data", "evaluation", "jobs", "library", "rating", "training")


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A row: its name, and the variation, guidance and steps asked for; None asks for the bundle's own."""

    name: str
    variation: float | None = None
    guidance: float | None = None
    steps: int | None = None

    @property
    def asked(self) -> dict[str, Any]:
        options = {"variation": self.variation, "guidance": self.guidance, "steps": self.steps}
        return {name: value for name, value in options.items() if value is not None}


@dataclass(kw_only=True)
class Bench:
    """source: what the bundle was asked for as. limit, n_pictures: recordings and pictures at most. seeds: None asks for
    each section's own number.
    """

    model: EchoFrame
    source: str
    judge: YamnetJudge
    shared: Path
    work: Path
    limit: int = 160
    n_pictures: int = 1000
    seeds: int | None = None

    @cached_property
    def ears(self) -> Ears:
        assert self.model.audio_encoder is not None
        return Ears(self.judge, self.model.audio_encoder, self.work / "heard")

    @cached_property
    def recordings(self) -> list[Listed]:
        return read_recordings(self.shared)

    @cached_property
    def held_out(self) -> list[Listed]:
        return held_out(self.recordings, self.limit)

    @cached_property
    def pictures(self) -> list[Listed]:
        return read_pictures(self.shared, self.recordings, self.n_pictures)

    @cached_property
    def known(self) -> set[str]:
        """The labels that the model has a name for."""
        return {canonical(name) for name in self.model.labels.names} if self.model.labels else set()

    @cached_property
    def train(self) -> list[Listed]:
        return [one for one in self.recordings if one.split == "train"]

    @cached_property
    def train_embeddings(self) -> np.ndarray:
        """(N, 512), a unit vector for each of `train`."""
        return np.stack([self.ears.embedding(self.about(one), lambda one=one: self.read(one)) for one in self.train])

    @cached_property
    def aisfx(self) -> Judge:
        """The aiSFX space with a centroid for each label of the training recordings."""
        return fit_judge(torch.from_numpy(self.train_embeddings).float(), [one.label for one in self.train])

    @cached_property
    def maker(self) -> dict[str, str]:
        """The bundle, and the code that makes sounds of it: another of either, and everything is made again."""
        digest = hashlib.sha256()
        for path in sorted(PACKAGE.rglob("*.py")):
            if path.relative_to(PACKAGE).parts[0] not in MAKE_NO_SOUND:
                digest.update(path.read_bytes())
        return {"bundle": self.model.identity.sha256, "code": digest.hexdigest()}

    @property
    def takes_variation(self) -> bool:
        return getattr(self.model.generator, "memory", None) is not None

    def on_variation(self) -> str:
        return "" if self.takes_variation else "This generator remembers no recordings: one row stands for all three."

    def variants(self) -> list[Variant]:
        if not self.takes_variation:
            return [Variant(name="generated")]
        own = self.model.defaults.variation
        return [
            Variant(name="generated, variation 0", variation=0.0),
            Variant(name=f"generated, default (variation {own:g})"),
            Variant(name="generated, variation 1", variation=1.0),
        ]

    def about(self, one: Listed) -> dict[str, object]:
        """Which recording, by its name and size, and how it is read."""
        about = {"recording": f"{one.file.parent.name}/{one.file.name}", "bytes": one.file.stat().st_size}
        return {**about, "rate": self.model.generator.sample_rate}

    def read(self, one: Listed) -> tuple[Tensor, int]:
        """(1, S) at the generator's sample rate, mean-free with a peak of 0.5, at most ten seconds."""
        rate = self.model.generator.sample_rate
        waveform, _ = read_audio(one.file, sample_rate=rate)
        return torch.from_numpy(normalise(waveform[0, : 10 * rate].numpy()))[None], rate

    def hear_recording(self, one: Listed) -> Heard:
        return self.ears.hear(self.about(one), lambda: self.read(one))

    def hear_clip(self, path: Path, seed: int, variant: Variant, *, duration_s: float | None = None) -> Heard:
        """What the model makes of a film or a still."""
        about = {**self.maker, "clip": f"{path.parent.name}/{path.name}", "seed": seed}
        about |= {"bytes": path.stat().st_size, "duration_s": duration_s, **variant.asked}

        def make() -> tuple[Tensor, int]:
            sound = self.model.generate(path, seed=seed, duration_s=duration_s, **variant.asked)
            return sound.waveform, sound.sample_rate

        return self.ears.hear(about, make)

    def hear_target(self, one: Listed, embedding: np.ndarray, seed: int, variant: Variant, duration_s: float) -> Heard:
        """What the generator makes of a recording's own embedding."""
        about = {**self.maker, **self.about(one), "seed": seed, "duration_s": duration_s}

        def make() -> tuple[Tensor, int]:
            generator, options = self.model.generator, self.model.defaults
            sound = generator.generate(
                torch.from_numpy(embedding)[None].float(),
                duration_s=duration_s,
                seeds=[seed],
                options=replace(options, **variant.asked),
            )
            return torch.from_numpy(normalise(sound[0].cpu().numpy()))[None], generator.sample_rate

        return self.ears.hear({**about, **variant.asked}, make)

    @torch.no_grad()
    def target(self, path: Path, seed: int, *, until_s: float) -> np.ndarray:
        """(512,): where the mapper aims for a film's first `until_s` seconds, or a still."""
        frames = read_frames(path, self.model.clip_spec, short_side=self.model.visual_encoder.short_side)
        return self.model.predict_target(frames, until_s=until_s, seed=seed)[0].double().cpu().numpy()

    def nearest(self, embedding: np.ndarray) -> Listed:
        """The training recording nearest in aiSFX."""
        return self.train[int((self.train_embeddings @ embedding).argmax())]

    def right(self, labels: Sequence[str]) -> np.ndarray:
        return right_classes(self.judge, labels)


def stacked(heard: Sequence[Heard]) -> tuple[np.ndarray, np.ndarray]:
    """Scores (n, 521) and embeddings (n, 512)."""
    return np.stack([one.scores for one in heard]), np.stack([one.embedding for one in heard])


def head(title: str, columns: Sequence[str]) -> None:
    print(f"\n## {title}\n\n| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}", flush=True)


def line(name: str, *cells: object) -> None:
    """One row: numbers with three digits, None as nothing."""
    shown = ("" if cell is None else f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in cells)
    print(f"| {name} | {' | '.join(shown)} |", flush=True)
