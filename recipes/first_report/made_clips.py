"""Clips for a trial: two seconds of things that strike each other, seen and heard, and two lists of them.

    python made_clips.py OUT

The scenes are those of recipes/timing, which has to be on PYTHONPATH. A film that is there is not made again.
"""

import argparse
import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from clip_lists import write_table
from echoframe.output import atomic_files
from made_films import MadeFilm, make

# what is seen, by VGGSound's label, and the pitch in Hz and the decay in seconds of what is heard
KINDS = {
    "bouncing": ("basketball bounce", 110.0, 0.08),
    "hammering": ("hammering nails", 1800.0, 0.03),
    "stepping": ("people running", 60.0, 0.15),
}
LENGTH_S, RATE, SIZE, FRAME_RATE = 2.0, 16_000, (128, 72), Fraction(12)
SPLITS = ("train", "train", "train", "val", "test", "test")


def sound(struck: list[float], pitch: float, decay_s: float, seed: int) -> np.ndarray:
    """(S,) float32: a struck thing rings where it is struck, over a little noise."""
    random = np.random.default_rng(seed)
    times = np.arange(int(LENGTH_S * RATE)) / RATE
    heard = random.normal(0, 0.003, len(times))
    for start in struck:
        since = np.maximum(times - start, 0)
        ring = np.sin(2 * np.pi * pitch * since) + random.normal(0, 0.3, len(times))
        heard += 0.4 * (times >= start) * np.exp(-since / decay_s) * ring
    return np.clip(heard, -1, 1).astype(np.float32)


def film(made: MadeFilm, heard: np.ndarray) -> bytes:
    """A MOV of H.264 and PCM."""
    held = io.BytesIO()
    with av.open(held, "w", format="mov") as container:
        seen = container.add_stream("libx264", rate=made.frame_rate)
        seen.pix_fmt = "yuv420p"
        seen.options = {"preset": "veryfast"}
        seen.codec_context.thread_count = 1
        seen.width, seen.height = made.size
        listened = container.add_stream("pcm_s16le", rate=RATE, layout="mono")
        for frame in made.frames:
            container.mux(seen.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(seen.encode(None))
        samples = av.AudioFrame.from_ndarray((heard[None] * 32767).astype(np.int16), format="s16", layout="mono")
        samples.sample_rate = RATE
        container.mux(listened.encode(samples))
        container.mux(listened.encode(None))
    return held.getvalue()


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    out = parser.parse_args(words).out
    out.mkdir(parents=True, exist_ok=True)
    learned, judged = [], []
    for kind, (label, pitch, decay_s) in KINDS.items():
        for seed, split in enumerate(SPLITS):
            path = out / f"{kind}_{seed}.mov"
            (judged if split == "test" else learned).append((path.name, label, split))
            if path.exists():
                continue
            made = make(kind, "plain", seed, length_s=LENGTH_S, size=SIZE, rates=(FRAME_RATE,))
            with atomic_files([path]) as (partial,):
                partial.write_bytes(film(made, sound(made.struck, pitch, decay_s, seed)))
    write_table(out / "train.csv", learned)
    write_table(out / "test.csv", judged)


if __name__ == "__main__":
    main()
