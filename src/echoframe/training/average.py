"""The exponential moving average of a network's weights, which is what is measured and kept."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class WeightAverage(AveragedModel):
    """`module` is a copy of a network whose weights follow it slowly.

    decay: of the average at each step. It is less at the first steps, (1 + step) / (10 + step), so that early weights do
    not linger.
    """

    def __init__(self, network: nn.Module, decay: float) -> None:
        super().__init__(network, multi_avg_fn=self._move)
        self.decay, self._step = decay, 0

    def follow(self, network: nn.Module, step: int) -> None:
        """Moves the average towards the network as it is after `step`; buffers are copied."""
        self._step = step
        self.update_parameters(network)

    def _move(self, average: Sequence[Tensor], now: Sequence[Tensor], _: object) -> None:
        decay = min(self.decay, (1 + self._step) / (10 + self._step))
        torch._foreach_lerp_(list(average), list(now), 1 - decay)
