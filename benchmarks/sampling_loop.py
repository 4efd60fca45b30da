"""Our sampling loop against diffusers' AudioLDMPipeline: AudioLDM-S at full size, random weights, the same latents.

    python benchmarks/sampling_loop.py --steps 3 --rounds 3

Prints the time ratio ours / theirs (at most 1.0 is the aim; wall and CPU time, medians of alternating runs in one
process) and the largest difference between the two waveforms.
"""

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import torch
from diffusers import AudioLDMPipeline, AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import ClapTextConfig, ClapTextModelWithProjection, SpeechT5HifiGan, SpeechT5HifiGanConfig

from echoframe.generators.audioldm import AudioLdmGenerator, GeneratorConfig
from echoframe.options import SampleOptions

# diffusers scripts/convert_original_audioldm_to_diffusers.py
UNET: dict[str, Any] = {
    "sample_size": 128,
    "in_channels": 8,
    "out_channels": 8,
    "down_block_types": ("DownBlock2D", *["CrossAttnDownBlock2D"] * 3),
    "up_block_types": (*["CrossAttnUpBlock2D"] * 3, "UpBlock2D"),
    "block_out_channels": (128, 256, 384, 640),
    "cross_attention_dim": (128, 256, 384, 640),
    "class_embed_type": "simple_projection",
    "projection_class_embeddings_input_dim": 512,
    "class_embeddings_concat": True,
}
VAE: dict[str, Any] = {
    "in_channels": 1,
    "out_channels": 1,
    "down_block_types": ("DownEncoderBlock2D",) * 3,
    "up_block_types": ("UpDecoderBlock2D",) * 3,
    "block_out_channels": (128, 256, 512),
    "layers_per_block": 2,
    "latent_channels": 8,
    "scaling_factor": 0.9392935633659363,
}
VOCODER: dict[str, Any] = {
    "model_in_dim": 64,
    "sampling_rate": 16_000,
    "upsample_initial_channel": 1024,
    "upsample_rates": [5, 4, 2, 2, 2],
    "upsample_kernel_sizes": [16, 16, 8, 4, 4],
    "resblock_kernel_sizes": [3, 7, 11],
    "resblock_dilation_sizes": [[1, 3, 5]] * 3,
    "normalize_before": False,
}


def build(device: torch.device) -> tuple[AudioLdmGenerator, AudioLDMPipeline]:
    """Both peers over equal networks; copies, because ours lays its weights out anew."""
    torch.manual_seed(0)
    # diffusers would read the published config as 8 heads in every block (docs/audioldm-heads.md)
    unet = UNet2DConditionModel(**UNET, attention_head_dim=(4, 8, 12, 20)).eval()
    published = UNet2DConditionModel(**UNET).eval()
    published.load_state_dict(unet.state_dict())
    vae = AutoencoderKL(**VAE).eval()
    vocoder = SpeechT5HifiGan(SpeechT5HifiGanConfig(**VOCODER)).eval()
    with torch.no_grad():
        for module in vocoder.modules():  # its own initial weights give silence, in which nothing differs
            if isinstance(module, nn.Conv1d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear").mul_(0.7)
            elif isinstance(module, nn.ConvTranspose1d):
                nn.init.normal_(
                    module.weight, std=(module.in_channels * module.kernel_size[0] / module.stride[0]) ** -0.5
                )
    scheduler = DDIMScheduler(
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
    )
    # the pipeline asks the tower for its dtype only: both embeddings are given
    tower = ClapTextModelWithProjection(ClapTextConfig(num_hidden_layers=1))
    theirs = AudioLDMPipeline(vae, tower, None, unet, scheduler, vocoder)  # type: ignore[arg-type]
    theirs.set_progress_bar_config(disable=True)
    theirs.to(device)
    ours = AudioLdmGenerator(
        published,
        copy.deepcopy(vae),
        vocoder=copy.deepcopy(vocoder),
        scheduler_config=dict(scheduler.config),
        config=GeneratorConfig(unconditional="zeros"),
        device=device,
    )
    return ours, theirs


def timed(run: Callable[[], Tensor]) -> tuple[Tensor, float, float]:
    """What `run` gives, its wall time and its CPU time (s)."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = run()
    return result, time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each peer, alternating")
    parser.add_argument("--duration", type=float, default=10.24, help="seconds; a multiple of 0.32")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    ours, theirs = build(torch.device(arguments.device))
    seed, options = 1, SampleOptions(steps=arguments.steps, guidance=2.5, scheduler="ddim")
    random = torch.Generator().manual_seed(0)
    target, negative = nn.functional.normalize(torch.randn(2, 1, 512, generator=random), dim=-1)
    latents = ours._noise(arguments.duration, [torch.Generator("cpu").manual_seed(seed)])

    def run_ours() -> Tensor:
        return ours.generate(target, duration_s=arguments.duration, seeds=[seed], options=options, negative=negative)

    def run_theirs() -> Tensor:
        return theirs(  # type: ignore[operator]
            audio_length_in_s=arguments.duration,
            num_inference_steps=arguments.steps,
            guidance_scale=2.5,
            prompt_embeds=target,
            negative_prompt_embeds=negative,
            latents=latents,
            output_type="pt",
            return_dict=False,
        )[0]

    walls: dict[str, list[float]] = {"ours": [], "theirs": []}
    cpus: dict[str, list[float]] = {"ours": [], "theirs": []}
    sounds: dict[str, Tensor] = {}
    peers: list[tuple[str, Callable[[], Tensor]]] = [("ours", run_ours), ("theirs", run_theirs)]
    for i in range(arguments.rounds + 1):
        for name, run in peers if i % 2 else reversed(peers):  # neither always goes first
            sounds[name], wall, cpu = timed(run)
            if i:  # the first round warms up
                walls[name].append(wall)
                cpus[name].append(cpu)
    for kind, times in (("wall", walls), ("CPU", cpus)):
        ours_s, theirs_s = statistics.median(times["ours"]), statistics.median(times["theirs"])
        print(f"{kind:>4}: ours {ours_s:.2f} s, AudioLDMPipeline {theirs_s:.2f} s, ratio {ours_s / theirs_s:.3f}")
    difference = (sounds["ours"] - sounds["theirs"]).abs().max().item()
    print(f"largest difference {difference:.1e} (sound's standard deviation {sounds['ours'].std().item():.2f})")


if __name__ == "__main__":
    main()
