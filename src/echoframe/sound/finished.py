"""A waveform becomes a `Sound`: with its record, what its windows saw, and what a user should know of it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float
from torch import Tensor

from echoframe.bundles.labels import LabelBank
from echoframe.media.audio import fade_ends, room_for
from echoframe.media.frame_array import Clip
from echoframe.media.loudness import bring_to_loudness, gain_to_loudness
from echoframe.media.video import VideoInfo
from echoframe.options import Settings
from echoframe.provenance import BundleId, InputId, Machine, MapperId, Provenance, Result, samples_sha256
from echoframe.sound import Sound
from echoframe.sound.placed import Placing, as_values
from echoframe.sound.take import Take
from echoframe.timing.passages import Shot
from echoframe.timing.watch import Watched
from echoframe.windows import Seen, unit_mean

N_NEAREST = 5


@dataclass(frozen=True, kw_only=True)
class Maker:
    """What a record says of the model. labels: the names that a sound is compared with, or none."""

    bundle: BundleId
    mapper: MapperId | None
    machine: Machine
    labels: LabelBank | None


def finished(
    take: Take,
    sample_rate: int,
    *,
    input_id: InputId,
    settings: Settings,
    seen: Seen,
    maker: Maker,
    notes: tuple[str, ...],
    watched: Watched | None = None,
    placing: Placing | None = None,
) -> Sound:
    """The sound with its record, the pictures and points that its windows left behind, and the labels nearest to it.

    watched: what was seen of the clip over time, if that was looked at. placing: what laid the take's recordings, if
    something did.
    """
    layers: dict[str, Tensor] = {}
    placed: tuple[dict[str, Any], ...] = ()
    if placing is None:
        if settings.loudness_lufs is not None:
            bring_to_loudness(take.waveform, sample_rate, settings.loudness_lufs)
        waveform = fade_ends(take.waveform, sample_rate).clamp_(-1, 1)
    else:
        waveform, layers, placed = _of_layers(take, settings, placing)
        sample_rate = placing.mix_rate
    target = unit_mean(take.targets)
    embedding = unit_mean(take.embeddings) if take.embeddings else None
    nearest = _nearest(maker.labels, target if embedding is None else embedding)
    result = Result(
        sample_rate=sample_rate,
        n_samples=waveform.shape[1],
        samples_sha256=samples_sha256(waveform.numpy()),
        candidate_scores=tuple(seen.scores),
        candidate_reasons=tuple(seen.reasons),
        nearest=dict(nearest),
        remembered=tuple(take.remembered),
        redrawn=tuple(seen.redrawn),
        shots=tuple(take.shots),
        onsets=_onsets(watched),
        placed=placed,
    )
    return Sound(
        waveform=waveform,
        sample_rate=sample_rate,
        provenance=Provenance(
            input=input_id,
            bundle=maker.bundle,
            settings=settings,
            machine=maker.machine,
            result=result,
            mapper=maker.mapper,
            example=InputId.of_file(Path(settings.like)) if settings.like else None,
            notes=notes,
        ),
        frames=np.stack(seen.images) if seen.images else np.zeros((0, 1, 1, 3), dtype=np.uint8),
        times_s=tuple(seen.times_s),
        nearest=nearest,
        target=target,
        embedding=embedding,
        reasons=_mean(take.reasons),
        watched=watched,
        layers=layers,
    )


def _of_layers(
    take: Take, settings: Settings, placing: Placing
) -> tuple[Tensor, dict[str, Tensor], tuple[dict[str, Any], ...]]:
    """The sound of a take's recordings, its layers, and what the record says of the recordings."""
    layers = placing.layers(take.placed, take.waveform, duration_s=settings.duration_s, blend=settings.blend)
    n_channels, length = next(iter(layers.values())).shape
    waveform = room_for(length, n_channels)
    for each in layers.values():
        waveform += fade_ends(each, placing.mix_rate)
    gain_db = gain_to_loudness(waveform, placing.mix_rate, settings.loudness_lufs)
    for each in (*layers.values(), waveform):
        each *= 10 ** (gain_db / 20)
    return waveform.clamp_(-1, 1), layers, as_values(take.placed, gain_db)


def shot_record(shot: Shot, label: str, seed: int) -> dict[str, str | float | int]:
    """What the record says of a shot. label: the nearest of what was seen."""
    return {"start_s": round(shot.start_s, 3), "stop_s": round(shot.stop_s, 3), "label": label, "seed": seed}


def notes_on(clip: Clip, seen: Seen, *, duration_s: float, n_draws: int) -> tuple[str, ...]:
    """What a user should know of a sound: where its film breaks off, and where nothing can be heard."""
    notes = []
    if isinstance(clip, VideoInfo) and clip.promised_s:
        notes.append(
            f"breaks off at {clip.duration_s:.2f} s of {clip.promised_s:.2f} s; copy or download it again for the rest"
        )
    for begin_s, end_s in seen.silent_s:
        whole = end_s - begin_s >= duration_s - 1e-6
        where = "in the sound" if whole else f"from {begin_s:.1f} to {end_s:.1f} s"
        notes.append(f"nothing can be heard {where}, though it was drawn {n_draws} times; try another seed or length")
    return tuple(notes)


def _mean(reasons: Sequence[tuple[Mapping[str, float], int]]) -> dict[str, float]:
    """Of the passages that have a reason, each as far as it is long."""
    found: dict[str, float] = {}
    for name in dict.fromkeys(name for each, _ in reasons for name in each):
        having = [(each[name], length) for each, length in reasons if name in each]
        found[name] = round(sum(value * length for value, length in having) / sum(length for _, length in having), 6)
    return found


def _onsets(watched: Watched | None) -> tuple[dict[str, float], ...]:
    onsets = watched.cues.onsets if watched else ()
    return tuple({name: round(value, 4) for name, value in asdict(onset).items()} for onset in onsets)


def _nearest(labels: LabelBank | None, embedding: Float[Tensor, "1 dim"]) -> tuple[tuple[str, float], ...]:
    if labels is None:
        return ()
    return tuple((name, round(cosine, 4)) for name, _, cosine in labels.nearest(embedding[0], N_NEAREST))
