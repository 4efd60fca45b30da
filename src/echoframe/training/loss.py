"""What a mapper learns by: a weighted sum of three losses between what it answers and the clip's own audio embedding.

A prior learns by the same sum for the mapper it reads clips with, and by its flow's loss (`echoframe.mappers.prior`).

*Conventions*: of centred targets all are about 1 for a mapper that always answers their mean, so that weights mean the same
in every space. Where targets have a common part, cosine is 1 less its length.

*Losses*: mse: the squared distance in the mapper's scaled audio space, divided by what the targets' mean would have.
cosine: 1 - cosine of the embeddings. contrastive: InfoNCE (van den Oord et al. 2018) over the batch in both directions,
as CLIP's, divided by log of the batch size; its temperature is learned (Radford et al. 2021: begins at 0.07, at least
0.01). Several processes contrast the whole batch, not each its share.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, distributed, nn
from torch.distributed.nn import functional as across
from torch.nn import functional

from echoframe.mappers.networks import LearnedMapper
from echoframe.training.config import LossWeights

MAX_SCALE = math.log(100.0)


class MapperLoss(nn.Module):
    """The mapper and its losses as one module, as a gradient is taken of both. spread: mean squared distance of the
    scaled targets from their mean."""

    mapper: LearnedMapper

    def __init__(self, mapper: LearnedMapper, weights: LossWeights, *, spread: float = 1.0) -> None:
        super().__init__()
        self.mapper, self.weights, self.spread = mapper, weights, spread
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07))) if weights.contrastive else None

    def forward(
        self,
        visual: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"],
        target: Float[Tensor, "batch audio_dim"],
        *,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The losses of a batch by name, "loss" the one to follow. generator: of a prior's noise."""
        weights, found = self.weights, {}
        regressor = self.mapper.get_regressor()
        answer, scaling = regressor.predict(visual, mask).float(), regressor.audio_scaling
        if weights.mse:
            found["mse"] = (answer - scaling(target)).square().sum(dim=1).mean() / self.spread
        regressed = scaling.undo(answer)
        unit = functional.normalize(regressed, dim=1)
        if weights.cosine:
            found["cosine"] = 1 - (unit * target).sum(dim=1).mean()
        if self.log_scale is not None:
            # only training is shared: validation is the first process's alone
            ours, theirs = (whole_batch(unit), whole_batch(target)) if self.training else (unit, target)
            found["contrastive"] = info_nce(ours, theirs, self.log_scale.clamp(max=MAX_SCALE).exp())
        total = sum(getattr(weights, name) * value for name, value in found.items())
        own = self.mapper.own_losses(regressed, target, generator=generator)
        return {"loss": torch.as_tensor(total + sum(own.values())), **found, **own}


def whole_batch(rows: Float[Tensor, "share dim"]) -> Float[Tensor, "batch dim"]:
    """The rows of all processes, by process, with their gradients; without other processes the rows themselves.

    The loss of the whole batch, taken in every process, has after DDP's mean over processes the gradient one process
    would give: `all_gather` adds up what all of them ask of a row.
    """
    if not distributed.is_initialized() or distributed.get_world_size() == 1:
        return rows
    sizes = [torch.zeros(1, dtype=torch.int64, device=rows.device) for _ in range(distributed.get_world_size())]
    distributed.all_gather(sizes, torch.tensor([len(rows)], device=rows.device))
    most = max(int(size) for size in sizes)  # the last batch of an epoch is not always shared out evenly
    parts = across.all_gather(functional.pad(rows, (0, 0, 0, most - len(rows))))
    return torch.cat([part[: int(size)] for part, size in zip(parts, sizes, strict=True)])


def info_nce(
    one: Float[Tensor, "batch dim"], other: Float[Tensor, "batch dim"], scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Cross entropy of telling each row's partner among all rows, both ways, in units of log(batch): 1 is guessing."""
    cosines = scale * one @ other.T  # (B, B)
    own = torch.arange(len(cosines), device=cosines.device)
    both = functional.cross_entropy(cosines, own) + functional.cross_entropy(cosines.T, own)
    return both / (2 * math.log(max(len(cosines), 2)))
