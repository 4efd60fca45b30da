"""A sound that is like an example: what both kinds of generators begin with."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from echoframe.errors import InputError
from echoframe.generators import LatentGenerator
from echoframe.generators.audioldm import AudioLdmGenerator
from echoframe.generators.mel_flow import MelFlowConfig, MelFlowGenerator
from echoframe.media.audio import log_mel
from echoframe.options import SCHEDULER_NAMES, SampleOptions
from tiny_audioldm import DIM, write_tiny_audioldm
from tiny_mel_flow import tiny_codec, tiny_denoiser

RATE = 16_000
pytestmark = pytest.mark.usefixtures("heads_of_eight_channels")


def tone(hertz: float, duration_s: float) -> Tensor:
    return 0.3 * torch.sin(2 * torch.pi * hertz * torch.arange(round(duration_s * RATE)) / RATE)[None]


def target(dim: int) -> Tensor:
    return normalize(torch.randn(1, dim, generator=torch.Generator().manual_seed(0)), dim=1)


def options(variation: float, scheduler: str, steps: int = 4) -> SampleOptions:
    return SampleOptions(steps=steps, guidance=2.0, scheduler=scheduler, variation=variation)


@pytest.fixture(scope="module")
def flow() -> MelFlowGenerator:
    config = MelFlowConfig(min_duration_s=0.32, max_duration_s=1.28, phase_iterations=2)
    return MelFlowGenerator(tiny_denoiser(dim=5, channels=32), tiny_codec(), config=config)


@pytest.fixture(scope="module")
def audioldm(tmp_path_factory: pytest.TempPathFactory) -> AudioLdmGenerator:
    path: Path = write_tiny_audioldm(tmp_path_factory.mktemp("audioldm"))
    return AudioLdmGenerator.from_directory(path, device="cpu", dtype=torch.float32)


def latents(generator: LatentGenerator, variation: float, scheduler: str, example: Tensor | None, **asked) -> Tensor:
    wanted = {"duration_s": 0.96, "seeds": [3], "options": options(variation, scheduler)} | asked
    return generator.sample_latents(target(generator.dim), example=example, **wanted)


def test_the_flow_begins_with_the_tokens_of_the_example(flow):
    example = tone(440, 0.96)
    same = latents(flow, 0.0, "euler", example)
    tokens = flow.codec.encode(log_mel(example, flow.config.mel))
    assert torch.allclose(same, tokens[:, : same.shape[1]], atol=1e-5)


def test_audioldm_begins_with_the_latents_of_the_example(audioldm):
    example = tone(440, 0.96)
    same = latents(audioldm, 0.0, "ddim", example)
    mel = log_mel(example, audioldm.config.mel)[:, None]
    encoded = audioldm.vae.encode(mel).latent_dist.mode() * audioldm.vae.config["scaling_factor"]  # type: ignore[union-attr]
    assert torch.allclose(same, encoded, atol=1e-5)


@pytest.mark.parametrize(("name", "scheduler"), [("flow", "euler"), ("audioldm", "ddim")])
def test_the_higher_the_variation_the_less_of_the_example_remains(name, scheduler, request):
    generator, example = request.getfixturevalue(name), tone(440, 0.96)
    own = latents(generator, 0.0, scheduler, example)
    away = [float((latents(generator, v, scheduler, example) - own).norm()) for v in (0.0, 0.25, 0.5, 0.75)]
    assert away == sorted(away)
    assert away[0] == 0
    free = latents(generator, 1.0, scheduler, example)
    assert torch.equal(free, latents(generator, 1.0, scheduler, None))


@pytest.mark.parametrize(("name", "scheduler"), [("flow", "euler"), ("audioldm", "ddim")])
def test_an_example_of_another_length_is_cut_or_comes_again(name, scheduler, request):
    generator = request.getfixturevalue(name)
    for length_s in (0.01, 0.3, 4.0):
        sound = generator.generate(
            target(generator.dim),
            duration_s=0.96,
            seeds=[1],
            options=options(0.5, scheduler),
            example=tone(440, length_s),
        )
        assert sound.shape == (1, round(0.96 * RATE))
        assert torch.isfinite(sound).all()


@pytest.mark.parametrize("scheduler", [name for name in SCHEDULER_NAMES if name[0].islower()])
def test_every_scheduler_can_begin_in_the_middle(audioldm, scheduler):
    found = latents(audioldm, 0.5, scheduler, tone(440, 0.96), options=options(0.5, scheduler, steps=6))
    assert found.shape[1:2] == (4,)
    assert torch.isfinite(found).all()


def test_without_an_example_audioldm_has_nothing_to_vary(audioldm):
    with pytest.raises(InputError, match="this generator remembers no recordings; leave it out, ask for 1, or give"):
        latents(audioldm, 0.5, "ddim", None)
    assert audioldm.dim == DIM
