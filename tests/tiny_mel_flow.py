"""A tiny generator of mini's kind with random weights."""

from dataclasses import asdict
from pathlib import Path

import torch

from echoframe.generators.denoiser import Denoiser, DenoiserConfig, save_denoiser
from echoframe.generators.mel_codec import MelCodec, MelCodecConfig, fit_codec, save_codec
from echoframe.media.audio import log_mel
from echoframe.spec import MINI_MEL
from echoframe.weights import write_json


def tiny_denoiser(*, dim: int, channels: int, seed: int = 0) -> Denoiser:
    """Untrained, but without the zeros that make a new one silent."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        denoiser = Denoiser(DenoiserConfig(channels=channels, condition_dim=dim, width=16, depth=2, n_heads=2))
        for layer in (denoiser.modulate, denoiser.proj_out):
            torch.nn.init.normal_(layer.weight, std=0.2)
    return denoiser


def tiny_codec(*, components: int = 4) -> MelCodec:
    noise = 0.1 * torch.randn(4, 16_000, generator=torch.Generator().manual_seed(0))
    return fit_codec(log_mel(noise, MINI_MEL)[:, :96], MelCodecConfig(components=components))


def write_tiny_mel_flow(path: Path, *, dim: int, seed: int = 0) -> Path:
    codec = tiny_codec()
    save_codec(codec, path / "codec")
    save_denoiser(tiny_denoiser(dim=dim, channels=codec.channels, seed=seed), path / "denoiser", dtype=torch.float16)
    mel = asdict(MINI_MEL)
    write_json(path / "config.json", {"mel": mel, "min_duration_s": 0.32, "phase_iterations": 2})
    return path
