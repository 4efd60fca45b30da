"""What `echoframe extract` costs: beside the bare encoders, beside OpenCV's decoding, and with the number of clips.

    python benchmarks/extract.py [--clips 12] [--many 100 1000] [--only encoders | decoding | many]

Three tables. *encoders*: clips a second of the whole extraction, against the same encoders on clips that are decoded
and in memory, for mini and for CLIP ViT-B/32 with random weights; the first clips, until all processes run, do not
count. *decoding*: frames and sound of a clip, against OpenCV reading every frame. *many*: seconds a clip and the most
memory of all processes together, for growing numbers of small clips through tiny encoders: what is left is what each
clip costs beside decoding and encoding. For the full table: --many 100 1000 10000. Linux only (memory is read in /proc).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from frame_sampling import opencv
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from echoframe.bundles.bundle import EMBEDDED
from echoframe.bundles.manifest import Manifest, Part, Space, read_manifest, with_files, write_manifest
from echoframe.data.decode import read_clip
from echoframe.data.encode import ClipEncoder, EncoderChoice, short_side_of
from echoframe.data.extract import extract
from echoframe.encoders.aisfx import AisfxConfig, AisfxNetwork
from echoframe.spec import ClipSpec
from echoframe.weights import save_part, write_json

PREPROCESSING = {
    "crop_size": 224,
    "size": 224,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}


def write_clip(path: Path, *, size: tuple[int, int] = (640, 360), seconds: int = 10, rate: int = 30) -> Path:
    """A film with sound, H.264 and AAC, as YouTube's 360 lines: moving gradients under grain, and noise."""
    width, height = size
    rng = np.random.default_rng(0)
    grain = rng.integers(0, 40, (height, width, 3), dtype=np.uint8)
    y, x = np.mgrid[:height, :width]
    with av.open(str(path), "w") as container:
        picture = container.add_stream("libx264", rate=rate, options={"crf": "23", "preset": "veryfast"})
        picture.width, picture.height, picture.pix_fmt = width, height, "yuv420p"
        sound = container.add_stream("aac", rate=44_100)
        sound.layout = "stereo"
        for i in range(seconds * rate):
            wave = (np.sin((x + 4 * i) / 60) * np.cos((y - 3 * i) / 45) * 90 + 110).astype(np.uint8)
            image = np.stack([wave, np.roll(wave, 3 * i, axis=1), np.roll(wave, 2 * i, axis=0)], axis=-1)
            frame = av.VideoFrame.from_ndarray(image + np.roll(grain, 5 * i, axis=1), format="rgb24")
            frame.pts, frame.time_base = i, Fraction(1, rate)
            container.mux(picture.encode(frame))
            samples = rng.uniform(-0.3, 0.3, (2, 44_100 // rate)).astype(np.float32)
            heard = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            heard.sample_rate, heard.pts, heard.time_base = 44_100, i * (44_100 // rate), Fraction(1, 44_100)
            container.mux(sound.encode(heard))
        container.mux(picture.encode(None) + sound.encode(None))
    return path


def copies(clip: Path, folder: Path, n: int) -> Path:
    """A folder with the clip `n` times, under as many names."""
    folder.mkdir()
    for i in range(n):
        os.link(clip, folder / f"clip{i:06d}.mp4")
    return folder


def write_clip_encoder(folder: Path, config: CLIPVisionConfig) -> None:
    """A CLIP image encoder with random weights, as it lies on the hub."""
    CLIPVisionModelWithProjection(config).eval().save_pretrained(folder)
    size = config.image_size
    write_json(folder / "preprocessor_config.json", PREPROCESSING | {"crop_size": size, "size": size})


def write_encoders(folder: Path, *, tiny: bool = False) -> Path:
    """Two encoders and what says so: CLIP ViT-B/32 with mini's ears, or two tiny ones for small clips."""
    if tiny:
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
        write_clip_encoder(
            folder / "visual_encoder", CLIPVisionConfig(**sizes, image_size=32, patch_size=8, projection_dim=32)
        )
        tensors = {
            f"network.{name}": weight for name, weight in AisfxNetwork(AisfxConfig(width=4)).state_dict().items()
        }
        save_part(folder / "audio_encoder", {"kind": "aisfx", "width": 4}, tensors | {"mean": torch.zeros(32)})
        spec, dims = ClipSpec(duration_s=1.0, n_frames=8), (32, 32)
    else:
        write_clip_encoder(folder / "visual_encoder", CLIPVisionConfig(projection_dim=512, patch_size=32))
        shutil.copytree(EMBEDDED["mini"] / "audio_encoder", folder / "audio_encoder")
        spec, dims = read_manifest(EMBEDDED["mini"]).clip, (512, 512)
    parts = {
        "visual_encoder": Part(kind="clip", licence="CC0-1.0", gives=Space(name="random", dim=dims[0])),
        "audio_encoder": Part(kind="aisfx", licence="CC-BY-4.0", gives=Space(name="aisfx", dim=dims[1])),
    }
    manifest = Manifest(name="random", version="0", sample_rate=16_000, parts=parts, clip=spec)
    write_manifest(folder, with_files(manifest, folder))
    return folder


def bare_rate(model: str | Path, clip: Path, n: int) -> float:
    """Clips a second of the encoders alone, in this process, on a decoded clip."""
    choice = EncoderChoice(model=model)
    located, encode = choice.find(), ClipEncoder(choice)
    side = short_side_of(located.folders["visual_encoder"])
    decoded = read_clip(clip, located.manifest.clip, short_side=side)
    encode(decoded)
    began = time.perf_counter()
    for _ in range(n):
        encode(decoded)
    return n / (time.perf_counter() - began)


def extraction_rate(model: str | Path, source: Path, out: Path, n_first: int) -> float:
    """Clips a second of the whole extraction, after the first `n_first`."""
    times: list[float] = []
    extract(source, out, model=model, progress=lambda *_: times.append(time.perf_counter()))
    return (len(times) - n_first) / (times[-1] - times[n_first - 1])


def compare_encoders(folder: Path, n: int) -> None:
    clip = write_clip(folder / "clip.mp4")
    first = max(n // 4, 1)
    source = copies(clip, folder / "clips", n + first)
    print("\n| encoders | bare, clips/s | extraction, clips/s | ratio | aim |\n|---|---|---|---|---|")
    for name, model in (("mini", "mini"), ("CLIP ViT-B/32, random", write_encoders(folder / "clip-b-32"))):
        bare = bare_rate(model, clip, max(n // 2, 2))
        whole = extraction_rate(model, source, folder / f"out-{name[:4]}", first)
        print(f"| {name} | {bare:.2f} | {whole:.2f} | {whole / bare:.2f} | 0.90 |", flush=True)


def best_s(work: Callable[[], object], rounds: int) -> float:
    """Wall time of the best round in seconds."""
    times = []
    for _ in range(rounds):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times)


def compare_decoding(folder: Path, rounds: int) -> None:
    spec = ClipSpec()
    print("\n| clip | frames and sound, s | OpenCV, every frame, s | times faster | aim |\n|---|---|---|---|---|")
    for size in ((640, 360), (1280, 720)):
        clip = write_clip(folder / f"{size[1]}.mp4", size=size)
        ours = best_s(lambda clip=clip: read_clip(clip, spec, short_side=224), rounds)
        try:
            theirs = best_s(lambda clip=clip: opencv(clip), rounds)
        except ImportError:
            print("OpenCV: not installed, left out (pip install 'echoframe[bench]')")
            return
        print(f"| 10 s, {size[1]} lines | {ours:.3f} | {theirs:.3f} | {theirs / ours:.1f} | 3 |", flush=True)


def tree_bytes(root: int) -> int:
    """Memory of a process and all its descendants; what they share counts once."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(path.parent.name))
        except OSError:
            continue
    todo, total = [root], 0
    while todo:
        process = todo.pop()
        todo += children.get(process, [])
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def measure_one(source: Path, out: Path, model: Path) -> None:
    """Prints JSON: seconds from the first clip to the last, and the most memory of all processes."""
    times: list[float] = []
    most, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(1.0):
            most[0] = max(most[0], tree_bytes(os.getpid()))

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        result = extract(source, out, model=model, progress=lambda *_: times.append(time.perf_counter()))
    finally:
        over.set()
        watcher.join()
    assert result.n_done == result.n_clips, result
    print(json.dumps({"seconds": times[-1] - times[0], "clips": len(times) - 1, "bytes": most[0]}))


def compare_many(folder: Path, numbers: Sequence[int]) -> None:
    clip = write_clip(folder / "small.mp4", size=(64, 48), seconds=1, rate=25)
    model = write_encoders(folder / "tiny", tiny=True)
    print("\n| small clips | ms a clip | most memory, GB |\n|---|---|---|")
    for n in numbers:
        source = copies(clip, folder / f"clips-{n}", n)
        command = [sys.executable, __file__, "--measure", str(source), str(folder / f"out-{n}"), str(model)]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        found = json.loads(said.splitlines()[-1])
        print(f"| {n} | {1000 * found['seconds'] / found['clips']:.1f} | {found['bytes'] / 1e9:.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=12, help="10-s clips through each pair of encoders [12]")
    parser.add_argument("--many", type=int, nargs="+", default=[100, 1000], help="numbers of small clips [100 1000]")
    parser.add_argument("--rounds", type=int, default=3, help="of decoding [3]")
    parser.add_argument("--only", choices=("encoders", "decoding", "many"), help="one table [all]")
    parser.add_argument("--measure", nargs=3, type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        measure_one(*arguments.measure)
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if arguments.only in (None, "decoding"):
            compare_decoding(folder, arguments.rounds)
        if arguments.only in (None, "encoders"):
            compare_encoders(folder, arguments.clips)
        if arguments.only in (None, "many"):
            compare_many(folder, arguments.many)


if __name__ == "__main__":
    main()
