"""Which scheduler, at a model's default number of steps, comes nearest to the latents that many steps would give.

Only a model's real weights can say so: random ones predict no noise. `echoframe models check --schedulers` tells the answer.
"""

from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from echoframe.generators import LatentGenerator
from echoframe.options import SampleOptions

COMPARED = ("dpm++2m", "ddim")  # beside the model's default
REFERENCE = "unipc"  # none of those that are compared, so that none of them is measured against itself
REFERENCE_STEPS = 200
DURATION_S = 5.12


def distances(
    generator: LatentGenerator,
    targets: Float[Tensor, "targets dim"],
    *,
    defaults: SampleOptions,
    compared: Sequence[str] = COMPARED,
) -> dict[str, float]:
    """How far each scheduler's latents lie from the reference's, in percent of their size, as the mean over the targets.

    Guidance and number of steps are those of `defaults`, whose scheduler comes first. Each target has a seed of its own.
    """

    def sample(scheduler: str, steps: int) -> Tensor:
        options = replace(defaults, scheduler=scheduler, steps=steps)
        seeds = range(len(targets))
        return generator.sample_latents(targets, duration_s=DURATION_S, seeds=seeds, options=options).flatten(1)

    wanted = sample(REFERENCE, REFERENCE_STEPS)
    names = dict.fromkeys((defaults.scheduler, *compared))
    found = {name: (sample(name, defaults.steps) - wanted).norm(dim=1) / wanted.norm(dim=1) for name in names}
    return {name: 100 * float(apart.mean()) for name, apart in found.items()}


def told(found: dict[str, float], *, defaults: SampleOptions) -> str:
    """One line on what `distances` found, and what to do if the default is not the nearest."""
    nearest = min(found, key=lambda name: found[name])
    numbers = ", ".join(f"{name} {percent:.2f} %" for name, percent in found.items())
    line = f"from {REFERENCE_STEPS} steps of {REFERENCE}, {defaults.steps} steps lie: {numbers}; nearest is {nearest}"
    if nearest == defaults.scheduler:
        return f"{line}, the default"
    return f"{line}, not the default; ask for it with --scheduler {nearest}, and report it to EchoFrame"
