"""What a sound by AudioLDM-S costs in CPU seconds, in this checkout and in another: full size, random weights.

    git worktree add ../then f845f3a
    PYTHONPATH=src:tests python benchmarks/audioldm.py --against ../then

Models in the layout of the hub's cache (CLIP ViT-L/14, CLAP, AudioLDM-S; 4 GB, in a temporary folder) make the sound of a
film of ten seconds and that of a still image, with the default steps and guidance. Each sound is a process of its own, and
the checkouts take turns. Each makes one sound before, with one step: what a checkout keeps of the models, it has kept by
then, and that first run is shown by itself. Fails where the two differ in steps, guidance or samples.

The UNet's config gives its heads as a list, which both readings of the published one take as it stands, and the vocoder's
weights make a sound that can be heard: otherwise outputs would differ for reasons that are not speed. For the same reason
noise comes from the seed alone, as it did in 0.4.0. Samples may differ in their last bits, as a still's equal frames are
encoded one by one or together.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av
import numpy as np
import soundfile
import torch

from echoframe.bundles.hub_models import HUB_MODELS
from echoframe.bundles.labels import vggsound_labels
from echoframe.mappers.zero_shot import HEARD_AS, SEEN_AS
from echoframe.pretrained import quiet
from full_size import write_audioldm_s
from full_size_encoders import write_clap, write_clip_large
from tiny_bundles import COMMIT, lay_in_cache, share_text_tower, write_fake_hub

MODEL, DURATION_S, FRAME_RATE = "audioldm-s", 10, 25
HERE = Path(__file__).resolve().parents[1]
ALIKE = 1e-3  # of the peak, at most: float32's rounding, grown over the steps


@dataclass
class Run:
    """One sound. parts: CPU seconds by part; seconds: of the whole process, as the system counts them."""

    seconds: float
    wall_s: float
    parts: dict[str, float]
    samples: np.ndarray
    settings: dict[str, Any]


@dataclass
class Checkout:
    name: str
    path: Path
    first: Run | None = None
    runs: dict[str, list[Run]] = field(default_factory=dict)


def write_models(cache: Path, *, tiny: bool) -> None:
    """The hub's cache as after pulling `MODEL`."""
    if tiny:
        with quiet():
            write_fake_hub(cache, MODEL)
        return
    captions = [form.format(label) for form in (SEEN_AS, HEARD_AS) for label, _ in vggsound_labels()]
    words = [*dict.fromkeys(word for caption in captions for word in caption.replace(",", " ").split())]
    made = cache / "made"
    with quiet():
        torch.manual_seed(0)
        write_clip_large(made / "visual_encoder", words)
        write_clap(made / "audio_encoder", words)
        write_audioldm_s(made / "generator")
        (made / "generator" / "tokenizer").mkdir()
        share_text_tower(made / "audio_encoder", made / "generator")
    for part, repo in HUB_MODELS[MODEL].repos.items():
        lay_in_cache(made / part, cache, repo_id=repo.id, commit=repo.revision if repo.revision != "main" else COMMIT)
    shutil.rmtree(made)


def write_clips(folder: Path) -> dict[str, Path]:
    """A film whose every frame differs from the one before, and its first frame as a photograph."""
    random = np.random.default_rng(0)
    noise = random.integers(0, 256, (18, 32, 3), np.uint8).repeat(20, axis=0).repeat(20, axis=1)
    with av.open(str(folder / "film.mp4"), "w") as file:
        stream = file.add_stream("libx264", FRAME_RATE, options={"preset": "ultrafast", "crf": "18"})
        stream.width, stream.height, stream.pix_fmt = 640, 360, "yuv420p"
        for i in range(DURATION_S * FRAME_RATE):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, 2 * i, axis=1), format="rgb24")))
        file.mux(stream.encode(None))
    with av.open(str(folder / "still.png"), "w", format="image2") as file:
        stream = file.add_stream("png", 1)
        stream.width, stream.height, stream.pix_fmt = 640, 360, "rgb24"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(noise, format="rgb24")))
        file.mux(stream.encode(None))
    return {"film": folder / "film.mp4", "still": folder / "still.png"}


