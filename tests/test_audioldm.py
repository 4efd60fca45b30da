"""The generator: against diffusers' own pipeline on the same weights, and against its own promises."""

import json
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from diffusers.utils import logging as diffusers_logging
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize
from transformers.utils import logging as transformers_logging

from echoframe.errors import BundleError, ConfigError, DeviceError, InputError
from echoframe.generators.audioldm import AudioLdmGenerator, GeneratorConfig
from echoframe.generators.schedulers import SCHEDULERS, build_scheduler
from echoframe.options import SCHEDULER_NAMES, SampleOptions
from echoframe.pretrained import freeze, load_part, quiet
from tiny_audioldm import DIM, write_tiny_audioldm, write_tiny_textless_audioldm

DURATION_S = 0.96  # 96 frames: a multiple of every factor, so that the pipeline takes the same latents
FAST = SampleOptions(steps=3, guidance=2.5, scheduler="ddim")


HEADS = (2, 4)  # of the tiny UNet's blocks, 16 and 32 channels wide, as the original code would divide them

pytestmark = pytest.mark.usefixtures("heads_of_eight_channels")


@pytest.fixture(scope="module")
def audioldm_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_audioldm(tmp_path_factory.mktemp("audioldm"))


@pytest.fixture(scope="module")
def textless_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_textless_audioldm(tmp_path_factory.mktemp("textless"))


def load(path: Path) -> AudioLdmGenerator:
    return AudioLdmGenerator.from_directory(path, device="cpu", dtype=torch.float32)


@pytest.fixture(scope="module")
def audioldm(audioldm_path: Path) -> AudioLdmGenerator:
    return load(audioldm_path)


@pytest.fixture(scope="module")
def textless(textless_path: Path) -> AudioLdmGenerator:
    return load(textless_path)


@pytest.fixture
def broken(audioldm_path: Path, tmp_path: Path) -> Path:
    """A copy of the tiny AudioLDM to break."""
    return Path(shutil.copytree(audioldm_path, tmp_path / "generator"))


def targets(n: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(n, DIM, generator=torch.Generator().manual_seed(seed)), dim=-1)


def change_json(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# --- the second opinion: diffusers' deprecated pipeline ---------------------------------------------------------------


@pytest.fixture(scope="module")
def pipeline(audioldm_path: Path) -> Any:
    with warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        unet = diffusers.UNet2DConditionModel.from_pretrained(audioldm_path / "unet", attention_head_dim=HEADS)
        pipe = diffusers.AudioLDMPipeline.from_pretrained(audioldm_path, unet=unet, low_cpu_mem_usage=False)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def unit_noise(seeds: Sequence[int]) -> Tensor:
    """What the generator starts from, written down again: one CPU generator per item, (C, H, W) in that order."""
    return torch.stack([torch.randn(4, 24, 16, generator=torch.Generator().manual_seed(seed)) for seed in seeds])


@pytest.mark.parametrize("with_negative", [False, True])
@pytest.mark.parametrize(
    ("alias", "class_name"),
    [("ddim", "DDIMScheduler"), ("dpm++2m", "DPMSolverMultistepScheduler"), ("euler", "EulerDiscreteScheduler")],
)
def test_same_waveform_as_the_pipeline_of_diffusers(
    audioldm: AudioLdmGenerator, pipeline: Any, alias: str, class_name: str, with_negative: bool
) -> None:
    target, seeds = targets(2), [11, 12]
    negative = targets(2, seed=5) if with_negative else None
    pipeline.scheduler = getattr(diffusers, class_name).from_config(pipeline.scheduler.config)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = pipeline(
            audio_length_in_s=DURATION_S,
            num_inference_steps=6,
            guidance_scale=2.5,
            prompt_embeds=target,
            negative_prompt_embeds=negative,
            latents=unit_noise(seeds),
            output_type="pt",
        ).audios
    options = SampleOptions(steps=6, guidance=2.5, scheduler=alias)
    assert audioldm.heads == HEADS
    ours = audioldm.generate(target, duration_s=DURATION_S, seeds=seeds, options=options, negative=negative)
    other = audioldm.generate(target.flip(0), duration_s=DURATION_S, seeds=seeds, options=options, negative=negative)
    assert (ours - other).abs().max() > 0.01  # the condition is heard, so equality says something
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-4)


