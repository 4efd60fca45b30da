"""Whether a sound lies near its label in the aiSFX space, centred and whitened, with one centroid a label.

*Conventions*: the space is fitted to the training recordings: their unit vectors are centred, projected on their 128
strongest components and scaled to unit variance. A label's centroid is the mean of its training recordings. A sound is
right at 1 (at 5) if its label's centroid is the nearest (among the five nearest) by cosine.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

DIMS = 128


@dataclass(frozen=True, kw_only=True)
class Judge:
    """mean (D,) and projection (D, 128) of the space; names of the labels and their centroids (L, 128)."""

    mean: Tensor
    projection: Tensor
    names: list[str]
    centroids: Tensor

    def place(self, embeddings: Tensor) -> Tensor:
        """Unit vectors of the audio encoder, (N, D), in the judge's space, (N, 128), not normalised."""
        return (embeddings - self.mean) @ self.projection

    def hits(self, embeddings: Tensor, labels: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """(N,) right at 1, (N,) right at 5."""
        cosines = functional.normalize(self.place(embeddings), dim=1) @ self.centroids.T
        nearest = cosines.topk(min(5, len(self.names)), dim=1).indices.tolist()
        right = np.array([[self.names[i] == label for i in row] for row, label in zip(nearest, labels, strict=True)])
        return right[:, 0], right.any(axis=1)


def fit_judge(embeddings: Tensor, labels: list[str]) -> Judge:
    """embeddings, labels: of the training recordings, (N, D)."""
    mean = embeddings.mean(dim=0)
    _, deviation, components = torch.linalg.svd(embeddings - mean, full_matrices=False)
    projection = components[:DIMS].T / (deviation[:DIMS] / len(embeddings) ** 0.5)
    judge = Judge(mean=mean, projection=projection, names=sorted(set(labels)), centroids=torch.empty(0))
    rows = {name: torch.tensor([n for n, label in enumerate(labels) if label == name]) for name in judge.names}
    placed = functional.normalize(judge.place(embeddings), dim=1)
    centroids = torch.stack([placed[rows[name]].mean(dim=0) for name in judge.names])
    return Judge(mean=mean, projection=projection, names=judge.names, centroids=functional.normalize(centroids, dim=1))