def generate(checkout: Path, clip: Path, cache: Path, *options: str) -> Run:
    """One `echoframe generate` of a checkout, in a process of its own."""
    with tempfile.TemporaryDirectory() as out:
        parts = Path(out) / "parts.json"
        command = [sys.executable, HERE / "benchmarks" / "timed_generate.py", parts, clip, "-o", Path(out) / "made"]
        command += ["--model", MODEL, "--device", "cpu", "--no-mux", *options]
        (Path(out) / "made").mkdir()
        settled = {"PYTHONPATH": str(checkout / "src"), "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "1"}
        began = os.times()
        with (Path(out) / "log").open("w+") as log:
            code = subprocess.run(
                [str(each) for each in command], env=os.environ | settled, stdout=log, stderr=subprocess.STDOUT
            ).returncode
            ended = os.times()
            log.seek(0)
            if code:
                raise SystemExit(f"{checkout}: {clip.name}: exit code {code}\n{log.read()}")
        (sound,) = (Path(out) / "made").glob("*.wav")
        (record,) = (Path(out) / "made").glob("*.json")
        samples, _ = soundfile.read(sound, dtype="float32")
        return Run(
            seconds=ended.children_user + ended.children_system - began.children_user - began.children_system,
            wall_s=ended.elapsed - began.elapsed,
            parts=json.loads(parts.read_text()),
            samples=samples,
            settings=json.loads(record.read_text())["settings"],
        )


def check_alike(one: Run, other: Run, clip: str) -> str:
    """One line on what is the same in both; exits if steps, guidance, scheduler or samples are not."""
    asked = [{name: run.settings[name] for name in ("steps", "guidance", "scheduler")} for run in (one, other)]
    if asked[0] != asked[1]:
        raise SystemExit(f"{clip}: {asked[0]} here, {asked[1]} there")
    apart = float(np.abs(one.samples - other.samples).max() / np.abs(other.samples).max())
    if not apart <= ALIKE:
        raise SystemExit(f"{clip}: samples differ by {apart:.1e} of the peak, expected at most {ALIKE:.0e}")
    return (
        ", ".join(f"{name} {value}" for name, value in asked[0].items())
        + f"; samples differ by {apart:.1e} of the peak"
    )


def row(title: str, runs: list[Run]) -> str:
    seconds = {name: statistics.median(run.parts.get(name, 0.0) for run in runs) for name in runs[0].parts}
    told = ", ".join(f"{name} {value:.1f}" for name, value in seconds.items())
    whole, wall = (statistics.median(getattr(run, what) for run in runs) for what in ("seconds", "wall_s"))
    return f"  {title:8} {whole:7.1f} CPU s, {wall:7.1f} s in all: {told}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", type=Path, help="the root of another checkout")
    parser.add_argument("--rounds", type=int, default=1, help="sounds of each clip and checkout; medians are shown")
    parser.add_argument("--clips", nargs="+", choices=("film", "still"), default=["film", "still"])
    parser.add_argument("--tiny", action="store_true", help="tiny networks: shows that it works, not what it costs")
    arguments = parser.parse_args()
    checkouts = [Checkout("here", HERE)]
    checkouts += [Checkout("against", arguments.against.resolve())] if arguments.against else []
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        clips = write_clips(cache)
        write_models(cache, tiny=arguments.tiny)
        print(f"{torch.get_num_threads()} threads, torch {torch.__version__}")
        print("the first run, one step:")
        for checkout in checkouts:
            checkout.first = generate(checkout.path, clips["still"], cache, "--steps", "1", "--duration", "1")
            print(row(checkout.name, [checkout.first]), flush=True)
        for n in range(arguments.rounds):
            for clip in arguments.clips:
                for checkout in checkouts[:: 1 if n % 2 == 0 else -1]:
                    checkout.runs.setdefault(clip, []).append(generate(checkout.path, clips[clip], cache))
        for clip in arguments.clips:
            print(f"{clip}, {DURATION_S} s of sound:")
            for checkout in checkouts:
                print(row(checkout.name, checkout.runs[clip]))
            if len(checkouts) == 2:
                ours, theirs = (checkout.runs[clip] for checkout in checkouts)
                print(f"  {check_alike(ours[0], theirs[0], clip)}")
                ratio = statistics.median(r.seconds for r in ours) / statistics.median(r.seconds for r in theirs)
                print(f"  ratio of CPU seconds: {ratio:.3f}", flush=True)


if __name__ == "__main__":
    main()
