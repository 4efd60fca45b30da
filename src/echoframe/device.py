"""Which device and number format a model runs on, from the names a user gives."""

import torch

from echoframe.errors import DeviceError

_DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


def resolve_device(device: str) -> torch.device:
    """The torch device of that name; "auto" takes the fastest there is. Raises DeviceError if it is not there."""
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device == "auto":
        return torch.device(next(name for name, is_there in there.items() if is_there))
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise DeviceError(f'device "{device}" is not known; choose auto, cpu, cuda, cuda:N or mps') from error
    count = torch.cuda.device_count() if found.type == "cuda" else 1
    if not there.get(found.type, False) or (found.index or 0) >= count:
        usable = ", ".join(name for name, is_there in there.items() if is_there)
        raise DeviceError(f'device "{device}" is not there (usable here: {usable}); choose one of these, or auto')
    return found


def resolve_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """The torch dtype of that name; "auto" is float16 on cuda, else float32. Raises DeviceError if it is not known."""
    if dtype == "auto":
        return torch.float16 if device.type == "cuda" else torch.float32
    if dtype not in _DTYPES:
        raise DeviceError(f'dtype "{dtype}" is not known; choose auto, {", ".join(_DTYPES)}')
    return _DTYPES[dtype]
