"""Acceptance of real films: whether sounds begin when the films' own do, with sync and without.

    python accept_real.py FILMS ... [--seeds 3] [--sync 0.5] [--struck LABEL ...] [--systems FOLDER ...]

FILMS: folders of films with their own sound, never learned from. Each film is made with `mini` at its defaults, whole, at
that sync and at 0, with the same seeds. F1 of onsets within 100 ms, correlation of the loudness envelopes, onsets a second.
Chance: the same sounds, turned round in time by a tenth of their length, nine times. Intervals: 95 %, bootstrap over films.
--systems: folders of other systems' sounds of the same names.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from echoframe import load
from echoframe.evaluation.alignment import envelope, envelope_correlation
from echoframe.evaluation.sounds import Listening, find_sounds, listen
from echoframe.media.audio import resample
from echoframe.media.onsets import onset_f1, onsets

RATE, LONGEST_S = 16_000, 10.0
N_TURNS, N_BOOTSTRAP = 10, 2000


@dataclass(frozen=True, kw_only=True)
class Fit:
    """One film's: F1, what is left of it by chance, envelope r, onsets a second."""

    f1: float
    chance: float
    r: float
    density: float


def heard(path: Path) -> np.ndarray:
    """A file's sound, mono, of 10 s at most; films too."""
    excerpt = listen(path, Listening(clip_s=LONGEST_S))
    return resample(excerpt.waveform, excerpt.sample_rate, RATE)[0].numpy()


def fit(real: np.ndarray, made: np.ndarray) -> Fit:
    made = made[: len(real)]
    wanted, found, length_s = onsets(real, RATE), onsets(made, RATE), len(real) / RATE
    turned = (np.sort((found + length_s * k / N_TURNS) % length_s) for k in range(1, N_TURNS))
    return Fit(
        f1=_f1(wanted, found),
        chance=float(np.mean([_f1(wanted, each) for each in turned])),
        r=envelope_correlation(envelope(real, RATE), envelope(made, RATE)),
        density=len(found) / length_s,
    )


def _f1(wanted: np.ndarray, found: np.ndarray) -> float:
    score = onset_f1(wanted, found, tolerance_s=0.1)
    return 0.0 if score is None else score.f1


def interval(values: np.ndarray) -> str:
    random = np.random.default_rng(0)
    means = [values[random.integers(len(values), size=len(values))].mean() for _ in range(N_BOOTSTRAP)]
    low, high = np.percentile(means, (2.5, 97.5))
    return f"{values.mean():.3f} ({low:.3f} to {high:.3f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("films", type=Path, nargs="+")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--sync", type=float, default=0.5)
    parser.add_argument("--struck", nargs="*", default=[], help="parts of the names of films of struck things")
    parser.add_argument("--systems", type=Path, nargs="*", default=[])
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load("mini")
    paths = {path.stem: path for folder in args.films for path in sorted(folder.glob("*.mp4"))}
    systems = {folder.name: find_sounds(folder) for folder in args.systems}
    table: dict[str, dict[str, Fit]] = {}
    for stem, path in paths.items():
        try:
            real = heard(path)
        except Exception as error:
            print(f"left out: {error}")
            continue
        for name, sync in (("mini with sync", args.sync), ("mini without", 0.0)):
            fits = []
            for seed in range(args.seeds):
                sound = model.generate(path, seed=seed, sync=sync, whole=True, duration_s=len(real) / RATE)
                fits.append(fit(real, sound.waveform[0].numpy()))
                if seed == 0 and sync > 0:
                    assert sound.watched is not None
                    n_heeded = len(sound.watched.cues.heeded(sync))
            mean = {key: float(np.mean([getattr(each, key) for each in fits])) for key in Fit.__dataclass_fields__}
            table.setdefault(name, {})[stem] = Fit(**mean)
        for name, sounds in systems.items():
            if stem in sounds:
                table.setdefault(name, {})[stem] = fit(real, heard(sounds[stem]))
        with_sync, without = table["mini with sync"][stem], table["mini without"][stem]
        print(
            f"{stem[:40]:40s} onsets {len(onsets(real, RATE)):3d}, cues heeded {n_heeded:3d}, "
            f"F1 {with_sync.f1:.2f} (chance {with_sync.chance:.2f}), without {without.f1:.2f}",
            flush=True,
        )
    stems = list(table["mini with sync"])
    groups = {"all": stems, "of struck things": [s for s in stems if any(word in s for word in args.struck)]}
    for group, members in groups.items():
        if not members:
            continue
        print(f"\n{len(members)} films {group}, {args.seeds} seeds\n")
        print("| | n | onset F1 100 ms | chance | envelope r | onsets a second |\n|---|---|---|---|---|---|")
        for name, fits in table.items():
            own = [fits[stem] for stem in members if stem in fits]
            if own:
                columns = {key: np.array([getattr(each, key) for each in own]) for key in Fit.__dataclass_fields__}
                print(
                    f"| {name} | {len(own)} | {interval(columns['f1'])} | {columns['chance'].mean():.3f} | "
                    f"{columns['r'].mean():.3f} | {columns['density'].mean():.2f} |"
                )
        both = [(table["mini with sync"][stem], table["mini without"][stem]) for stem in members]
        print(f"gain over without: {interval(np.array([a.f1 - b.f1 for a, b in both]))}")
        print(f"gain over chance: {interval(np.array([a.f1 - a.chance for a, _ in both]))}")
        print(f"gain of envelope r: {interval(np.array([a.r - b.r for a, b in both]))}")


if __name__ == "__main__":
    main()
