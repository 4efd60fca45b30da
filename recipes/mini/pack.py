"""One folder with all that training the flow needs: no sound files, no codec to run, no encoder to run.

    python pack.py OUT --codec CODEC --manifest MANIFEST... --blocks BLOCKS.npz... [--names label_names.csv]

MANIFEST lists sounds (file, label, recording, source, licence, duration_s, split); BLOCKS holds the aiSFX vectors of
their 2.32-s blocks (`blocks.py` writes it). Into OUT go

    sounds.npz     tokens (T, C) int8, token_starts (N + 1,), scale (C,); blocks (B, D) uint8, block_starts (N + 1,),
                   block_scale; mean (D,), the centre of the audio space; level (C,), unit (C,), floor: what `layout.py`
                   asks of the codec; bands (M, C, C): the tokens of a spectrum that is moved up or down
    sounds.csv     a line a recording: file, label, recording, source, licence, split, steady, may_be_remembered
    codec/         the codec, as the bundle keeps it
    config.json    seconds, counts, the mel spectrogram, the sum of sounds.npz

A recording is stored once; `layout.py` makes scenes of it. Test recordings are left out, and of a label with very much
no more than --label-s seconds a split are taken, the same number of pieces of every recording.
"""

import argparse
import csv
import hashlib
import json
import shutil
import sys
from collections import defaultdict
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from corpus import normalise
from echoframe.generators import layout
from echoframe.generators.mel_codec import MelCodec, load_codec
from echoframe.media.audio import log_mel, read_audio
from echoframe.spec import MINI_MEL, MelSpec
from tables import label_names, read_rows
from token_maps import linear_maps

HERE = Path(__file__).parent
MEL = MINI_MEL
LARGEST = 45_000_000  # bytes of the folder: what one training machine takes
LOUDEST_TOKEN = 127
# beside sound_packages.csv, with whom to name: Debian's packages in the first manifest (GPL-2+), and what a free sound font
# renders (MIT); a source that is none of them teaches and is not stored
REMEMBERED = {
    "FluidR3_GM render": "Frank Wen (FluidR3)",
    "hedgewars-data": "The Hedgewars team",
    "lincity-ng-data": "The LinCity-NG team",
    "torcs-data": "Eric Espie, Christophe Guionneau and others (TORCS)",
    "wesnoth-1.16-data": "The Battle for Wesnoth project",
    "widelands-data": "The Widelands Development Team",
}
COLUMNS = ["file", "label", "recording", "source", "licence", "split", "steady", "may_be_remembered"]


class PackError(Exception):
    """Something that cannot be packed; the text is one line."""


# --- the list ---------------------------------------------------------------------------------------------------------


def read_manifests(paths: list[Path], names: dict[str, str], packages: set[str]) -> list[dict[str, str]]:
    """The rows of all manifests in order, labels made one; `path`, and whether a sound may be remembered, added."""
    rows = []
    for path in paths:
        with path.open(newline="") as lines:
            for row in csv.DictReader(lines):
                label = names.get(row["label"], row["label"])
                free = row["source"] in packages | REMEMBERED.keys()
                rows.append(
                    row | {"label": label, "path": str(path.parent / row["file"]), "may_be_remembered": "ny"[free]}
                )
    return rows


