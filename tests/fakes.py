"""Stand-ins for the networks: small, exact, and different for every input, so that each step can be followed."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn.functional import normalize

from echoframe.bundles.labels import LabelBank
from echoframe.generators import Generator
from echoframe.mappers.networks import MapperConfig, build_mapper
from echoframe.media.audio import n_samples
from echoframe.options import SampleOptions
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback
from echoframe.provenance import BundleId
from echoframe.spec import ClipSpec
from echoframe.timing.cues import Cues

DIM = 4
RATE = 1000  # Hz


class FakeVisual:
    """The mean colour of each frame; remembers what it was shown."""

    dim, name, short_side = 3, "fake", 16

    def __init__(self) -> None:
        self.shown: list[np.ndarray] = []

    def __call__(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "frames dim"]:
        self.shown.append(frames)
        return torch.from_numpy(frames.mean(axis=(1, 2)) / 255).float()


class FakeGenerator:
    """A tone per target and seed: its level is the target's first number, its pitch follows from the seed."""

    dim, sample_rate, max_duration_s = DIM, RATE, 4.0

    def __init__(self) -> None:
        self.calls: list[dict[str, Any]] = []
        self.texts: dict[str, Tensor] = {}  # that it knows the place of

    @property
    def has_text(self) -> bool:
        return bool(self.texts)

    def embed_text(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        return torch.stack([self.texts[text] for text in texts])

    def windows_s(self, duration_s: float) -> list[tuple[float, float]]:
        """Of 4 s at most, neighbours share a second."""
        n = max(math.ceil((duration_s - 1) / 3 - 1e-9), 1)
        length = (duration_s - 1) / n + 1
        return [(k * (length - 1), k * (length - 1) + length) for k in range(n)]

    def example_length(self, duration_s: float) -> int:
        return n_samples(duration_s, RATE)

    def fit(self, target: Float[Tensor, " dim"], embeddings: Float[Tensor, "sounds dim"]) -> Float[Tensor, " sounds"]:
        return embeddings @ target

    def labelled(
        self, embeddings: Float[Tensor, "sounds dim"]
    ) -> tuple[tuple[str, ...], Float[Tensor, "sounds labels"]]:
        return (), torch.zeros(len(embeddings), 0)

    def remembered(self, target, *, seed, options):
        return ()

    def generate(
        self,
        target: Float[Tensor, "batch *windows dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions | None = None,
        negative: Float[Tensor, "batch dim"] | None = None,
        example: Float[Tensor, "1 length"] | None = None,
        cues: Sequence[Cues | None] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Float[Tensor, "batch samples"]:
        call = {"target": target, "duration_s": duration_s, "seeds": list(seeds), "options": options}
        call |= {"cues": cues, "negative": negative, "example": example}
        self.calls.append(call)
        steps = (options or SampleOptions()).steps
        for step in range(steps):
            if progress is not None:
                progress(step + 1, steps, "")
        times_s = torch.arange(n_samples(duration_s, RATE)) / RATE
        tones = [torch.sin(2 * torch.pi * (20 + seed % 89) * times_s) for seed in seeds]
        return torch.stack(tones) * target.reshape(len(seeds), -1)[:, :1].abs()


class FakeEars:
    """A unit vector that says which of the fake generator's pitches is heard."""

    dim, name, sample_rate = DIM, "fake", RATE

    def __call__(self, waveform: Float[Tensor, "batch samples"], sample_rate: int) -> Float[Tensor, "batch dim"]:
        pitch = torch.fft.rfft(waveform).abs().argmax(dim=1) * sample_rate / waveform.shape[1]
        angle = pitch / 110 * torch.pi
        return normalize(torch.stack([angle.cos(), angle.sin(), angle.cos(), angle.sin()], dim=1), dim=1)


def fake_model(*, with_ears: bool = True, generator: Generator | None = None, sha256: str = "f" * 64) -> EchoFrame:
    """The cascade of the fakes and a real, tiny mapper."""
    labels = LabelBank(names=("hum", "whistle"), kinds=("tools", "people"), vectors=torch.eye(2, DIM))
    return EchoFrame(
        FakeVisual(),
        build_mapper(MapperConfig(kind="mlp", visual_dim=3, audio_dim=DIM, hidden_dim=8, depth=1)).eval(),
        generator or FakeGenerator(),
        audio_encoder=FakeEars() if with_ears else None,
        labels=labels if with_ears else None,
        clip_spec=ClipSpec(duration_s=4.0, n_frames=8, frame_rate=2.0),
        defaults=SampleOptions(steps=3, guidance=2.0, scheduler="ddim"),
        identity=BundleId(source="fake", name="fake", version="1", sha256=sha256),
    )


def shown_to(model: EchoFrame) -> list[np.ndarray]:
    """The frames that the fake visual encoder of `model` was shown, call by call."""
    assert isinstance(model.visual_encoder, FakeVisual)
    return model.visual_encoder.shown


def calls_of(model: EchoFrame) -> list[dict[str, Any]]:
    """What the fake generator of `model` was asked for, call by call."""
    assert isinstance(model.generator, FakeGenerator)
    return model.generator.calls
