"""How sounds are judged: the aiSFX space, centred and whitened, with one centroid a label; and what is counted there.

*Conventions*: every sound is brought to 16 kHz first, real ones too. The space is fitted to the train scenes: their unit
vectors are centred, projected on their 128 strongest components and scaled to unit variance. A label's centroid is the
mean of its train scenes; only labels with held-out recordings compete. A sound is right at 1 (at 5) if its label's
centroid is the nearest (among the five nearest) by cosine.
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


def fit_judge(embeddings: Tensor, labels: list[str], competing: set[str]) -> Judge:
    """embeddings, labels: of the train scenes, (N, D). competing: the labels that have a centroid."""
    mean = embeddings.mean(dim=0)
    _, deviation, components = torch.linalg.svd(embeddings - mean, full_matrices=False)
    projection = components[:DIMS].T / (deviation[:DIMS] / len(embeddings) ** 0.5)
    judge = Judge(mean=mean, projection=projection, names=sorted(competing), centroids=torch.empty(0))
    rows = {name: torch.tensor([n for n, label in enumerate(labels) if label == name]) for name in judge.names}
    placed = functional.normalize(judge.place(embeddings), dim=1)
    centroids = torch.stack([placed[rows[name]].mean(dim=0) for name in judge.names])
    return Judge(mean=mean, projection=projection, names=judge.names, centroids=functional.normalize(centroids, dim=1))


def frechet_distance(one: Tensor, other: Tensor) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) of two sets of points (N, D) and (M, D), in float64.

    Dowson and Landau 1982. The trace of the root is the sum of the roots of the product's eigenvalues, which are real
    and not negative; with fewer points than dimensions the missing ones are zero.
    """
    means = [points.double().mean(dim=0) for points in (one, other)]
    first, second = (torch.cov(points.double().T) for points in (one, other))
    eigenvalues = torch.linalg.eigvals(first @ second).real.clamp(min=0)
    cross = eigenvalues.sqrt().sum()
    return float((means[0] - means[1]).square().sum() + first.trace() + second.trace() - 2 * cross)


def log_spectral_distance(one: Tensor, other: Tensor) -> float:
    """Root mean square over frequency of the difference in dB, mean over frames, of two waveforms (S,) of one length.

    Power spectra of 1024 samples every 160 with a Hann window, floored 80 dB under the strongest bin of the first.
    """

    def power(waveform: Tensor) -> Tensor:
        window = torch.hann_window(1024)
        return torch.stft(waveform, 1024, 160, window=window, return_complex=True).abs().square()

    powers = [power(one), power(other)]
    floor = max(float(powers[0].max()) * 1e-8, 1e-20)
    first, second = (10 * x.clamp(min=floor).log10() for x in powers)
    return float((first - second).square().mean(dim=0).sqrt().mean())