def choose(rows: list[dict], seconds: list[float], most_s: float) -> list[int]:
    """Which rows are packed: train and val, of each label and split at most `most_s` seconds.

    The recordings of a label take turns, piece by piece, those that may be remembered first in each turn.
    """
    pieces: dict[tuple[str, str], dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    once = {row["path"]: n for n, row in enumerate(rows)}
    for n, row in enumerate(rows):
        if row["split"] in ("train", "val") and once[row["path"]] == n:
            pieces[row["label"], row["split"]][row["recording"]].append(n)
    chosen = []
    for by_recording in pieces.values():
        ranked = [
            (turn, rows[n]["may_be_remembered"] != "y", n) for p in by_recording.values() for turn, n in enumerate(p)
        ]
        left = most_s
        for _, _, n in sorted(ranked):
            if left > 0:
                chosen.append(n)
                left -= seconds[n]
    return sorted(chosen)


# --- tokens -----------------------------------------------------------------------------------------------------------


def tokens_of(path: Path, codec: MelCodec, mel: MelSpec) -> np.ndarray:
    """(T, C) float16 tokens of a recording, mean-free with a peak of 0.5; its end is filled up with silence."""
    waveform, _ = read_audio(path, sample_rate=mel.sample_rate)
    samples = normalise(waveform[0].numpy())
    size = mel.hop_length * codec.config.frames
    samples = np.pad(samples, (0, -len(samples) % size))
    return codec.encode(log_mel(torch.from_numpy(samples)[None], mel))[0].numpy().astype(np.float16)


def all_tokens(rows: list[dict], codec: MelCodec, cache: Path) -> list[np.ndarray]:
    """The tokens of every row; parts of 200 recordings are kept in `cache` and read again."""
    cache.mkdir(parents=True, exist_ok=True)
    found: list[np.ndarray] = []
    for first in range(0, len(rows), 200):
        part = rows[first : first + 200]
        key = hashlib.sha256("\n".join(row["path"] for row in part).encode()).hexdigest()[:16]
        path = cache / f"{key}.npz"
        if not path.exists():
            made = [tokens_of(Path(row["path"]), codec, MEL) for row in part]
            starts = np.cumsum([0] + [len(tokens) for tokens in made])
            temporary = path.with_suffix(".tmp.npz")
            np.savez(temporary, tokens=np.concatenate(made), starts=starts)
            temporary.rename(path)
            print(f"pack: tokens of {first + len(part)} of {len(rows)}", flush=True)
        with np.load(path) as held:
            tokens, starts = held["tokens"], held["starts"]
        found += [tokens[a:b] for a, b in zip(starts[:-1], starts[1:], strict=True)]
    return found


def quantise(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(N, C) as int8 and the size of a step of each column, so that the largest number is 127 steps."""
    scale = np.maximum(np.abs(values).max(axis=0).astype(np.float32), 1e-6) / LOUDEST_TOKEN
    return np.round(values.astype(np.float32) / scale).astype(np.int8), scale


def quantise_blocks(blocks: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(B, D), none negative, as the root of the share of each column's largest, in 255 steps: fine where it is small."""
    largest = np.maximum(blocks.max(axis=0).astype(np.float32), 1e-6)
    return np.round(np.sqrt(np.clip(blocks / largest, 0, 1)) * 255).astype(np.uint8), largest


# --- the folder -------------------------------------------------------------------------------------------------------


def read_blocks(paths: list[Path]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """The blocks of every file, and the centre of the space."""
    found: dict[str, np.ndarray] = {}
    mean = np.zeros(0)
    for path in paths:
        before = set(found)
        with np.load(path) as held:
            blocks, starts, mean = held["blocks"], held["starts"], held["mean"]
            for n, name in enumerate(held["files"].tolist()):
                if name in before:
                    raise PackError(f"{path}: {name} has blocks in two files; give every recording once")
                found[name] = blocks[starts[n] : starts[n + 1]]
    return found, mean.astype(np.float32)


def is_steady(row: dict, tokens: np.ndarray, maps: dict[str, np.ndarray], always: set[str], per_db: float) -> bool:
    """steady.txt names labels whose recordings go on: but a single clap is none, however many people clap."""
    level = torch.from_numpy(tokens.astype(np.float32) @ maps["level"])
    named = row["label"] in always and len(tokens) >= layout.STEADY_TOKENS
    return named or layout.is_steady(level, per_db)


def write_pack(
    out: Path, rows: list[dict], tokens: list[np.ndarray], blocks: list[np.ndarray], mean: np.ndarray, codec: Path
) -> None:
    """The folder, whole or not at all."""
    partial = out.with_name(out.name + ".tmp")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shutil.copytree(codec, partial / "codec")
    held = load_codec(codec)
    maps, per_db = linear_maps(held, MEL), 1 / (MEL.scale * 8.686)
    always = set((HERE / "steady.txt").read_text().splitlines())
    for row, made in zip(rows, tokens, strict=True):
        row["steady"] = "ny"[is_steady(row, made, maps, always, per_db)]
    packed, scale = quantise(np.concatenate(tokens))
    vectors, block_scale = quantise_blocks(np.concatenate(blocks))
    arrays = {"tokens": packed, "token_starts": np.cumsum([0] + [len(t) for t in tokens]), "scale": scale}
    arrays |= {"blocks": vectors, "block_starts": np.cumsum([0] + [len(b) for b in blocks])}
    arrays |= {"block_scale": block_scale, "mean": mean} | maps
    arrays["spread"] = np.concatenate(tokens).astype(np.float32).std(axis=0)
    np.savez_compressed(partial / "sounds.npz", **arrays)
    with (partial / "sounds.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    write_config(partial, rows, len(packed), held, per_db)
    size = sum(path.stat().st_size for path in partial.rglob("*"))
    if size > LARGEST:
        raise PackError(f"{out}: {size / 1e6:.1f} MB, more than {LARGEST / 1e6:.0f}; lower --label-s")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    print(f"pack: {len(rows)} pieces, {size / 1e6:.1f} MB", flush=True)


def write_config(folder: Path, rows: list[dict], n_tokens: int, codec: MelCodec, per_db: float) -> None:
    token_s = codec.config.frames * MEL.hop_length / MEL.sample_rate
    remembered = [row for row in rows if row["may_be_remembered"] == "y"]
    config = {
        "mel": asdict(MEL),
        "token_s": token_s,
        "per_db": per_db,
        "pieces": len(rows),
        "recordings": len({row["recording"] for row in rows}),
        "labels": len({row["label"] for row in rows}),
        "remembered_pieces": len(remembered),
        "remembered_labels": len({row["label"] for row in remembered}),
        "hours": round(n_tokens * token_s / 3600, 2),
        "sha256": hashlib.sha256((folder / "sounds.npz").read_bytes()).hexdigest(),
    }
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--codec", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, nargs="+", required=True)
    parser.add_argument("--blocks", type=Path, nargs="+", required=True)
    parser.add_argument("--names", type=Path, default=HERE / "label_names.csv")
    parser.add_argument("--cache", type=Path, default=HERE / "work" / "tokens", help="where tokens are kept")
    parser.add_argument("--label-s", type=float, default=600.0, help="seconds of a label and split at most [600]")
    args = parser.parse_args()
    torch.set_num_threads(1)
    packages = {row["package"] for row in read_rows(HERE / "sound_packages.csv")}
    try:
        rows = read_manifests(args.manifest, label_names(args.names), packages)
        tokens = all_tokens(rows, load_codec(args.codec), args.cache)
        blocks, mean = read_blocks(args.blocks)
        lacking = [row["file"] for row in rows if row["file"] not in blocks]
        if lacking:
            raise PackError(f"{lacking[0]}: no aiSFX blocks ({len(lacking)} such files); run blocks.py on its manifest")
        chosen = choose(rows, [float(row["duration_s"]) for row in rows], args.label_s)
        few = [rows[n] for n in chosen]
        write_pack(args.out, few, [tokens[n] for n in chosen], [blocks[row["file"]] for row in few], mean, args.codec)
    except PackError as error:
        print(f"pack: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
