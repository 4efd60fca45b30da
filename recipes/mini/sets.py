"""Folders of held-out recordings and of what mini makes of them, for `echoframe evaluate` to compare as sets and in pairs.

    python sets.py MANIFEST OUT [--bundle mini]
    echoframe evaluate --reference OUT/real --generated made=OUT/made codec=OUT/codec others=OUT/others --clips OUT/clips.csv

MANIFEST lists sounds (file, label, recording, split; paths from its folder). Into OUT go `real`, the test recordings,
`others`, for each another recording of its label, from the train split, each once where there are enough; `codec`,
what mini's codec and Griffin-Lim leave of it; `made`, ten seconds generated from its embedding. A sound that is there
already is left.
"""

import argparse
import csv
import random
import sys
from pathlib import Path

import soundfile
import torch

from echoframe import load
from echoframe.evaluation.sounds import Excerpt, Listening, listen
from echoframe.media.audio import fade_ends, log_mel, pad_or_trim, resample
from echoframe.output import atomic_files
from echoframe.spec import MINI_MEL

SCENE_S = 10.24
RATE = MINI_MEL.sample_rate


def write(path: Path, waveform: torch.Tensor, sample_rate: int) -> None:
    with atomic_files([path]) as (partial,):
        soundfile.write(partial, waveform.numpy().T, sample_rate, format="FLAC")


def others_of(rows: list[dict[str, str]], tests: list[dict[str, str]]) -> list[dict[str, str]]:
    """For each test recording one of its label's train recordings, none twice as long as there are more."""
    draw = random.Random(0)  # noqa: S311
    left: dict[str, list[dict[str, str]]] = {}
    found = []
    for row in tests:
        label = row["label"]
        if not left.get(label):
            left[label] = [other for other in rows if other["label"] == label and other["split"] == "train"]
            draw.shuffle(left[label])
        found.append(left[label].pop())
    return found


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--bundle", default="mini")
    args = parser.parse_args()
    with args.manifest.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    model = load(args.bundle)
    tests = [row for row in rows if row["split"] == "test"]
    folders = {name: args.out / name for name in ("real", "others", "codec", "made")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    (args.out / "clips.csv").write_text("".join(f"{n:04d},{row['label']}\n" for n, row in enumerate(tests)))

    def read(row: dict[str, str]) -> Excerpt:
        return listen(args.manifest.parent / row["file"], Listening(clip_s=SCENE_S))

    for n, (row, other) in enumerate(zip(tests, others_of(rows, tests), strict=True)):
        paths = {name: folder / f"{n:04d}.flac" for name, folder in folders.items()}
        if all(path.exists() for path in paths.values()):
            continue
        real, another = read(row), read(other)
        write(paths["others"], another.waveform, another.sample_rate)
        heard = pad_or_trim(resample(real.waveform, real.sample_rate, RATE), round(SCENE_S * RATE))
        tokens = model.generator.codec.encode(log_mel(heard, model.generator.config.mel).to(model.generator.device))
        rebuilt = model.generator.decode(tokens).cpu()[:, : round(real.waveform.shape[1] / real.sample_rate * RATE)]
        write(paths["codec"], rebuilt, RATE)
        aim = model.audio_encoder(real.waveform, real.sample_rate)
        made = model.generator.generate(aim, duration_s=SCENE_S, seeds=[n], options=model.defaults)
        write(paths["made"], fade_ends(made.cpu(), RATE), RATE)
        write(paths["real"], real.waveform, real.sample_rate)
        print(f"sets: {n + 1}/{len(tests)}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
