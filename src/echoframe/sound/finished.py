"""A waveform becomes a `Sound`: with its record, what its windows saw, and what a user should know of it."""

from dataclasses import asdict, dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from echoframe.bundles.labels import LabelBank
from echoframe.media.frame_array import FrameArray
from echoframe.media.video import VideoInfo
from echoframe.options import Settings
from echoframe.provenance import BundleId, InputId, Machine, MapperId, Provenance, Result, samples_sha256
from echoframe.sound import Sound
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
    waveform: Float[Tensor, "1 samples"],
    sample_rate: int,
    *,
    input_id: InputId,
    settings: Settings,
    seen: Seen,
    maker: Maker,
    notes: tuple[str, ...],
    watched: Watched | None = None,
) -> Sound:
    """The sound with its record, the pictures and points that its windows left behind, and the labels nearest to it.

    watched: what was seen of the clip over time, if that was looked at.
    """
    target = unit_mean(seen.targets)
    embedding = unit_mean(seen.embeddings) if seen.embeddings else None
    nearest = _nearest(maker.labels, target if embedding is None else embedding)
    result = Result(
        sample_rate=sample_rate,
        n_samples=waveform.shape[1],
        samples_sha256=samples_sha256(waveform.numpy()),
        candidate_scores=tuple(seen.scores),
        nearest=dict(nearest),
        remembered=tuple(seen.remembered),
        redrawn=tuple(seen.redrawn),
        shots=tuple(seen.shots),
        onsets=_onsets(watched),
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
            notes=notes,
        ),
        frames=np.stack(seen.images),
        times_s=tuple(seen.times_s),
        nearest=nearest,
        target=target,
        embedding=embedding,
        watched=watched,
    )


def notes_on(clip: VideoInfo | FrameArray, seen: Seen, *, duration_s: float, n_draws: int) -> tuple[str, ...]:
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


def _onsets(watched: Watched | None) -> tuple[dict[str, float], ...]:
    onsets = watched.cues.onsets if watched else ()
    return tuple({name: round(value, 4) for name, value in asdict(onset).items()} for onset in onsets)


def _nearest(labels: LabelBank | None, embedding: Float[Tensor, "1 dim"]) -> tuple[tuple[str, float], ...]:
    if labels is None:
        return ()
    return tuple((name, round(cosine, 4)) for name, _, cosine in labels.nearest(embedding[0], N_NEAREST))
