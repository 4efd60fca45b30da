"""Embedding sets made by a test, with an answer that is known, in the files that `echoframe extract` writes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from echoframe.data.embedding_manifest import EncoderFacts, SetManifest, SourceFacts
from echoframe.data.embedding_set import Counts, Row, Shape, plan_shards, write_manifest, write_shard
from echoframe.data.sources import Item
from echoframe.spec import ClipSpec

LABELS = ("dog barking", "rain", "playing violin", "engine idling")


def unit(points: np.ndarray) -> np.ndarray:
    return (points / np.linalg.norm(points, axis=-1, keepdims=True)).astype(np.float32)


def write_set(
    folder: Path,
    visual: np.ndarray,
    audio: np.ndarray,
    *,
    mask: np.ndarray | None = None,
    labels: Sequence[str] = LABELS,
    splits: Sequence[str] = ("train", "train", "train", "train", "val"),
    shard_clips: int = 100,
    spaces: tuple[str, str] = ("seen", "heard"),
    first: int = 0,
) -> Path:
    """A set of N clips: visual (N, T, Dv), audio (N, Da); labels and splits are dealt out in turn. first: film's number."""
    n, n_frames = visual.shape[:2]
    items = [
        Item(
            key=f"film{first + i:07d}_000010",
            file=f"film{first + i}.mp4",
            label=labels[i % len(labels)],
            split=splits[i % len(splits)],
            youtube_id=f"film{first + i:07d}",
            start_s=10,
        )
        for i in range(n)
    ]
    shape = Shape(n_frames=n_frames, visual_dim=visual.shape[2], audio_dim=audio.shape[1])
    masks = np.ones((n, n_frames), dtype=bool) if mask is None else mask
    folder.mkdir(parents=True, exist_ok=True)
    done = 0
    for shard in plan_shards(folder, items, shard_clips):
        rows = [
            Row(visual=visual[i].astype(np.float16), mask=masks[i], audio=audio[i].astype(np.float32), duration_s=10.0)
            for i in range(done, done + len(shard.items))
        ]
        write_shard(shard, rows, shape)
        done += len(rows)

    def encoder(kind: str, space: str, dim: int) -> EncoderFacts:
        files = {"model.safetensors": space}
        return EncoderFacts(kind=kind, source="a test", licence="CC0-1.0", space=space, dim=dim, files=files)

    manifest = SetManifest(
        encoders={
            "visual_encoder": encoder("clip", spaces[0], visual.shape[2]),
            "audio_encoder": encoder("aisfx", spaces[1], audio.shape[1]),
        },
        clip=ClipSpec(n_frames=n_frames, frame_rate=n_frames / 10),
        source=SourceFacts(kind="folder", clips=n, sha256=folder.name),
        shard_clips=shard_clips,
    )
    write_manifest(folder, manifest, Counts(n_done=n, failed=[], n_left=0))
    return folder


def linear_set(folder: Path, *, n: int = 1200, n_frames: int = 4, seed: int = 0, **more: object) -> Path:
    """Targets that are a linear map of the frames' mean."""
    rng = np.random.default_rng(seed)
    visual = rng.normal(size=(n, n_frames, 24)).astype(np.float32) * 0.3 + rng.normal(size=(n, 1, 24))
    audio = unit(
        visual.astype(np.float16).mean(axis=1, dtype=np.float64) @ np.random.default_rng(1).normal(size=(24, 16))
    )
    return write_set(folder, visual, audio, **more)  # type: ignore[arg-type]
