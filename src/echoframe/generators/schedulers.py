"""The schedulers a diffusion model can be sampled with, by name. Loads no torch until one is built.

Every scheduler is a class of diffusers, made from the model's own saved config: betas, prediction type and spacing of
the timesteps are the model's, whatever solver walks them.
"""

import inspect
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from echoframe.errors import InputError
from echoframe.options import SampleOptions
from echoframe.pretrained import quiet

if TYPE_CHECKING:
    import torch

# alias: (diffusers class, what it changes in the saved scheduler config)
SCHEDULERS: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "dpm++2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    # -karras and -lu spread the steps over noise levels, not over time: fewer of them do (benchmarks/schedulers.py)
    "dpm++2m-karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
    "dpm++2m-lu": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_lu_lambdas": True}),
    "dpm++2m-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++", "solver_order": 2}),
    "dpm++2s": ("DPMSolverSinglestepScheduler", {"algorithm_type": "dpmsolver++", "solver_order": 2}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2-a": ("KDPM2AncestralDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {"skip_prk_steps": True}),  # as diffusers' AudioLDM conversion sets it
    "sa": ("SASolverScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "unipc-karras": ("UniPCMultistepScheduler", {"use_karras_sigmas": True}),
}


def build_scheduler(options: SampleOptions, saved_config: dict[str, Any], *, device: "torch.device | str") -> Any:
    """The diffusers scheduler that `options` name, made from `saved_config`, with its timesteps set on `device`.

    options.scheduler: a key of `SCHEDULERS` or the name of one of its diffusers classes.
    """
    import diffusers

    class_name, changes = SCHEDULERS.get(options.scheduler, (options.scheduler, {}))
    if class_name == "LMSDiscreteScheduler" and find_spec("scipy") is None:
        raise InputError(f'scheduler "{options.scheduler}" needs scipy; pip install scipy, or choose another')
    scheduler_class = getattr(diffusers, class_name)
    known = inspect.signature(scheduler_class.__init__).parameters
    with quiet():
        scheduler = scheduler_class.from_config({k: v for k, v in saved_config.items() if k in known} | changes)
        scheduler.set_timesteps(options.steps, device=device)
    return scheduler


def step_randomness(scheduler: Any, randoms: "list[torch.Generator]") -> dict[str, Any]:
    """What `scheduler.step` has to be given so that each item's noise comes from the item's own generator."""
    return {"generator": randoms} if "generator" in inspect.signature(scheduler.step).parameters else {}
