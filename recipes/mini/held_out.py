"""The held-out recordings, and what is heard of the sounds generated for them; kept, so that measuring resumes.

Before statistics are taken, every sound is brought to -23 LUFS, and a generated one's ends are faded, as
`echoframe generate` does.
"""

import json
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from echoframe.bundles.bundle import Bundle
from echoframe.evaluation.judges import Judge as Ear
from echoframe.media.audio import fade_ends
from echoframe.media.loudness import to_loudness
from echoframe.options import TARGET_LUFS, SampleOptions
from echoframe.output import atomic_files
from echoframe.pipeline import EchoFrame
from echoframe.spec import MINI_MEL
from flow import SCENE_S, Scenes
from judge import fit_judge
from sound_statistics import EdgeClick, NoiseFloor, Statistics, describe, edge_click, noise_floor

MIN_RECORDINGS = 5  # of a label, for its figures to count
AT_ONCE = 8
RATE = MINI_MEL.sample_rate


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What is kept of a sound: its embedding, (512,), YAMNet's scores, (521,), and what sound_statistics.py counts."""

    embedding: Tensor
    scores: np.ndarray
    statistics: Statistics
    floor: NoiseFloor
    click: EdgeClick


def count(waveform: Tensor) -> tuple[Statistics, NoiseFloor, EdgeClick]:
    """The statistics of one sound, (S,) at 16 kHz, brought to -23 LUFS."""
    loud = to_loudness(waveform[None], RATE, TARGET_LUFS)[0]
    return describe(loud, RATE), noise_floor(loud, RATE), edge_click(loud, RATE)


class HeldOut:
    """The held-out scenes of labels with enough recordings, every label in turn, and the judge fitted to the train scenes."""

    def __init__(self, work: Path, limit: int, split: str = "test") -> None:
        index = json.loads((work / "corpus" / "scenes.json").read_text())
        recordings: dict[str, set[str]] = {}
        for row in index:
            recordings.setdefault(row["label"], set()).add(row["recording"])
        rows = [n for n, r in enumerate(index) if r["split"] == split and len(recordings[r["label"]]) >= MIN_RECORDINGS]
        competing = {index[n]["label"] for n in rows}
        seen: dict[str, int] = {}
        turns = {}
        for n in rows:
            turns[n] = seen[index[n]["label"]] = seen.get(index[n]["label"], 0) + 1
        self.rows = sorted(rows, key=lambda n: (turns[n], n))[:limit]
        self.labels = [index[n]["label"] for n in self.rows]
        self.scenes = np.load(work / "corpus" / "scenes.npy", mmap_mode="r")
        corpus = Scenes(work)
        self.train = [n for n, row in enumerate(index) if row["split"] == "train"]
        self.train_labels = [index[n]["label"] for n in self.train]
        self.unvaried = [n for n in self.train if not index[n]["varied"]]  # the recordings as they are
        self.unvaried_labels = [index[n]["label"] for n in self.unvaried]
        self.mean = corpus.mean
        centred = functional.normalize(corpus.blocks.mean(dim=1) - corpus.mean, dim=1)
        self.embeddings, self.train_embeddings = centred[self.rows], centred[self.train]
        self.judge = fit_judge(self.train_embeddings, self.train_labels, competing)

    def waveforms(self, rows: list[int]) -> Tensor:
        """(N, 163840) of scenes by their place in the corpus."""
        return torch.from_numpy(self.scenes[rows].astype(np.float32) / 32767)


def embed(bundle: Bundle | EchoFrame, waveforms: Tensor) -> Tensor:
    """(N, S) at 16 kHz -> (N, 512)."""
    assert bundle.audio_encoder is not None
    return torch.cat([bundle.audio_encoder(part, RATE).cpu() for part in waveforms.split(AT_ONCE)])


def listen(yamnet: Ear, waveforms: Tensor) -> np.ndarray:
    """(N, S) at 16 kHz -> YAMNet's mean class scores, (N, 521)."""
    return yamnet(waveforms.cpu()).embeddings.double().mean(dim=1).numpy()


def hear_generated(
    model: EchoFrame, held_out: HeldOut, seed: int, options: SampleOptions, work: Path, yamnet: Ear
) -> list[Heard]:
    """One sound for each held-out recording, generated from its embedding; what was heard before is read again."""
    folder = work / "measured" / f"{model.identity.sha256[:12]}_{options.steps}_{options.guidance}_{options.scheduler}"
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{row}_{seed}_two_ears.npz" for row in held_out.rows]
    missing = [n for n, path in enumerate(paths) if not path.exists()]
    for first in range(0, len(missing), AT_ONCE):
        part = missing[first : first + AT_ONCE]
        sounds = model.generator.generate(
            held_out.embeddings[part],
            duration_s=SCENE_S,
            seeds=[1_000_000 * seed + held_out.rows[n] for n in part],
            options=options,
        )
        scores = listen(yamnet, sounds)
        for n, sound, embedding, heard in zip(part, sounds, embed(model, sounds), scores, strict=True):
            _keep(paths[n], embedding, heard, *count(fade_ends(sound[None].cpu(), RATE)[0]))
        print(f"measure: seed {seed}, {first + len(part)}/{len(missing)}", file=sys.stderr, flush=True)
    return [_read(path) for path in paths]


def _keep(
    path: Path, embedding: Tensor, scores: np.ndarray, statistics: Statistics, floor: NoiseFloor, click: EdgeClick
) -> None:
    text = json.dumps({"statistics": statistics, "floor": asdict(floor), "click": asdict(click)})
    with atomic_files([path]) as (partial,), partial.open("wb") as file:
        np.savez(file, embedding=embedding.numpy(), scores=scores, counted=np.array(text))


def _read(path: Path) -> Heard:
    with np.load(path) as kept:
        counted = json.loads(str(kept["counted"]))
        return Heard(
            embedding=torch.from_numpy(kept["embedding"]),
            scores=kept["scores"],
            statistics=counted["statistics"],
            floor=NoiseFloor(**counted["floor"]),
            click=EdgeClick(**counted["click"]),
        )
