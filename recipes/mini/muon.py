"""Muon for a network's matrices, AdamW for the rest.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (kellerjordan.github.io/posts/muon, 2024): the
step of a matrix is its momentum made orthogonal by a few Newton-Schulz steps. Scaled by 0.2 sqrt(larger side), its size
is that of an AdamW step (Liu et al., arXiv 2502.16982, eq. 4), so that both take one learning rate and weight decay.
Matrices of one shape are made orthogonal at once.
"""

from collections import defaultdict

import torch
from torch import Tensor, nn

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5


def orthogonal(matrices: Tensor) -> Tensor:
    """(K, M, N), about the nearest matrices with all singular values 1. bfloat16 on a GPU."""
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16() if matrices.is_cuda else matrices
    if tall := x.shape[1] > x.shape[2]:
        x = x.mT
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(STEPS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return (x.mT if tall else x).to(matrices.dtype)


class Muon(torch.optim.Optimizer):
    """For matrices alone. A matrix in `threefold` is three, one above the other (queries, keys, values)."""

    def __init__(
        self,
        matrices: list[Tensor],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        threefold: set[int],
    ) -> None:
        super().__init__(matrices, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._threefold = threefold

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step of every matrix that has a gradient."""
        for group in self.param_groups:
            by_shape: dict[tuple[int, ...], list[tuple[Tensor, Tensor]]] = defaultdict(list)
            for matrix in group["params"]:
                if matrix.grad is None:
                    continue
                state = self.state[matrix]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(matrix)
                state["momentum"].lerp_(matrix.grad, 1 - group["momentum"])
                ahead = torch.lerp(matrix.grad, state["momentum"], group["momentum"])
                parts = 3 if id(matrix) in self._threefold else 1
                for part, step in zip(matrix.chunk(parts), ahead.chunk(parts), strict=True):
                    by_shape[tuple(part.shape)].append((part, step))
            for shape, pairs in by_shape.items():
                steps = orthogonal(torch.stack([step for _, step in pairs]))
                rate = 0.2 * max(shape) ** 0.5 * group["lr"]
                for (part, _), step in zip(pairs, steps, strict=True):
                    part.mul_(1 - group["lr"] * group["weight_decay"]).add_(step, alpha=-rate)


def optimizers(network: nn.Module, *, lr: float, weight_decay: float, muon: bool) -> list[torch.optim.Optimizer]:
    """Muon for the matrices of the blocks (and AdamW for the rest), or AdamW for all, without decay of biases."""
    learned = {name: p for name, p in network.named_parameters() if p.requires_grad}
    hidden = {
        name
        for name, p in learned.items()
        if p.ndim == 2 and name.startswith(("blocks.", "skips.")) and "own" not in name
    }
    if not muon:
        hidden = set()
    rest = [p for name, p in learned.items() if name not in hidden]
    fused = any(p.is_cuda for p in rest)
    groups = [
        {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    found: list[torch.optim.Optimizer] = [torch.optim.AdamW(groups, lr=lr, betas=(0.9, 0.95), fused=fused)]
    if hidden:
        threefold = {id(p) for name, p in learned.items() if name.endswith("qkv.weight")}
        matrices = [learned[name] for name in sorted(hidden)]
        found.append(Muon(matrices, lr=lr, weight_decay=weight_decay, threefold=threefold))
    return found
