"""Frame sampling: read_frames against OpenCV's read-everything, decord and torchcodec, whichever are installed.

Usage: python benchmarks/frame_sampling.py [clip.mp4] [--rounds 5]

Each gives the same 64 frames of the same clip, 224 pixels on the short side; the rounds of all of them take turns in
one process, and the best round of each counts. Prints a Markdown table; a ratio below 1 is faster than OpenCV.
"""

import argparse
import importlib.util
import tempfile
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from echoframe.media.video import read_frames
from echoframe.spec import ClipSpec

SPEC = ClipSpec()
SHORT_SIDE = 224  # px
Sampler = Callable[[Path], np.ndarray]


def echoframe(path: Path) -> np.ndarray:
    return read_frames(path, SPEC, short_side=SHORT_SIDE).images


def opencv(path: Path) -> np.ndarray:
    """What many scripts do: every frame decoded and converted at full size, then indexed and scaled."""
    import cv2

    capture, frames = cv2.VideoCapture(str(path)), []
    rate = capture.get(cv2.CAP_PROP_FPS)
    while (read := capture.read())[0]:
        frames.append(cv2.cvtColor(read[1], cv2.COLOR_BGR2RGB))
    height, width = frames[0].shape[:2]
    size = (round(width * SHORT_SIDE / min(height, width)), round(height * SHORT_SIDE / min(height, width)))
    wanted = [frames[min(int(time_s * rate), len(frames) - 1)] for time_s in SPEC.times_s()]
    return np.stack([cv2.resize(frame, size, interpolation=cv2.INTER_AREA) for frame in wanted])


def decord(path: Path) -> np.ndarray:
    import decord as library

    with av.open(str(path)) as container:
        width, height = container.streams.video[0].width, container.streams.video[0].height
    scale = SHORT_SIDE / min(width, height)
    reader = library.VideoReader(str(path), width=round(width * scale), height=round(height * scale))
    rate = reader.get_avg_fps()
    return reader.get_batch([min(int(t * rate), len(reader) - 1) for t in SPEC.times_s()]).asnumpy()


def torchcodec(path: Path) -> np.ndarray:
    import torch
    from torchcodec.decoders import VideoDecoder

    decoder = VideoDecoder(str(path), dimension_order="NCHW", num_ffmpeg_threads=0)
    frames = decoder.get_frames_played_at(list(SPEC.times_s())).data  # (T, 3, H, W)
    scale = SHORT_SIDE / min(frames.shape[-2:])
    size = [round(side * scale) for side in frames.shape[-2:]]
    small = torch.nn.functional.interpolate(frames.float(), size, mode="area")
    return small.round().byte().permute(0, 2, 3, 1).numpy()


def write_clip(path: Path) -> None:
    """10 s of 720p at 30 fps, H.264 with B-frames: moving gradients and noise, so that there is something to decode."""
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 40, (720, 1280, 3), dtype=np.uint8)
    y, x = np.mgrid[:720, :1280]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30, options={"crf": "23", "preset": "veryfast"})
        stream.width, stream.height, stream.pix_fmt = 1280, 720, "yuv420p"
        for i in range(300):
            wave = (np.sin((x + 4 * i) / 60) * np.cos((y - 3 * i) / 45) * 90 + 110).astype(np.uint8)
            image = np.stack([wave, np.roll(wave, 3 * i, axis=1), np.roll(wave, 2 * i, axis=0)], axis=-1)
            frame = av.VideoFrame.from_ndarray(image + np.roll(grain, 5 * i, axis=1), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def measure(path: Path, samplers: dict[str, Sampler], rounds: int) -> dict[str, float]:
    """Seconds of the best round of each. All take turns, so that a busy machine is busy for all."""
    best = dict.fromkeys(samplers, float("inf"))
    for _ in range(rounds):
        for name, sampler in samplers.items():
            begin = time.perf_counter()
            sampler(path)
            best[name] = min(best[name], time.perf_counter() - begin)
    return best


def installed(path: Path) -> dict[str, Sampler]:
    """The samplers that run here, checked to give the frames that ours gives; says which do not."""
    found: dict[str, Sampler] = {"EchoFrame": echoframe}
    ours = echoframe(path).astype(np.float32)
    for name, module, sampler in [
        ("OpenCV, read everything", "cv2", opencv),
        ("decord", "decord", decord),
        ("torchcodec", "torchcodec", torchcodec),
    ]:
        if importlib.util.find_spec(module) is None:
            print(f"{name}: not installed, left out")
            continue
        try:
            difference = np.abs(sampler(path).astype(np.float32) - ours).mean()
        except (ImportError, RuntimeError, OSError) as error:
            print(f"{name}: does not run here ({str(error).splitlines()[0]}), left out")
            continue
        print(f"{name}: mean difference to our frames {difference:.2f} grey levels")
        found[name] = sampler
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clip", type=Path, nargs="?", help="a video; by default one is made: 10 s, 720p, 30 fps, H.264")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clip = arguments.clip or Path(folder) / "clip.mp4"
        if arguments.clip is None:
            write_clip(clip)
        seconds = measure(clip, installed(clip), arguments.rounds)
    base = seconds.get("OpenCV, read everything", seconds["EchoFrame"])
    print("\n| sampler | best time (s) | ratio to OpenCV |\n|---|---|---|")
    for name, value in seconds.items():
        print(f"| {name} | {value:.3f} | {value / base:.2f} |")


if __name__ == "__main__":
    main()