def test_unconditional_is_the_text_embedding_of_the_empty_string(audioldm: AudioLdmGenerator, pipeline: Any) -> None:
    with torch.no_grad():
        theirs = pipeline._encode_prompt(
            ["a dog"], "cpu", 1, True
        )  # unconditional first, padded to 512 in the real one
    torch.testing.assert_close(audioldm.unconditional, theirs[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(audioldm.embed_text(["a dog"])[0], theirs[1], rtol=0, atol=1e-5)
    assert (theirs[0] - theirs[1]).norm() > 0.1


# --- seeds, batches, lengths ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheduler", ["dpm++2m", "euler-a", "dpm++2m-sde", "ddpm"])
def test_an_item_does_not_depend_on_its_batch(textless: AudioLdmGenerator, scheduler: str) -> None:
    options = SampleOptions(steps=3, guidance=2.0, scheduler=scheduler)
    target, seeds = targets(9), list(range(9))  # more than are denoised together
    together = textless.generate(target, duration_s=0.5, seeds=seeds, options=options)
    for i in (0, 8):
        alone = textless.generate(target[i : i + 1], duration_s=0.5, seeds=[i], options=options)
        torch.testing.assert_close(together[i : i + 1], alone, rtol=0, atol=1e-4)
    same = textless.generate(target[:1].expand(2, -1), duration_s=0.5, seeds=[3, 4], options=options)
    assert (same[0] - same[1]).abs().max() > 0.05  # another seed, another sound


def test_same_input_twice_is_equal_and_nothing_is_trainable(textless: AudioLdmGenerator) -> None:
    first, second = (textless.generate(targets(1), duration_s=0.5, seeds=[7], options=FAST) for _ in range(2))
    assert torch.equal(first, second)
    parts = (textless.unet, textless.vae, textless.vocoder)
    assert not any(p.requires_grad for part in parts for p in part.parameters())
    assert not any(part.training for part in parts)


def test_global_random_state_is_left_alone(textless: AudioLdmGenerator) -> None:
    before = torch.get_rng_state()
    textless.generate(targets(1), duration_s=0.1, seeds=[0], options=SampleOptions(steps=2, scheduler="euler-a"))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("duration_s", [1 / 16_000, 0.1, 0.33333, 0.96, 1.00004])
def test_exactly_the_samples_asked_for(textless: AudioLdmGenerator, duration_s: float) -> None:
    sound = textless.generate(targets(1), duration_s=duration_s, seeds=[0], options=SampleOptions(steps=1))
    assert sound.shape == (1, round(duration_s * 16_000))
    assert sound.dtype == torch.float32
    assert sound.abs().max() <= 1


def test_latents_fit_every_factor(textless: AudioLdmGenerator, audioldm: AudioLdmGenerator) -> None:
    for generator, height in ((textless, 104 // 8 + 1), (audioldm, 104 // 4)):  # 101 frames -> 112 (by 16), 104 (by 8)
        latents = generator.sample_latents(targets(1), duration_s=1.0001, seeds=[0], options=SampleOptions(steps=1))
        assert latents.shape == (1, 4, height, 64 // generator.vae_factor)


def test_full_duration_is_allowed(textless: AudioLdmGenerator) -> None:
    assert textless.generate(targets(1), duration_s=10.24, seeds=[0], options=SampleOptions(steps=1)).shape == (
        1,
        163_840,
    )


# --- the condition ----------------------------------------------------------------------------------------------------


def test_target_and_negative_are_directions(textless: AudioLdmGenerator) -> None:
    target, negative = targets(1), targets(1, seed=1)
    unit = textless.generate(target, duration_s=0.3, seeds=[0], options=FAST, negative=negative)
    scaled = textless.generate(target * 0.3, duration_s=0.3, seeds=[0], options=FAST, negative=negative * 20)
    torch.testing.assert_close(unit, scaled, rtol=0, atol=1e-4)
    without = textless.generate(target, duration_s=0.3, seeds=[0], options=FAST)
    assert (unit - without).abs().max() > 0.05


def test_guidance_of_one_runs_half_the_batch(textless: AudioLdmGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    forward = textless.unet.forward

    def count(sample: Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(len(sample))
        return forward(sample, *args, **kwargs)

    monkeypatch.setattr(textless.unet, "forward", count)
    target = targets(2)
    one = SampleOptions(steps=2, guidance=1.0, scheduler="ddim")
    plain = textless.generate(target, duration_s=0.3, seeds=[0, 1], options=one, negative=targets(2, seed=1))
    assert rows == [2, 2]
    near = SampleOptions(steps=2, guidance=1.000001, scheduler="ddim")
    torch.testing.assert_close(
        plain, textless.generate(target, duration_s=0.3, seeds=[0, 1], options=near), rtol=0, atol=1e-4
    )
    assert rows == [2, 2, 4, 4]


def test_the_textless_unconditional_embedding_is_zero(textless: AudioLdmGenerator) -> None:
    assert textless.config.unconditional == "zeros"
    assert torch.equal(textless.unconditional, torch.zeros(DIM))


# --- schedulers -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*SCHEDULERS, "EulerDiscreteScheduler"])
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_every_scheduler_samples(
    textless: AudioLdmGenerator, audioldm: AudioLdmGenerator, name: str, prediction: str
) -> None:
    generator = audioldm if prediction == "epsilon" else textless
    assert generator.scheduler_config["prediction_type"] == prediction
    options = SampleOptions(steps=5, guidance=2.0, scheduler=name)
    scheduler = build_scheduler(options, generator.scheduler_config, device="cpu")
    assert scheduler.config.prediction_type == prediction
    assert scheduler.config.beta_end == 0.0195
    sound = generator.generate(targets(1), duration_s=0.3, seeds=[0], options=options)
    assert sound.std() > 0.01


@pytest.mark.parametrize("name", ["ddim", "dpm++2m", "unipc", "euler", "deis"])
def test_solvers_agree_on_where_the_noise_leads(textless: AudioLdmGenerator, name: str) -> None:
    """All of them solve the same differential equation: with many steps they end in the same place."""
    reference, result = (
        textless.sample_latents(
            targets(1),
            duration_s=0.16,
            seeds=[0],
            options=SampleOptions(steps=steps, guidance=1.0, scheduler=scheduler),
        )
        for scheduler, steps in (("ddim", 100), (name, 50))
    )
    assert (result - reference).norm() / reference.norm() < 0.1


def test_progress_counts_every_step_of_every_part(textless: AudioLdmGenerator) -> None:
    seen: list[tuple[int, int]] = []
    textless.generate(
        targets(9), duration_s=0.1, seeds=range(9), options=FAST, progress=lambda step, n, _: seen.append((step, n))
    )
    assert seen == [(i, 6) for i in range(1, 7)]


def test_defaults_come_from_the_directory(textless: AudioLdmGenerator, audioldm: AudioLdmGenerator) -> None:
    assert textless.config.defaults == SampleOptions(steps=4, guidance=2.0, scheduler="dpm++2m")
    assert audioldm.config == GeneratorConfig()
    explicit = textless.generate(targets(1), duration_s=0.1, seeds=[0], options=textless.config.defaults)
    assert torch.equal(textless.generate(targets(1), duration_s=0.1, seeds=[0]), explicit)


# --- bad requests -----------------------------------------------------------------------------------------------------


def test_options_name_every_scheduler() -> None:
    assert sorted(SCHEDULER_NAMES) == sorted({*SCHEDULERS, *(name for name, _ in SCHEDULERS.values())})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps 0: expected 1 to 1000"),
        ({"steps": 1001}, "steps 1001: expected 1 to 1000"),
        ({"guidance": -1.0}, "guidance -1.0: expected 0 or more"),
        ({"guidance": float("nan")}, "guidance nan"),
        ({"scheduler": "ddmi"}, '"ddmi" is not known; choose one of ddim, .*unipc.*UniPCMultistepScheduler'),
    ],
)
def test_impossible_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        SampleOptions(**options)


def test_lms_without_scipy(textless: AudioLdmGenerator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("echoframe.generators.schedulers.find_spec", lambda name: None)
    with pytest.raises(InputError, match="needs scipy"):
        build_scheduler(SampleOptions(scheduler="lms"), textless.scheduler_config, device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"target": torch.ones(2, DIM)}, r"target: shape \(2, 32\), expected \(1, 32\)"),
        ({"target": torch.ones(1, 5)}, r"target: shape \(1, 5\), expected \(1, 32\)"),
        ({"target": torch.zeros(1, DIM)}, "target: an embedding is all zero"),
        ({"target": torch.full((1, DIM), torch.nan)}, "target: .* not finite"),
        ({"negative": torch.zeros(1, DIM)}, "negative: an embedding is all zero"),
        ({"target": torch.ones(0, DIM), "seeds": []}, "no targets"),
        ({"seeds": [-1]}, "whole numbers from 0"),
        ({"seeds": [2**63]}, "whole numbers from 0"),
        (
            {"target": torch.ones(1, 2, DIM)},
            r"target: shape \(1, 2, 32\), .* or \(1, 1, 32\) with one for each window: one",
        ),
        ({"duration_s": 0.0}, "duration 0.0 s: expected a number of seconds"),
        ({"duration_s": float("inf")}, "duration inf s: expected a number of seconds"),
        ({"duration_s": float("nan")}, "duration nan s"),
    ],
)
def test_impossible_requests(textless: AudioLdmGenerator, changes: dict[str, Any], message: str) -> None:
    request = {"target": targets(1), "duration_s": 0.3, "seeds": [0]} | changes
    with pytest.raises(InputError, match=message):
        textless.generate(request.pop("target"), **request)


def test_samples_that_are_not_finite_are_refused(textless: AudioLdmGenerator) -> None:
    with pytest.raises(DeviceError, match="not finite in torch.float32"):
        textless.decode(torch.full((1, 4, 4, 8), torch.nan))


# --- directories ------------------------------------------------------------------------------------------------------


def test_on_metal_the_vocoder_is_the_cpus_and_nothing_is_channels_last(
    textless: AudioLdmGenerator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Metal's convolutions end at 65,536 outputs, and a second of sound has 16,000 in each channel."""
    placed: list[tuple[str, str, torch.dtype]] = []

    def place(part: Any, device: torch.device, dtype: torch.dtype) -> Any:
        placed.append((type(part).__name__, device.type, dtype))
        return part

    monkeypatch.setattr("echoframe.generators.audioldm.freeze", place)
    AudioLdmGenerator(
        textless.unet,
        textless.vae,
        vocoder=textless.vocoder,
        scheduler_config=textless.scheduler_config,
        config=textless.config,
        device="mps",
        dtype=torch.float16,
    )
    assert placed == [
        ("UNet2DConditionModel", "mps", torch.float16),
        ("AutoencoderKL", "mps", torch.float16),
        ("SpeechT5HifiGan", "cpu", torch.float32),
    ]

    class Part(torch.nn.Conv2d):
        def to(self, *args: Any, **kwargs: Any) -> "Part":  # this machine has no Metal
            asked.append({**kwargs})
            return self

    for device, layouts in (("mps", []), ("cpu", [torch.channels_last]), ("cuda", [torch.channels_last])):
        asked: list[dict[str, Any]] = []
        freeze(Part(1, 1, 1), torch.device(device), torch.float32)
        assert [given["memory_format"] for given in asked if "memory_format" in given] == layouts


def test_plain_solvers_can_be_asked_for_by_name(textless: AudioLdmGenerator) -> None:
    """The default spaces its steps by the logarithm of the noise, with many at the end; the plain ones do so by time."""
    assert SampleOptions().scheduler == "dpm++2m-lu"
    plain = build_scheduler(SampleOptions(scheduler="dpm++2m"), textless.scheduler_config, device="cpu")
    assert (plain.config.algorithm_type, plain.config.solver_order) == ("dpmsolver++", 2)
    assert not any(plain.config[f"use_{way}"] for way in ("lu_lambdas", "karras_sigmas", "exponential_sigmas"))
    assert (plain.timesteps <= 40).sum() <= 2
    default = build_scheduler(SampleOptions(), textless.scheduler_config, device="cpu")
    assert (default.timesteps <= 40).sum() >= 7
    ddim = build_scheduler(SampleOptions(scheduler="ddim"), textless.scheduler_config, device="cpu")
    assert type(ddim).__name__ == "DDIMScheduler"


def test_bfloat16_is_close_to_float32(textless_path: Path, textless: AudioLdmGenerator) -> None:
    half = AudioLdmGenerator.from_directory(textless_path, device=torch.device("cpu"), dtype=torch.bfloat16)
    assert half.unet.dtype == half.vae.dtype == half.vocoder.dtype == torch.bfloat16
    latents = half.sample_latents(targets(1), duration_s=0.3, seeds=[0], options=FAST)
    exact = textless.sample_latents(targets(1), duration_s=0.3, seeds=[0], options=FAST)
    assert latents.dtype == torch.float32
    assert 1e-5 < (latents - exact).norm() / exact.norm() < 0.05
    assert half.decode(latents).dtype == torch.float32


def test_weights_stored_as_float16_load_as_asked(
    textless_path: Path, textless: AudioLdmGenerator, tmp_path: Path
) -> None:
    path = Path(shutil.copytree(textless_path, tmp_path / "half"))
    for file in path.glob("*/*.safetensors"):
        save_file({name: t.half() for name, t in load_file(file).items()}, file, metadata={"format": "pt"})
    generator = load(path)
    assert generator.unet.dtype == generator.vae.dtype == generator.vocoder.dtype == torch.float32
    latents = generator.sample_latents(targets(1), duration_s=0.3, seeds=[0], options=FAST)
    exact = textless.sample_latents(targets(1), duration_s=0.3, seeds=[0], options=FAST)
    assert (latents - exact).norm() / exact.norm() < 0.02


def test_loading_is_silent_and_restores_what_it_turned_down(
    audioldm_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    load(audioldm_path).generate(targets(1), duration_s=0.3, seeds=[0], options=SampleOptions(steps=3))
    assert capfd.readouterr() == ("", "")
    assert (diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()) == before
    assert transformers_logging.is_progress_bar_enabled()


def test_the_text_tower_is_read_only_when_needed(broken: Path) -> None:
    shutil.rmtree(broken / "tokenizer")
    generator = load(broken)
    given = generator.generate(targets(1), duration_s=0.1, seeds=[0], options=FAST, negative=targets(1, seed=1))
    assert given.shape == (1, 1600)
    with pytest.raises(BundleError, match="tokenizer: not a RoBERTa tokenizer"):
        generator.embed_text(["a dog"])


def test_no_text_tower(textless: AudioLdmGenerator) -> None:
    with pytest.raises(
        BundleError, match="the generator has no text_encoder/; give an embedding, or a bundle that has one"
    ):
        textless.embed_text(["a dog"])


def test_a_text_tower_of_another_size(broken: Path, tmp_path: Path) -> None:
    other = write_tiny_audioldm(tmp_path / "other", dim=48)
    shutil.rmtree(broken / "text_encoder")
    shutil.copytree(other / "text_encoder", broken / "text_encoder")
    with pytest.raises(BundleError, match="text_encoder gives 48 numbers, unet takes 32"):
        load(broken).embed_text([""])


@pytest.mark.parametrize("part", ["unet", "vae", "vocoder", "scheduler"])
def test_a_missing_part(broken: Path, part: str) -> None:
    shutil.rmtree(broken / part)
    with pytest.raises(BundleError, match=f"{part}.*config.json: cannot be read \\(No such file or directory\\)"):
        load(broken)


def test_a_json_that_is_not_an_object(broken: Path) -> None:
    (broken / "config.json").write_text("[]")
    with pytest.raises(BundleError, match="found a JSON list, expected an object"):
        load(broken)


def test_weights_that_are_pickles_only(broken: Path) -> None:
    (broken / "unet" / "diffusion_pytorch_model.safetensors").rename(broken / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(
        BundleError, match=r"unet: no safetensors weights \(found: config.json, diffusion_pytorch_model.b"
    ):
        load(broken)


@pytest.mark.parametrize("part", ["unet", "vae", "vocoder"])
def test_truncated_weights(broken: Path, part: str) -> None:
    (file,) = (broken / part).glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(BundleError, match=f"{part}: cannot be loaded"):
        load(broken)


@pytest.mark.parametrize("part", ["unet", "vae", "vocoder"])
@pytest.mark.parametrize("extra", [True, False])
def test_weights_of_another_model(broken: Path, part: str, extra: bool) -> None:
    (file,) = (broken / part).glob("*.safetensors")
    weights = load_file(file)
    if extra:
        weights["unheard.of"] = torch.zeros(1)
    else:
        del weights[sorted(weights)[0]]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(BundleError, match=f"{part}: 1 weights do not match its config"):
        load(broken)


def test_load_part_takes_a_wrong_size_for_damage(broken: Path) -> None:
    change_json(broken / "unet" / "config.json", projection_class_embeddings_input_dim=33)
    with pytest.raises(BundleError, match="unet: cannot be loaded"), torch.random.fork_rng(devices=[]):
        load_part(diffusers.UNet2DConditionModel, broken / "unet")


@pytest.mark.parametrize(
    ("part", "values", "message"),
    [
        ("vocoder", {"sampling_rate": 22_050}, "vocoder: 22050 Hz, hop 160, 64 mels; the generator's mel is 16000 Hz"),
        ("unet", {"class_embed_type": None}, "unet: .*(simple_projection|do not match)"),
    ],
)
def test_parts_that_do_not_fit(broken: Path, part: str, values: dict[str, Any], message: str) -> None:
    change_json(broken / part / "config.json", **values)
    with pytest.raises(BundleError, match=message):
        load(broken)


def test_networks_of_other_kinds(textless: AudioLdmGenerator, audioldm: AudioLdmGenerator) -> None:
    plain = diffusers.UNet2DConditionModel(
        block_out_channels=(8,), down_block_types=("DownBlock2D",), up_block_types=("UpBlock2D",), norm_num_groups=8
    )
    rest = {"vocoder": textless.vocoder, "scheduler_config": textless.scheduler_config}
    with pytest.raises(BundleError, match="class_embed_type None, expected simple_projection"):
        AudioLdmGenerator(plain, textless.vae, **rest)
    vae = diffusers.AutoencoderKL(latent_channels=7, block_out_channels=(8,), norm_num_groups=8)
    with pytest.raises(BundleError, match="vae gives 7 latent channels, unet takes 4"):
        AudioLdmGenerator(textless.unet, vae, **rest)


@pytest.mark.parametrize(
    ("config", "error", "message"),
    [
        ({"colour": "blue"}, ConfigError, "config.json: unknown key colour; known keys are unconditional, mel"),
        ({"unconditional": "ones"}, ConfigError, '"ones" is not known; choose "text" or "zeros"'),
        ({"max_duration_s": 0.0}, ConfigError, "generator: max_duration_s 0.0; expected seconds above 0"),
        ({"defaults": {"scheduler": "x"}}, InputError, 'scheduler "x" is not known'),
    ],
)
def test_a_config_that_says_nonsense(
    broken: Path, config: dict[str, Any], error: type[Exception], message: str
) -> None:
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(error, match=message):
        load(broken)
