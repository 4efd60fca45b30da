"""The sha256 of a mapper's config and weights: a record says by it which mapper made a sound."""

import hashlib
from typing import Any

import torch
from torch import Tensor


def weights_sha256(mapper: Any) -> str:
    """The sha256 of a mapper's config and weights, in hex; of the config alone where there are no weights.

    Weights have their names, types and shapes in it, and not the device they lie on.
    """
    digest = hashlib.sha256(_kind(mapper).encode())
    weights = _weights(mapper)
    for name in sorted(weights):
        values = weights[name].detach().cpu().contiguous()
        digest.update(f"{name} {values.dtype} {tuple(values.shape)}".encode())
        digest.update(values.flatten().view(torch.uint8).numpy().tobytes() if values.numel() else b"")
    return digest.hexdigest()


class KeptHash:
    """`weights_sha256` of a mapper, computed again only for another mapper or other weights.

    Torch counts the changes of every tensor in place. A change by way of `tensor.data` is not counted, and not seen here.
    """

    def __init__(self) -> None:
        self._mapper: Any = None
        self._weights: dict[str, Tensor] = {}  # held, so that no other tensor can come to lie where one of them lies
        self._state: object = None
        self._sha256 = ""

    def of(self, mapper: Any) -> str:
        """The mapper's sha256, in hex."""
        weights = _weights(mapper)
        state = (_kind(mapper), {name: _change(weight) for name, weight in weights.items()})
        if mapper is not self._mapper or state != self._state or any(w.is_inference() for w in weights.values()):
            self._mapper, self._weights, self._state = mapper, weights, state
            self._sha256 = weights_sha256(mapper)
        return self._sha256


def _change(weight: Tensor) -> tuple[object, ...]:
    """Differs when the tensor does: where it lies, and how often it was changed there."""
    return weight.data_ptr(), weight.dtype, weight.shape, 0 if weight.is_inference() else weight._version


def _kind(mapper: Any) -> str:
    return repr((type(mapper).__qualname__, getattr(mapper, "config", None)))


def _weights(mapper: Any) -> dict[str, Tensor]:
    return dict(mapper.state_dict()) if hasattr(mapper, "state_dict") else {}
