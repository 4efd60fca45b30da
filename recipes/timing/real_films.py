"""How well cues find the onsets of films' own sounds: the rule and a learned network, beside chance.

    python real_films.py FOLDER ... [--net NET]

Chance is the mean F1 of a film's cues moved round in time by a tenth of its length, nine times.
"""

import argparse
from pathlib import Path

import av
import numpy as np
import torch
from learn import Film, read_film, score

from echoframe.evaluation.motion import *  # noqa
from echoframe.media.audio import *  # noqa
from echoframe.media.onsets import onset_f1, onsets
from echoframe.media.own_sound import *  # noqa
from echoframe.timing.onset_net import load_onset_net
from echoframe.timing.onsets import contrast, peaks


def own_sound(path):
    with av.open(str(path)) as c:
        if not c.streams.audio:
            return None
        rs = av.AudioResampler(format="flt", layout="mono", rate=16000)
        out = [g.to_ndarray()[0] for f in c.decode(audio=0) for g in rs.resample(f)]
    return np.concatenate(out)


def rule(film: Film) -> np.ndarray:
    """The second difference of what moves."""
    frames, residual = film.frames.float() / 255, film.residual.float() / 127
    moving = (residual / contrast(frames)).abs().flatten(1)
    k = max(1, moving.shape[1] // 20)
    course = moving.topk(k, dim=1).values.mean(1).numpy()
    second = np.maximum(np.diff(course, prepend=course[:1]), 0)
    second = np.abs(np.diff(course, n=2, prepend=course[:1], append=course[-1:]))
    return second / (np.median(second) * 6 + 1e-6)


def main() -> None:
    p = argparse.ArgumentParser()
    p.add_argument("folders", type=Path, nargs="+")
    p.add_argument("--net", type=Path)
    p.add_argument("--thresholds", type=float, nargs="+", default=[0.2, 0.3, 0.4, 0.5, 0.6])
    p.add_argument("-v", action="store_true")
    args = p.parse_args()
    torch.set_num_threads(1)
    net = load_onset_net(args.net) if args.net else None
    store = Path("/work/cache/cues/real")
    store.mkdir(exist_ok=True)
    films = []
    for folder in args.folders:
        for path in sorted(folder.glob("*.mp4")):
            link = store / (folder.name + "_" + path.name.lstrip("-"))
            if not link.exists():
                link.symlink_to(path)
            sound = own_sound(path)
            if sound is None:
                continue
            film = read_film(link, [])
            n_s = min(len(sound) / 16000, float(film.times_s[-1]))
            films.append((path.stem, film, onsets(sound[: int(n_s * 16000)], 16000), n_s))
    ways = {"rule": (rule, [0.6, 1.0, 1.5, 2.0, 3.0])}
    if net is not None:
        ways["net"] = (lambda f: score(net, f), args.thresholds)
    for name, (way, thresholds) in ways.items():
        courses = [way(f) for _, f, _, _ in films]
        for th in thresholds:
            rows = []
            for (stem, film, real, n_s), course in zip(films, courses):
                found = peaks(course, film.times_s.numpy(), threshold=th)
                found = found[found < n_s]
                f = onset_f1(real, found, tolerance_s=0.1)
                if f is None:
                    continue
                ch = np.mean(
                    [onset_f1(real, np.sort((found + n_s * k / 10) % n_s), tolerance_s=0.1).f1 for k in range(1, 10)]
                )
                rows.append((stem, f.f1, ch, len(real), len(found), float(np.max(course)), float(np.mean(course))))
            a = np.array([r[1:5] for r in rows])
            some = a[:, 3] > 0
            print(
                f"{name} {th}: n {len(a)} F1 {a[:, 0].mean():.3f} chance {a[:, 1].mean():.3f} gain {(a[:, 0] - a[:, 1]).mean():+.3f} found {a[:, 3].mean():.1f} of {a[:, 2].mean():.1f}; with cues {some.sum()}: gain {(a[some, 0] - a[some, 1]).mean() if some.any() else 0:+.3f}"
            )
            if args.v:
                for r in rows:
                    print("   %-45s F1 %.2f chance %.2f real %d found %d max %.2f mean %.3f" % r)


if __name__ == "__main__":
    main()
