"""AudioLDM at full size: EchoFrame's loop and diffusers' pipeline."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from gpu_parts.bench import Bench, Taken

DTYPES = ("float16", "bfloat16")
BATCHES = (1, 8)
HEADS = (4, 8, 12, 20)  # of both sizes' blocks, as diffusers would not read them in the published config
Make = Callable[[int, int], Any]  # so many sounds by so many steps


def measured(bench: Bench, size: str) -> None:
    """EchoFrame's loop and diffusers' pipeline: equal networks with random weights, DDIM, guidance."""
    duration_s, steps = _duration_s(bench), _steps(bench)
    for name, build in (("EchoFrame", _ours), ("diffusers' AudioLDMPipeline", _theirs)):
        for dtype in DTYPES:
            try:
                make = build(bench, size, getattr(torch, dtype))
            except ImportError as error:
                bench.say(f"AudioLDM-{size.upper()}, {name}", f"left out ({error})")
                break
            _in_batches(bench, f"AudioLDM-{size.upper()}, {name}, {dtype}", make, duration_s, steps)
            del make
            bench.forget()


def compiled(bench: Bench, size: str) -> None:
    """EchoFrame's loop, its UNet through torch.compile."""
    for dtype in DTYPES:
        make = _ours(bench, size, getattr(torch, dtype), through_compile=True)
        what = f"AudioLDM-{size.upper()}, EchoFrame, {dtype}, torch.compile"
        _in_batches(bench, what, make, _duration_s(bench), _steps(bench), through_compile=True)
        del make
        bench.forget()


def _in_batches(
    bench: Bench, what: str, make: Make, duration_s: float, steps: int, *, through_compile: bool = False
) -> None:
    for n in (1, 2) if bench.small else BATCHES:

        def tell(taken: Taken, n: int = n) -> str:
            first = f", the first run {taken.first_s:.0f} s" if through_compile else ""
            return f"{taken.seconds / n:.3f} s a clip of {duration_s:g} s in {steps} steps{first}"

        bench.case(
            f"{what}, batch {n}",
            lambda n=n: make(n, 2),
            lambda n=n: make(n, steps),
            tell,
            times=steps / 2,
        )


def _duration_s(bench: Bench) -> float:
    return 0.32 if bench.small else 10.24


def _steps(bench: Bench) -> int:
    return 2 if bench.small else 25  # the default of `echoframe generate`


def _networks(bench: Bench, size: str, heads: int | tuple[int, ...]) -> tuple[Any, Any, Any]:
    from full_size import CHANNELS, build_unet, build_vae, build_vocoder

    with torch.device(bench.device):
        if bench.small:
            return build_unet((32, 32, 64, 64)), build_vae((32, 32, 32)), build_vocoder(64)
        return build_unet(CHANNELS[size], heads=heads), build_vae(), build_vocoder()


def _targets(bench: Bench) -> Tensor:
    random = torch.Generator().manual_seed(0)
    return nn.functional.normalize(torch.randn(max(BATCHES), 512, generator=random), dim=1).to(bench.device)


def _ours(bench: Bench, size: str, dtype: torch.dtype, *, through_compile: bool = False) -> Make:
    from echoframe.generators.audioldm import AudioLdmGenerator, GeneratorConfig
    from echoframe.options import SampleOptions
    from tiny_audioldm import build_scheduler

    unet, vae, vocoder = _networks(bench, size, 8)  # 8, as published, is read as the original's heads
    generator = AudioLdmGenerator(
        unet,
        vae,
        vocoder=vocoder,
        scheduler_config=dict(build_scheduler().config),
        config=GeneratorConfig(unconditional="zeros"),
        device=bench.device,
        dtype=dtype,
    )
    if through_compile:
        generator.unet.compile(dynamic=False, backend=bench.backend)
    targets, duration_s = _targets(bench), _duration_s(bench)

    def make(n: int, steps: int) -> Tensor:
        options = SampleOptions(steps=steps, guidance=2.5, scheduler="ddim")
        return generator.generate(targets[:n], duration_s=duration_s, seeds=range(n), options=options)

    return make


def _theirs(bench: Bench, size: str, dtype: torch.dtype) -> Make:
    from diffusers import AudioLDMPipeline
    from transformers import ClapTextConfig, ClapTextModelWithProjection

    from echoframe.pretrained import quiet
    from tiny_audioldm import build_scheduler

    unet, vae, vocoder = _networks(bench, size, HEADS)
    # the pipeline asks the tower for its dtype only: embeddings are given
    tower = ClapTextModelWithProjection(ClapTextConfig(num_hidden_layers=1, vocab_size=16))
    with quiet():
        peer: Any = AudioLDMPipeline(vae, tower, None, unet, build_scheduler(), vocoder)  # type: ignore[arg-type]
        peer.to(bench.device, dtype)
    peer.set_progress_bar_config(disable=True)
    targets, duration_s = _targets(bench), _duration_s(bench)

    def make(n: int, steps: int) -> Any:
        return peer(
            audio_length_in_s=duration_s,
            num_inference_steps=steps,
            guidance_scale=2.5,
            prompt_embeds=targets[:n],
            negative_prompt_embeds=torch.zeros_like(targets[:n]),
            output_type="pt",
            return_dict=False,
        )

    return make
