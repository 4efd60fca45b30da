"""The mel codec, fitted to the train scenes: nothing is trained, one eigendecomposition gives it.

Reads WORK/corpus. Writes WORK/codec/final.
"""

import json

import numpy as np
import torch

from echoframe.generators.mel_codec import MelCodec, fit_codec, save_codec
from echoframe.generators.mel_codec import MelCodecConfig as SavedConfig
from echoframe.media.audio import log_mel
from echoframe.spec import MINI_MEL
from stage import arguments

FIT_EVERY = 8  # a patch has 512 numbers and a scene 128 patches: an eighth of the scenes is plenty
DECIBELS = MINI_MEL.scale * 8.686  # of one unit of the normalised natural log-mel


def mels_of(scenes: np.ndarray, rows: range | list[int]) -> torch.Tensor:
    """(N, 1024, 64): the log-mels of some scenes."""
    chunks = [rows[n : n + 16] for n in range(0, len(rows), 16)]
    waves = (torch.from_numpy(scenes[list(chunk)].astype(np.float32) / 32767) for chunk in chunks)
    return torch.cat([log_mel(wave, MINI_MEL) for wave in waves])


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config = recipe.codec
    torch.set_num_threads(config.threads)
    scenes = np.load(work / "corpus" / "scenes.npy", mmap_mode="r")
    index = json.loads((work / "corpus" / "scenes.json").read_text())
    train = [n for n, row in enumerate(index) if row["split"] == "train"]
    held_out = [n for n, row in enumerate(index) if row["split"] == "val"][:64]
    codec = fit_codec(
        mels_of(scenes, train[::FIT_EVERY]),
        SavedConfig(n_mels=MINI_MEL.n_mels, frames=config.frames, bands=config.bands, components=config.components),
    )
    check(codec, mels_of(scenes, held_out), config.max_error_db)
    save_codec(codec, work / "codec" / "final")


def check(codec: MelCodec, mels: torch.Tensor, max_error_db: float) -> None:
    """Prints the mean absolute error on held-out scenes; refuses a codec that loses too much."""
    tokens = codec.encode(mels)
    error = (codec.decode(tokens) - mels).abs().mean().item() * DECIBELS
    print(f"codec: held-out mel error {error:.2f} dB, token std {tokens.std().item():.3f}", flush=True)
    if error > max_error_db:
        raise SystemExit(f"codec: {error:.2f} dB lost; keep more components")


if __name__ == "__main__":
    main()
