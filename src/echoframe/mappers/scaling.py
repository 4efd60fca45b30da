"""A space of embeddings brought to a form in which learning is easier, and back: centred, or centred and whitened.

*Conventions*: rows are embeddings. "centre" takes the mean away. "whiten" also turns and stretches by the symmetric root
of the inverse covariance (ZCA: of all whitenings the one that moves points least; Kessy, Lewin and Strimmer 2018), so
that all directions have about unit variance; "about", as a tenth of the mean variance is added to each direction first:
the weakest ones are mostly noise.
"""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echoframe.errors import InputError

ScalingKind = Literal["none", "centre", "whiten"]
SHRINKAGE = 0.1  # share of the mean variance that is added to all directions


class Scaling(nn.Module):
    """mean (D,), and for "whiten" forth and back (D, D), all learned from data by `fit`; before it, they change nothing."""

    mean: Tensor
    forth: Tensor
    back: Tensor

    def __init__(self, kind: ScalingKind, dim: int) -> None:
        super().__init__()
        self.kind = kind
        if kind != "none":
            self.register_buffer("mean", torch.zeros(dim))
        if kind == "whiten":
            self.register_buffer("forth", torch.eye(dim))
            self.register_buffer("back", torch.eye(dim))

    @torch.no_grad()
    def fit(self, embeddings: Float[Tensor, "items dim"]) -> None:
        """Takes the mean, and the covariance, of at least two embeddings."""
        if self.kind == "none":
            return
        if len(embeddings) < 2:
            raise InputError(f"scaling: {len(embeddings)} embedding; expected two or more to learn a space from")
        points = embeddings.double()
        self.mean.copy_(points.mean(dim=0))
        if self.kind == "whiten":
            values, vectors = torch.linalg.eigh(points.T.cov())
            lengths = (values.clamp(min=0) + SHRINKAGE * values.mean()).clamp(min=1e-12).sqrt()
            self.forth.copy_(vectors / lengths @ vectors.T)
            self.back.copy_(vectors * lengths @ vectors.T)

    def forward(self, embeddings: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """The embeddings in the new form."""
        if self.kind == "none":
            return embeddings
        centred = embeddings - self.mean
        return centred @ self.forth if self.kind == "whiten" else centred

    def undo(self, points: Float[Tensor, "*batch dim"]) -> Float[Tensor, "*batch dim"]:
        """Embeddings whose new form is `points`."""
        if self.kind == "none":
            return points
        return (points @ self.back if self.kind == "whiten" else points) + self.mean
