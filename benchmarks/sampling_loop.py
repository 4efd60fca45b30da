"""Our sampling loop against diffusers' AudioLDMPipeline: AudioLDM-S at full size, random weights, the same latents.

    PYTHONPATH=tests python benchmarks/sampling_loop.py --steps 3 --rounds 3

Prints the time ratio ours / theirs (at most 1.0 is the aim; wall and CPU time, medians of alternating runs in one
process) and the largest difference between the two waveforms.
"""

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable

import torch
from diffusers import AudioLDMPipeline
from torch import Tensor, nn
from transformers import ClapTextConfig, ClapTextModelWithProjection

from echoframe.generators.audioldm import AudioLdmGenerator, GeneratorConfig
from echoframe.options import SampleOptions
from full_size import CHANNELS, build_unet, build_vae, build_vocoder, make_loud
from tiny_audioldm import build_scheduler


def build(device: torch.device) -> tuple[AudioLdmGenerator, AudioLDMPipeline]:
    """Both peers over equal networks; copies, because ours lays its weights out anew."""
    torch.manual_seed(0)
    # diffusers would read the published config as 8 heads in every block (docs/audioldm-heads.md)
    unet = build_unet(CHANNELS["s"], heads=(4, 8, 12, 20)).eval()
    published = build_unet(CHANNELS["s"]).eval()
    published.load_state_dict(unet.state_dict())
    vae = build_vae().eval()
    vocoder = build_vocoder().eval()
    make_loud(vocoder)
    scheduler = build_scheduler()
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
