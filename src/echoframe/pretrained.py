"""Models in the folders diffusers and transformers write: config.json and safetensors. No network, no pickles."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from safetensors import SafetensorError

from echoframe.errors import BundleError

if TYPE_CHECKING:
    import torch

# not learnt but counted up by the class; which versions of transformers store them has changed, and so have the files
COUNTED = {"text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids"}
# what the two libraries raise for a damaged or foreign folder
LOAD_ERRORS = (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError, SafetensorError)


def load_part(model_class: Any, folder: Path) -> Any:
    """A diffusers or transformers model from its own folder: no network, no pickles, every weight accounted for."""
    from echoframe.weights import read_json  # loads torch, which `quiet` alone does not need

    read_json(folder / "config.json")
    if not any(folder.glob("*.safetensors")):
        found = ", ".join(sorted(file.name for file in folder.iterdir()))
        raise BundleError(f"{folder}: no safetensors weights (found: {found}); convert them with save_pretrained")
    try:
        with quiet():
            part, info = model_class.from_pretrained(
                folder, local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except LOAD_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise BundleError(f"{folder}: cannot be loaded ({reason}); pull the model again") from error
    # both libraries would go on with random weights here
    unmatched = [key for key in (*info["missing_keys"], *info["unexpected_keys"]) if key not in COUNTED]
    wrong = [*unmatched, *info["mismatched_keys"]]
    if wrong:
        raise BundleError(f"{folder}: {len(wrong)} weights do not match its config ({wrong[0]}); pull the model again")
    return part


def freeze(part: Any, device: "torch.device", dtype: "torch.dtype") -> Any:
    """`part` in eval mode, without gradients, on `device`, its 2-D convolutions laid out channels last where that helps.

    That layout is the one oneDNN and cuDNN convolve fastest: AudioLDM-S's UNet takes 10 % less time, its VAE 15 %. Metal
    has no use for it.
    """
    import torch

    part = part.requires_grad_(False).eval().to(device=device, dtype=dtype)
    return part.to(memory_format=torch.channels_last) if device.type in ("cpu", "cuda") else part


@contextmanager
def quiet() -> Iterator[None]:
    """Holds back diffusers' and transformers' warnings and progress bars inside the block, then restores both."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    levels = diffusers_logging.get_verbosity(), transformers_logging.get_verbosity()
    had_bars = transformers_logging.is_progress_bar_enabled()
    diffusers_logging.set_verbosity_error()
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        diffusers_logging.set_verbosity(levels[0])
        transformers_logging.set_verbosity(levels[1])
        if had_bars:
            transformers_logging.enable_progress_bar()
