"""What no mapper has to be trained for: the bounds between which every mapper's figures lie.

Each takes clips and gives (N, Da) float32 of any length. *oracle*: the true embedding. *label mean*: of the train clips of
the clip's true label. *ridge regression*: linear, from mean frames, its strength chosen on validation clips. *nearest
neighbour*: of the train clip that looks most alike (cosine of mean frames). *global mean*: of all. *zero-shot bridge*: by
way of words, of a model with text towers (`echoframe.mappers.zero_shot`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from echoframe.bundles.bundle import find_bundle, load_bundle
from echoframe.bundles.check import one_space_in
from echoframe.data.embedding_reader import Clips, EmbeddingSets
from echoframe.errors import InputError
from echoframe.mappers.networks import masked_mean
from echoframe.mappers.zero_shot import BRIDGE_KIND
from echoframe.training.measure import windows_of

STRENGTHS = tuple(10.0**n for n in range(-5, 3))  # of ridge regression, times the mean variance of a frame's numbers
BLOCK = 2048  # clips compared at once
Read = Callable[[Tensor], Tensor]  # of visual embeddings, as the mappers read them
Bound = Callable[[Clips, np.ndarray], np.ndarray]  # (clips, their labels) -> (N, Da)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What the bounds know of train clips: visual (N, Dv) mean frames, audio (N, Da), labels (N,)."""

    visual: Tensor
    audio: Tensor
    labels: np.ndarray


def look_at(sets: EmbeddingSets, rows: np.ndarray, read: Read) -> Seen:
    """Mean frames and sounds of those rows."""
    means, sounds = [], []
    for clips in windows_of(sets, rows):
        means.append(mean_frames(clips, read))
        sounds.append(clips.audio)
    return Seen(visual=torch.cat(means), audio=torch.cat(sounds), labels=sets.labels[rows])


def mean_frames(clips: Clips, read: Read) -> Tensor:
    """(N, Dv) float32, the mean of each clip's real frames as mappers read them."""
    return masked_mean(read(clips.visual.float().masked_fill(~clips.mask[..., None], 0)), clips.mask)


def bounds(train: Seen, val: Seen, read: Read) -> dict[str, Bound]:
    """The bounds by name, from the best informed to the least."""
    weights, offset = fit_ridge(train, val)
    label_names, label_of = np.unique(train.labels, return_inverse=True)
    everywhere = train.audio.mean(dim=0)
    sums = torch.zeros(len(label_names), train.audio.shape[1]).index_add_(0, torch.from_numpy(label_of), train.audio)
    own = {str(name): functional.normalize(sums[i], dim=0) for i, name in enumerate(label_names)}
    unit = functional.normalize(train.visual - train.visual.mean(dim=0), dim=1)

    def nearest(clips: Clips, _: np.ndarray) -> np.ndarray:
        asked = functional.normalize(mean_frames(clips, read) - train.visual.mean(dim=0), dim=1)
        found = [(asked[i : i + BLOCK] @ unit.T).argmax(dim=1) for i in range(0, len(asked), BLOCK)]
        return train.audio[torch.cat(found)].numpy()

    def mean(clips: Clips, _: np.ndarray) -> np.ndarray:
        return everywhere.expand(len(clips), -1).numpy()

    def label_mean(_: Clips, labels: np.ndarray) -> np.ndarray:
        return torch.stack([own.get(str(label), everywhere) for label in labels]).numpy()

    return {
        "true embedding (oracle)": lambda clips, _: clips.audio.numpy(),
        "label mean (knows the label)": label_mean,
        "ridge regression": lambda clips, _: (mean_frames(clips, read) @ weights + offset).numpy(),
        "nearest neighbour": nearest,
        "global mean": mean,
    }


def fit_ridge(train: Seen, val: Seen) -> tuple[Tensor, Tensor]:
    """Weights (Dv, Da) and offset (Da,) of the strength with the best mean cosine on `val`. In float64, by the eigenvalues
    of the covariance: all strengths from one decomposition."""
    x, y = train.visual.double(), train.audio.double()
    centre, offset = x.mean(dim=0), y.mean(dim=0)
    x, y = x - centre, y - offset
    values, vectors = torch.linalg.eigh(x.T @ x / len(x))
    crossed = vectors.T @ (x.T @ y / len(x))
    best: tuple[float, Tensor] | None = None
    for strength in STRENGTHS:
        weights = vectors @ (crossed / (values.clamp(min=0) + strength * values.mean()).clamp(min=1e-12)[:, None])
        answer = (val.visual.double() - centre) @ weights + offset
        cosine = float(functional.cosine_similarity(answer, val.audio.double()).mean())
        if best is None or cosine > best[0]:
            best = (cosine, weights)
    assert best is not None
    return best[1].float(), (offset - centre @ best[1]).float()


def bridge_bound(model: str | Path, sets: EmbeddingSets, *, device: str = "auto") -> Bound:
    """The zero-shot bridge of a model. Raises InputError if it has none, or joins other spaces than the sets', BundleError
    if its own parts do not share one audio space."""
    one_space_in(find_bundle(model), device=device)
    bundle = load_bundle(model, device=device, dtype="float32")
    part, mapper = bundle.manifest.parts.get("mapper"), bundle.mapper
    if part is not None and part.kind != BRIDGE_KIND:
        raise InputError(f"{model}: has its own mapper and no zero-shot bridge; give a model without a mapper")
    ours = (sets.encoders.visual.name, sets.encoders.audio.name)
    theirs = (mapper.config.visual_space, mapper.config.audio_space)
    if ours != theirs:
        raise InputError(f"{model}: its bridge joins {' and '.join(theirs)}, the data have {' and '.join(ours)}")
    where = bundle.device

    def answer(clips: Clips, _: np.ndarray) -> np.ndarray:
        return mapper(clips.visual.float().to(where), clips.mask.to(where)).cpu().numpy()

    return answer
