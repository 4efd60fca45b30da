"""How many steps each scheduler needs: the distance of its N-step latents from the 200-step result, same seed.

    python benchmarks/schedulers.py src/echoframe/bundles/mini/generator --targets LABELS/model.safetensors

For each scheduler and N: |latents(N) - reference| / |reference|, in percent, as the mean over a few targets. There are
two references: 200 steps of the scheduler itself, and 200 steps of the first (DDIM; Euler for mini's flow, of which
DDIM is the same). `within 1 %` is the smallest N that is, and that every larger N tried is too.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import Tensor

from echoframe.generators import load_generator
from echoframe.generators.mel_flow import SOLVERS
from echoframe.options import SampleOptions

STEPS = (5, 10, 15, 20, 25, 30, 50, 100)
REFERENCE_STEPS = 200
SCHEDULERS = ("ddim", "dpm++2m", "dpm++2m-karras", "dpm++2m-lu", "unipc", "unipc-karras")


def main() -> None:
    arguments = _arguments()
    torch.set_num_threads(arguments.threads)
    is_flow = (arguments.generator / "denoiser").is_dir()
    kind, schedulers = ("mel_flow", SOLVERS) if is_flow else ("audioldm", arguments.schedulers)
    generator = load_generator(kind, arguments.generator, device=arguments.device, dtype=torch.float32)
    targets = _targets(arguments.targets, generator.dim, arguments.n)
    guidance = generator.defaults.guidance if arguments.guidance is None else arguments.guidance
    print(f"{len(targets)} targets, {arguments.duration} s, guidance {guidance}, {kind}")

    def sample(scheduler: str, steps: int) -> Tensor:
        options = SampleOptions(steps=steps, guidance=guidance, scheduler=scheduler)
        return generator.sample_latents(
            targets, duration_s=arguments.duration, seeds=range(len(targets)), options=options
        )

    first = sample(schedulers[0], REFERENCE_STEPS)
    for name in schedulers:
        own = first if name == schedulers[0] else sample(name, REFERENCE_STEPS)
        print(f"\n{name}: {REFERENCE_STEPS} steps lie {distance(own, first):.2f} % from {schedulers[0]}'s")
        print("  steps    to its own    to the first's    s")
        rows: list[tuple[int, float, float]] = []
        for steps in arguments.steps:
            started = time.perf_counter()
            latents = sample(name, steps)
            seconds = time.perf_counter() - started
            rows.append((steps, distance(latents, own), distance(latents, first)))
            print(f"  {steps:5d}    {rows[-1][1]:8.2f} %    {rows[-1][2]:7.2f} %    {seconds:.1f}", flush=True)
        for title, column in (("its own", 1), (f"{schedulers[0]}'s", 2)):
            far = max((row[0] for row in rows if row[column] > 1.0), default=0)
            near = min((row[0] for row in rows if row[0] > far), default=None)
            print(f"  within 1 % of {title} 200-step result: {f'{near} steps' if near else 'none of these'}")


def distance(latents: Tensor, reference: Tensor) -> float:
    """Mean over the batch of |latents - reference| / |reference|, in percent."""
    difference, size = (latents - reference).flatten(1).norm(dim=1), reference.flatten(1).norm(dim=1)
    return 100 * (difference / size).mean().item()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("generator", type=Path, help="a bundle's generator/ directory")
    parser.add_argument(
        "--targets", type=Path, help="a safetensors file; its first 2-D tensor holds embeddings as rows"
    )
    parser.add_argument("--n", type=int, default=2, help="targets, each with a seed of its own")
    parser.add_argument("--duration", type=float, default=10.24, help="seconds")
    parser.add_argument("--guidance", type=float, help="the generator's own if not given")
    parser.add_argument("--schedulers", nargs="+", default=SCHEDULERS)
    parser.add_argument("--steps", nargs="+", type=int, default=STEPS)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def _targets(path: Path | None, dim: int, n: int) -> Tensor:
    """n embeddings, spread over those in `path`; random directions without a file."""
    if path is None:
        return torch.randn(n, dim, generator=torch.Generator().manual_seed(0))
    from safetensors.torch import load_file

    vectors = next(tensor for tensor in load_file(path).values() if tensor.ndim == 2)
    return vectors[torch.linspace(0, len(vectors) - 1, n).long()].float()


if __name__ == "__main__":
    main()
