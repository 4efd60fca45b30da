"""How small a patch's description may be: mel error and label accuracy of held-out recordings for several codecs.

    python codec_sizes.py --limit 48        # needs WORK/corpus and an audio encoder in WORK/audio_encoder

Each codec is fitted to the train scenes, and the held-out recordings go through it and Griffin-Lim; `all` is the true
log-mel through Griffin-Lim alone.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from codec import DECIBELS, FIT_EVERY, mels_of
from echoframe.encoders.aisfx import AisfxEncoder
from echoframe.generators.mel_codec import MelCodecConfig, fit_codec
from echoframe.media.phase import griffin_lim
from echoframe.spec import MINI_MEL
from held_out import HeldOut
from measure import HERE, line, share, table

SIZES = ((8, 8, 8), (8, 8, 12), (8, 8, 16), (16, 8, 8), (16, 8, 16), (16, 8, 24), (8, 16, 16))  # frames, bands, kept


@torch.no_grad()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=HERE / "work")
    parser.add_argument("--limit", type=int, default=48)
    args = parser.parse_args()
    held_out = HeldOut(args.work, args.limit)
    ears = AisfxEncoder.from_directory(args.work / "audio_encoder")
    ears.mean.copy_(held_out.mean)
    scenes = np.load(args.work / "corpus" / "scenes.npy", mmap_mode="r")
    index = json.loads((args.work / "corpus" / "scenes.json").read_text())
    train = mels_of(scenes, [n for n, row in enumerate(index) if row["split"] == "train"][::FIT_EVERY])
    mels = mels_of(scenes, held_out.rows)
    ceiling = held_out.judge.hits(held_out.embeddings, held_out.labels)
    columns = ("numbers kept of", "mel error dB", "top-1 (of real)", "top-5 (of real)", "cosine to the real one")
    table(f"patch, {len(mels)} held-out recordings", columns)
    line("real", "", 0.0, ceiling[0].mean(), ceiling[1].mean(), 1.0)
    for frames, bands, kept in ((1, 1, 1), *SIZES):
        codec = fit_codec(train, MelCodecConfig(n_mels=64, frames=frames, bands=bands, components=kept))
        coded = codec.decode(codec.encode(mels))
        sounds = torch.cat([griffin_lim(part, MINI_MEL, iterations=32) for part in coded.split(4)])
        vectors = torch.cat([ears(part, MINI_MEL.sample_rate) for part in sounds.split(8)])
        top1, top5 = held_out.judge.hits(vectors, held_out.labels)
        cosine = functional.cosine_similarity(vectors, held_out.embeddings).mean().item()
        error = (coded - mels).abs().mean().item() * DECIBELS
        name = "all" if frames == 1 else f"{frames} frames x {bands} bands"
        line(name, f"{kept} of {frames * bands}", error, share(top1, ceiling[0]), share(top5, ceiling[1]), cosine)


if __name__ == "__main__":
    main()
