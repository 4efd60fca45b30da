"""What a mapper learns by: a weighted sum of three losses between what it answers and the clip's own audio embedding.

*Conventions*: all are about 1 for a mapper that always answers the targets' mean, so that weights mean the same in every
space.

*Losses*: mse: the squared distance in the mapper's scaled audio space, divided by what the targets' mean would have.
cosine: 1 - cosine of the embeddings. contrastive: InfoNCE (van den Oord et al. 2018) over the batch in both directions,
as CLIP's, divided by log of the batch size; its temperature is learned (Radford et al. 2021: begins at 0.07, at least
0.01). With several processes each contrasts its own share of the batch.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from echoframe.mapper import Mapper
from echoframe.prior import FlowPrior
from echoframe.training.config import LossWeights

MAX_SCALE = math.log(100.0)


class MapperLoss(nn.Module):
    """The mapper and its losses as one module, as a gradient is taken of both. spread: mean squared distance of the
    scaled targets from their mean."""

    mapper: Mapper | FlowPrior

    def __init__(self, mapper: Mapper | FlowPrior, weights: LossWeights, *, spread: float = 1.0) -> None:
        super().__init__()
        self.mapper, self.weights, self.spread = mapper, weights, spread
        is_contrastive = weights.contrastive > 0 and isinstance(mapper, Mapper)
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07))) if is_contrastive else None

    def forward(
        self,
        visual: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"],
        target: Float[Tensor, "batch audio_dim"],
        *,
        generator: torch.Generator,
    ) -> dict[str, Tensor]:
        """The losses of a batch by name, "loss" the one to follow. generator: of a prior's noise."""
        if isinstance(self.mapper, FlowPrior):
            return {"loss": self.mapper.loss(visual, mask, target, generator=generator)}
        weights, found = self.weights, {}
        answer = self.mapper.predict(visual, mask).float()
        scaling = self.mapper.audio_scaling
        if weights.mse:
            found["mse"] = (answer - scaling(target)).square().sum(dim=1).mean() / self.spread
        unit = functional.normalize(scaling.undo(answer), dim=1)
        if weights.cosine:
            found["cosine"] = 1 - (unit * target).sum(dim=1).mean()
        if self.log_scale is not None:
            found["contrastive"] = info_nce(unit, target, self.log_scale.clamp(max=MAX_SCALE).exp())
        total = sum(getattr(weights, name) * value for name, value in found.items())
        return {"loss": torch.as_tensor(total), **found}


def info_nce(
    one: Float[Tensor, "batch dim"], other: Float[Tensor, "batch dim"], scale: Float[Tensor, ""]
) -> Float[Tensor, ""]:
    """Cross entropy of telling each row's partner among all rows, both ways, in units of log(batch): 1 is guessing."""
    cosines = scale * one @ other.T  # (B, B)
    own = torch.arange(len(cosines), device=cosines.device)
    both = functional.cross_entropy(cosines, own) + functional.cross_entropy(cosines.T, own)
    return both / (2 * math.log(max(len(cosines), 2)))
