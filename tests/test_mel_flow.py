"""mini's kind of generator: the solver against flows whose end is known, lengths, seeds, guidance, and what is refused."""

import math

import pytest
import torch

from echoframe.errors import BundleError, ConfigError, DeviceError, InputError
from echoframe.generators import load_generator
from echoframe.generators.mel_flow import MelFlowConfig, MelFlowGenerator, flow_levels, solve
from echoframe.options import SampleOptions
from tiny_mel_flow import tiny_codec, tiny_denoiser, write_tiny_mel_flow

CONFIG = MelFlowConfig(min_duration_s=0.32, max_duration_s=1.28, phase_iterations=2)
OPTIONS = SampleOptions(steps=3, guidance=2.0, scheduler="dpm++2m")


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make(**changes) -> MelFlowGenerator:
    return MelFlowGenerator(tiny_denoiser(dim=5, channels=32), tiny_codec(), **{"config": CONFIG, **changes})


# a Gaussian of deviation s flows to unit noise: what is known of the direction at every level, and where it ends
def gaussian_direction(deviation: float):
    def direction(x: torch.Tensor, level: float) -> torch.Tensor:
        variance = ((1 - level) * deviation) ** 2 + level**2
        clean = (1 - level) * deviation**2 / variance * x
        noise = level / variance * x
        return noise - clean

    return direction


@pytest.mark.parametrize("deviation", [0.3, 2.0])
def test_the_solver_ends_where_the_flow_does_and_the_second_order_is_nearer(deviation):
    noise = random(1000)
    errors = {}
    for second_order in (False, True):
        for steps in (10, 40, 400):
            end = solve(gaussian_direction(deviation), noise, flow_levels(steps, 1.0), second_order=second_order)
            errors[second_order, steps] = ((end - deviation * noise).norm() / noise.norm()).item()
    assert errors[False, 400] < 0.02
    assert errors[True, 400] < 0.005
    assert errors[False, 40] < errors[False, 10]
    assert errors[True, 40] < 0.5 * errors[True, 10]
    assert errors[True, 40] < 0.5 * errors[False, 40]


def test_one_step_is_the_first_prediction():
    noise = random(4)
    for second_order in (False, True):
        end = solve(lambda x, level: x - 3.0, noise, flow_levels(1, 1.0), second_order=second_order)
        torch.testing.assert_close(end, torch.full((4,), 3.0))


@pytest.mark.parametrize(("duration", "samples"), [(1.0, 16_000), (0.1, 1_600), (1.2345, 19_752), (1 / 16_000, 1)])
def test_sounds_are_exactly_as_long_as_asked(duration, samples):
    sound = make().generate(random(2, 5), duration_s=duration, seeds=[1, 2], options=OPTIONS)
    assert sound.shape == (2, samples)
    assert sound.dtype == torch.float32
    assert sound.abs().max() <= 1
    assert sound.isfinite().all()


def test_an_item_depends_on_its_own_seed_and_target_alone():
    generator, target = make(), random(3, 5)
    together = generator.generate(target, duration_s=0.5, seeds=[7, 8, 7], options=OPTIONS)
    alone = generator.generate(target[1:2], duration_s=0.5, seeds=[8], options=OPTIONS)
    torch.testing.assert_close(together[1:2], alone, atol=1e-4, rtol=0)
    same = generator.sample_latents(target[[0, 0]], duration_s=0.5, seeds=[7, 8], options=OPTIONS)
    assert not torch.allclose(same[0], same[1], atol=0.1)
    other = generator.sample_latents(target[[0, 2]], duration_s=0.5, seeds=[7, 7], options=OPTIONS)
    assert not torch.allclose(other[0], other[1], atol=1e-3)


def test_guidance_goes_on_from_the_unconditional_through_the_conditional():
    generator, target = make(), random(1, 5)
    one_step = {"duration_s": 0.5, "seeds": [1]}
    by = {
        g: generator.sample_latents(target, options=SampleOptions(steps=1, guidance=g, scheduler="euler"), **one_step)
        for g in (0.0, 1.0, 3.0)
    }
    torch.testing.assert_close(by[3.0], by[0.0] + 3 * (by[1.0] - by[0.0]), atol=1e-4, rtol=1e-4)
    negative = generator.sample_latents(
        target, negative=-target, options=SampleOptions(steps=1, guidance=3.0, scheduler="euler"), **one_step
    )
    assert not torch.allclose(negative, by[3.0], atol=1e-3)


def test_progress_counts_every_step_once():
    seen: list[tuple[int, int]] = []
    make().generate(
        random(9, 5),
        duration_s=0.4,
        seeds=list(range(9)),
        options=OPTIONS,
        progress=lambda a, b, _: seen.append((a, b)),
    )
    assert seen == [(n, 6) for n in range(1, 7)]  # two batches of three steps


def test_without_options_the_config_says_how():
    config = MelFlowConfig(min_duration_s=0.32, max_duration_s=1.28, phase_iterations=2, defaults=OPTIONS)
    generator = make(config=config)
    given = generator.generate(random(1, 5), duration_s=0.5, seeds=[3], options=OPTIONS)
    torch.testing.assert_close(generator.generate(random(1, 5), duration_s=0.5, seeds=[3]), given)


def test_half_precision_gives_the_same_up_to_its_own_error():
    target, asked = random(1, 5), {"duration_s": 0.5, "seeds": [3], "options": OPTIONS}
    full, half = (make(dtype=dtype).sample_latents(target, **asked) for dtype in (torch.float32, torch.bfloat16))
    assert half.dtype == torch.float32
    assert 0 < (full - half).norm() / full.norm() < 0.05


def test_saved_and_loaded_through_its_kind_it_is_the_same(tmp_path):
    loaded = load_generator("mel_flow", write_tiny_mel_flow(tmp_path, dim=5), device="cpu", dtype=torch.float32)
    assert (loaded.dim, loaded.sample_rate, loaded.max_duration_s) == (5, 16_000, 10.24)
    asked = {"duration_s": 0.5, "seeds": [3], "options": OPTIONS}
    made = loaded.generate(random(1, 5), **asked)
    torch.testing.assert_close(made, make().generate(random(1, 5), **asked), atol=0.05, rtol=0)  # float16 weights


def test_what_cannot_be_is_refused():
    generator, target = make(), random(1, 5)
    with pytest.raises(InputError, match=r'scheduler "ddim": this generator is a flow, solved by euler or dpm\+\+2m'):
        generator.generate(target, duration_s=0.5, seeds=[1], options=SampleOptions(scheduler="ddim"))
    with pytest.raises(InputError, match="duration 0.0 s: expected a number of seconds that is one sample at least"):
        generator.generate(target, duration_s=0.0, seeds=[1], options=OPTIONS)
    with pytest.raises(BundleError, match="no text_encoder/"):
        generator.embed_text(["rain"])
    with pytest.raises(DeviceError, match="not finite"):
        generator.decode(torch.full((1, 4, 32), math.nan))
    with pytest.raises(
        ConfigError, match="generator: durations .* phase iterations, level shift .*; every one has to be positive"
    ):
        MelFlowConfig(min_duration_s=20.0)
    with pytest.raises(BundleError, match=r"tokens of 24 numbers from 64 mels, the denoiser takes 32"):
        MelFlowGenerator(generator.denoiser, tiny_codec(components=3))
