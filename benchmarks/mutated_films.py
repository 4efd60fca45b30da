"""Broken films: each gives a result or one clear line. No traceback, no hang, no file left behind.

    python benchmarks/mutated_films.py [--films 2000] [--seed 0] [--keep out/mutated]

Makes a few short films, and of them as many broken ones as asked for: cut off, with bits flipped, or with a piece of
another film in the middle. `echoframe generate` runs on each in a worker process that loads the model once and is killed
after 60 s. What fails the check is printed, and kept in the folder that --keep names; the exit code is 1 if any did.
"""

import argparse
import contextlib
import io
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import av
import numpy as np

LONGEST_S = 60
# name: its picture's codec and pixel format, and its sound's codec if it has any
FILMS = {
    "h264.mp4": ("libx264", "yuv420p", "aac"),
    "h264.mkv": ("libx264", "yuv420p", "libopus"),
    "h264.ts": ("libx264", "yuv420p", "aac"),
    "hevc.mov": ("libx265", "yuv420p", "aac"),
    "vp9.webm": ("libvpx-vp9", "yuv420p", "libopus"),
    "mpeg4.avi": ("mpeg4", "yuv420p", None),
    "wmv2.wmv": ("wmv2", "yuv420p", None),
    "flv1.flv": ("flv", "yuv420p", None),
    "moving.gif": ("gif", "gray", None),
}


def make_film(path: Path, codec: str, pix_fmt: str, sound: str | None) -> None:
    """A second of a moving square, with a second of noise."""
    rng = np.random.default_rng(0)
    options = {"x265-params": "log-level=none"} if codec == "libx265" else {}
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25, options=options, width=96, height=64, pix_fmt=pix_fmt)
        audio = container.add_stream(sound, rate=48_000, layout="mono") if sound else None
        if audio:
            noise = rng.normal(0, 0.1, (1, 48_000)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(noise, format="fltp", layout="mono")
            frame.sample_rate = 48_000
            container.mux([*audio.encode(frame), *audio.encode(None)])
        for i in range(25):
            image = rng.integers(0, 60, (64, 96, 3), dtype=np.uint8)
            image[20:40, 2 * i : 2 * i + 20] = 230
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode(None))


def mutated(film: bytes, other: bytes, rng: np.random.Generator) -> tuple[str, bytes]:
    """What was done to `film`, and its bytes then."""
    kind = str(rng.choice(["cut", "flipped", "spliced", "joined"]))
    at = int(rng.integers(1, len(film)))
    if kind == "cut":
        return kind, film[:at]
    if kind == "joined":
        return kind, film[:at] + other[int(rng.integers(0, len(other))) :]
    changed = np.frombuffer(film, dtype=np.uint8).copy()
    if kind == "flipped":
        places = rng.integers(0, len(film), int(rng.integers(1, 60)))
        changed[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
    else:
        piece = np.frombuffer(other, dtype=np.uint8)[: int(rng.integers(1, 2000))]
        piece = piece[: len(film) - at]
        changed[at : at + len(piece)] = piece
    return kind, changed.tobytes()


def serve(pipe: Connection) -> None:
    """Runs the command for each pair of clip and folder that comes through the pipe; answers its code and its words."""
    from echoframe.apps import cli, generate

    generate.load = lru_cache(generate.load)
    while True:
        clip, folder = pipe.recv()
        said = io.StringIO()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
            code = cli.main(["generate", clip, "-o", folder, "--steps", "1"])
        pipe.send((code, said.getvalue()))


class Worker:
    """A process that runs the command, and another one after it where that was killed."""

    def __init__(self) -> None:
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()
        self._is_new = True

    def run(self, clip: Path, folder: Path) -> tuple[int, str]:
        """The command's exit code and what it said; -1 if it hung or its process died."""
        self._pipe.send((str(clip), str(folder)))
        patience_s = LONGEST_S * (5 if self._is_new else 1)  # the first one loads the model
        self._is_new = False
        try:
            if self._pipe.poll(patience_s):
                return self._pipe.recv()
            fault = f"hung for {patience_s} s"
        except EOFError:
            fault = "its process died"
        self.stop()
        self._start()
        return -1, fault

    def stop(self) -> None:
        self._process.kill()
        self._process.join()


def fault_of(code: int, said: str, folder: Path) -> str:
    """What is wrong with the outcome; "" if nothing."""
    lines = said.splitlines()
    made = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if code == -1 or "Traceback" in said or "unexpected" in said:
        return said
    if any(name.startswith(".") for name in made):
        return f"left behind {made}"
    if code == 0:
        whole = any(name.endswith(".wav") for name in made) and any(name.endswith(".json") for name in made)
        return "" if whole else f"code 0, but it made only {made}"
    if code != 2 or len(lines) != 1 or not lines[0].startswith("echoframe: "):
        return f"code {code}, and it said {lines}"
    return f"failed, but left {made}" if made else ""


def outcomes(n_films: int, seed: int, folder: Path) -> Iterator[tuple[str, Path, str, str, float]]:
    """Of each broken film its kind, its path, whether it was made, its fault and how many seconds it took."""
    whole = {}
    for name, how in FILMS.items():
        make_film(folder / name, *how)
        whole[name] = (folder / name).read_bytes()
    worker = Worker()
    try:
        for number in range(n_films):
            rng = np.random.default_rng([seed, number])
            name, other = rng.choice(list(whole), 2)
            kind, content = mutated(whole[name], whole[other], rng)
            clip, out = folder / f"{number}_{kind}_{name}", folder / f"out{number}"
            clip.write_bytes(content)
            began = time.monotonic()
            code, said = worker.run(clip, out)
            fault = fault_of(code, said, out)
            yield kind, clip, "made" if code == 0 else "refused", fault, time.monotonic() - began
            shutil.rmtree(out, ignore_errors=True)
            clip.unlink(missing_ok=True)
    finally:
        worker.stop()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=2000, metavar="N", help="how many broken films to make")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--keep", type=Path, default=Path("out/mutated"), help="where films that fail the check go")
    args = parser.parse_args()
    counts, n_faults, slowest = Counter(), 0, 0.0
    with tempfile.TemporaryDirectory() as folder:
        for kind, clip, outcome, fault, seconds in outcomes(args.films, args.seed, Path(folder)):
            counts[kind, outcome] += 1
            slowest = max(slowest, seconds)
            if fault:
                n_faults += 1
                args.keep.mkdir(parents=True, exist_ok=True)
                shutil.copy(clip, args.keep)
                print(f"{args.keep / clip.name}: {fault}", flush=True)
    print("| broken by | made | refused in one line |\n| --- | --- | --- |")
    for kind in sorted({kind for kind, _ in counts}):
        print(f"| {kind} | {counts[kind, 'made']} | {counts[kind, 'refused']} |")
    print(f"{args.films} films, seed {args.seed}: {n_faults} faults; the slowest took {slowest:.1f} s")
    return 1 if n_faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
