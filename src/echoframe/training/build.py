"""A new mapper for some embedding sets: its sizes from the config, its scaled spaces from the clips."""

from dataclasses import asdict

import numpy as np
from torch import Tensor

from echoframe.data.embedding_reader import Clips, EmbeddingSets
from echoframe.errors import InputError
from echoframe.mappers.networks import LearnedMapper, MapperNetwork, build_mapper
from echoframe.mappers.prior import PriorConfig, build_prior
from echoframe.training.config import TrainConfig
from echoframe.training.loss import MapperLoss

SCALED_CLIPS, SCALED_FRAMES = 4000, 50_000  # from which the spaces are learned


def new_loss(config: TrainConfig, sets: EmbeddingSets, rows: np.ndarray) -> MapperLoss:
    """A new mapper and what it learns by. rows: of the clips it is to learn from."""
    sample = sets.load(_far_apart(rows, SCALED_CLIPS, sets))
    mapper = build(config, sets, sample)
    return MapperLoss(mapper, config.loss, spread=spread_of(mapper, sample.audio))


def build(config: TrainConfig, sets: EmbeddingSets, sample: Clips) -> LearnedMapper:
    """A new mapper for those sets, its spaces learned from a sample of train clips."""
    visual, audio = sets.encoders.visual, sets.encoders.audio
    shape = config.mapper.config(
        visual_dim=visual.dim, audio_dim=audio.dim, n_frames=sets.n_frames, spaces=(visual.name, audio.name)
    )
    if shape.input == "log_probability" and float(sample.visual.min()) < 0:
        raise InputError(
            f"{', '.join(config.data)}: visual embeddings below 0 are not probabilities, "
            "which mapper.input asks for; leave it out"
        )
    if config.prior is None:
        mapper = build_mapper(shape, seed=config.seed)
        _fit(mapper, sample)
        return mapper
    prior = build_prior(PriorConfig(regressor=shape, **asdict(config.prior)), seed=config.seed)
    _fit(prior.regressor, sample)
    prior.fit_space(sample.audio)
    return prior


def _fit(mapper: MapperNetwork, sample: Clips) -> None:
    if mapper.config.visual_scaling != "none":
        frames = sample.visual[sample.mask]
        mapper.visual_scaling.fit(mapper.read(frames[:: max(len(frames) // SCALED_FRAMES, 1)].float()))
    mapper.audio_scaling.fit(sample.audio)


def _far_apart(rows: np.ndarray, n: int, sets: EmbeddingSets) -> np.ndarray:
    """At least `n` of the rows, if there are so many, of few shards that lie far apart: no other has to be read."""
    shards = sets.shard_of(rows)
    found = np.unique(shards)
    share = min(len(found), int(np.ceil(n * len(found) / len(rows))))
    chosen = found[np.linspace(0, len(found) - 1, max(share, 1)).round().astype(int)]
    return rows[np.isin(shards, chosen)]


def spread_of(mapper: LearnedMapper, audio: Tensor) -> float:
    """The mean squared distance of scaled targets from their mean."""
    points = mapper.get_regressor().audio_scaling(audio)
    return float((points - points.mean(dim=0)).square().sum(dim=1).mean().clamp(min=1e-12))
