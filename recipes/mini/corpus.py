"""Labelled sounds become 10.24-s scenes at 16 kHz, which the codec and the texture learn from.

Reads manifests (file, label, recording, source, licence, duration_s, split). Writes into WORK/corpus:
waves.npy (int16, all recordings end to end), waves.json (where each starts), scenes.npy (N, 163840) int16,
scenes.json (label, split and recording of each, and whether augment.py varied it).
"""

import csv
import json
from pathlib import Path

import numpy as np

from augment import AMBIENCE_SHARE, RATE, add_ambience, vary
from echoframe.media.audio import read_audio
from stage import CorpusConfig, arguments

SCENE = 163_840  # samples: 10.24 s
PEAK = 0.5  # of full scale, as AudioLDM normalises its training audio
# what may stand quietly behind another sound
AMBIENCES = {"wind noise", "people crowd", "driving, traffic", "church ambience", "stream burbling", "raining"}


def normalise(samples: np.ndarray) -> np.ndarray:
    """Mean-free float32 with a peak of 0.5; silence stays silence."""
    samples = samples - samples.mean()
    peak = np.abs(samples).max()
    return (samples * (PEAK / peak) if peak > 1e-4 else samples).astype(np.float32)


def read_recordings(manifests: list[Path], out: Path) -> list[dict]:
    """All recordings as int16 at 16 kHz in one file; returns (and writes) where each is."""
    if (out / "waves.json").exists():
        return json.loads((out / "waves.json").read_text())
    rows, start, chunks = [], 0, []
    for manifest in manifests:
        with manifest.open(newline="") as lines:
            for row in csv.DictReader(lines):
                waveform, _ = read_audio(manifest.parent / row["file"], sample_rate=RATE)
                samples = (normalise(waveform[0].numpy()) * 32767).astype(np.int16)
                chunks.append(samples)
                rows.append({k: row[k] for k in ("label", "recording", "source", "split")})
                rows[-1] |= {"start": start, "length": len(samples)}
                start += len(samples)
    np.save(out / "waves.npy", np.concatenate(chunks))
    (out / "waves.json").write_text(json.dumps(rows))
    return rows


def make_scene(samples: np.ndarray, rng: np.random.Generator, *, varied: bool) -> np.ndarray:
    """10.24 s of one recording: a random cut of a long one; a short one is repeated with pauses of up to a second."""
    if varied:
        samples = vary(samples, rng)
    if len(samples) >= SCENE:
        first = rng.integers(0, len(samples) - SCENE + 1) if varied else 0
        return normalise(fade(samples[first : first + SCENE]))
    scene = np.zeros(SCENE, np.float32)
    samples = fade(samples)
    place = int(rng.integers(0, RATE // 4))
    while place < SCENE:
        piece = samples[: SCENE - place]
        scene[place : place + len(piece)] += piece
        pause = rng.uniform(0.05, 1.0) if len(samples) < 5 * RATE else 0.0
        place += len(samples) + int(pause * RATE)
    return normalise(fade(scene))


def fade(samples: np.ndarray) -> np.ndarray:
    """10 ms in and out, so that a cut does not click."""
    n = min(RATE // 100, len(samples) // 4)
    ramp = np.ones(len(samples), np.float32)
    ramp[:n], ramp[len(samples) - n :] = np.linspace(0, 1, n), np.linspace(1, 0, n)
    return samples * ramp


def plan_scenes(rows: list[dict], config: CorpusConfig) -> list[tuple[int, bool]]:
    """(recording, varied) of every scene: each train recording in turn until the label has its number."""
    plan: list[tuple[int, bool]] = []
    for label in sorted({row["label"] for row in rows}):
        train = [i for i, row in enumerate(rows) if row["label"] == label and row["split"] == "train"]
        wanted = min(max(len(train), config.min_items), config.max_items)
        order = np.random.default_rng(config.seed).permutation(train)
        plan += [(int(order[i % len(order)]), i >= len(order)) for i in range(wanted)]
    held_out = [i for i, row in enumerate(rows) if row["split"] != "train"]
    return plan + [(i, n > 0) for i in held_out for n in range(config.held_out_items)]


def main() -> None:
    config, work, args = arguments(__doc__ or "")
    out = work / "corpus"
    out.mkdir(exist_ok=True)
    rows = read_recordings(args.manifest, out)
    waves = np.load(out / "waves.npy", mmap_mode="r")
    print(f"corpus: {len(rows)} recordings, {len(waves) / RATE / 3600:.2f} h", flush=True)
    plan = plan_scenes(rows, config.corpus)
    scenes = np.lib.format.open_memmap(out / "scenes.npy", "w+", np.int16, (len(plan), SCENE))

    def recording(i: int) -> np.ndarray:
        return waves[rows[i]["start"] : rows[i]["start"] + rows[i]["length"]].astype(np.float32) / 32767

    ambiences = [i for i, row in enumerate(rows) if row["split"] == "train" and row["label"] in AMBIENCES]
    for n, (i, varied) in enumerate(plan):
        rng = np.random.default_rng((config.corpus.seed, n))
        scene = make_scene(recording(i), rng, varied=varied)
        if varied and ambiences and rng.uniform() < AMBIENCE_SHARE:
            scene = normalise(add_ambience(scene, recording(int(rng.choice(ambiences))), rng))
        scenes[n] = (scene * 32767).astype(np.int16)
    kept = ("label", "split", "recording")
    index = [{key: rows[i][key] for key in kept} | {"varied": varied} for i, varied in plan]
    (out / "scenes.json").write_text(json.dumps(index))
    print(f"corpus: {len(plan)} scenes", flush=True)


if __name__ == "__main__":
    main()
