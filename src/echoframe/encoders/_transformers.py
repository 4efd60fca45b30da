"""Models and tokenizers from directories in the model hub's layout, through transformers, without its noise."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from transformers import AutoTokenizer, PreTrainedModel
from transformers.utils import logging

from echoframe.encoders import require_files
from echoframe.errors import BundleError

Model = TypeVar("Model", bound=PreTrainedModel)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars, and no report on the weights of the other tower; restored afterwards."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def load_tower(model_class: type[Model], directory: Path, *, device: str | torch.device, dtype: torch.dtype) -> Model:
    """One tower of the model in `directory` (which may hold both). Raises BundleError if any of its weights lacks."""
    if (directory / "pytorch_model.bin").is_file() and not (directory / "model.safetensors").is_file():
        raise BundleError(
            f"{directory}: holds only pytorch_model.bin; write model.safetensors with "
            "echoframe.encoders.convert.convert_pytorch_bin"
        )
    require_files(directory, ("config.json", "model.safetensors"))
    try:
        with quiet():
            loaded: Any = model_class.from_pretrained(
                str(directory), local_files_only=True, use_safetensors=True, output_loading_info=True
            )
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, SafetensorError) as error:
        raise BundleError(f"{directory}: cannot be loaded as {model_class.__name__} ({_first_line(error)})") from error
    model, report = loaded
    # transformers would fill missing weights with random numbers and only mention it
    missing = sorted(report["missing_keys"])
    if missing:
        raise BundleError(
            f"{directory}: lacks {len(missing)} weights of {model_class.__name__} ({missing[0]}, ...); "
            "expected a whole model, fetch it again"
        )
    return model.to(device=device, dtype=dtype)


class Tokenizer:
    """Texts to token ids, as the tokenizer in `directory` says, cut to what the model can read."""

    def __init__(self, directory: Path, *, max_length: int) -> None:
        require_files(directory, ("tokenizer_config.json",))
        try:
            with quiet():
                self._tokenizer: Any = AutoTokenizer.from_pretrained(str(directory), local_files_only=True)
        except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
            raise BundleError(f"{directory}: no tokenizer can be loaded from it ({_first_line(error)})") from error
        self.max_length = min(max_length, self._tokenizer.model_max_length)

    def __call__(self, texts: list[str], device: torch.device) -> dict[str, Tensor]:
        """input_ids and attention_mask, both (B, L)."""
        encoded = self._tokenizer(texts, padding=True, truncation=True, max_length=self.max_length, return_tensors="pt")
        return {name: encoded[name].to(device) for name in ("input_ids", "attention_mask")}


def device_of(module: nn.Module) -> torch.device:
    return next(module.parameters()).device


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__
