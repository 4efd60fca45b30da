"""Learns the onset network from made films (`made_films.py`).

    python learn.py --films FOLDER ... --out OUT [--held HELD] [--steps 3000]

HELD: films that are never learned from; their F1 within 50 ms is printed every 500 steps. What the films look like small, and
the camera's motion, is kept beside them (FILM.npz): the next run begins at once. What is learned is when something is
struck, and, at less weight, in which place of the picture.
"""

import argparse
import csv
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, pad

from echoframe.media.onsets import onset_f1
from echoframe.media.video import probe
from echoframe.timing.onset_net import OnsetNet, beside, load_onset_net, residuals
from echoframe.timing.onsets import contrast, peaks
from echoframe.timing.small_frames import small_frames
from echoframe.weights import save_part

CROP = 72  # frames
BATCH = 8
WIDTH_S = 0.025  # how far from an event a frame is half an event
LR = 2e-3
NEAR = 1.5  # cells of the network's grid around an event that show it
LOCAL = 0.2  # the weight of where something is struck, beside when


@dataclass(frozen=True, kw_only=True)
class Film:
    name: str
    times_s: Tensor
    frames: Tensor  # (T, H, W) uint8
    residual: Tensor  # (T, H, W) int8, in 127ths
    motion: Tensor
    struck: Tensor
    places: Tensor  # (struck, 2) x and y in the picture, 0 to 1


def read_film(
    path: Path, struck: list[float], places: list[list[float]] | None = None, *, keep: Path | None = None
) -> Film:
    """A film, with what it looks like small kept beside it, or at `keep`."""
    kept = keep or path.with_suffix(".npz")
    if not kept.exists():
        times_s, images = zip(*small_frames(probe(path)), strict=True)
        frames = np.stack(images)
        parts = []
        whole = torch.from_numpy(frames).float() / 255
        for start in range(0, len(whole) - 1, 64):
            parts.append(residuals(whole[start : start + 65]))
        residual = torch.cat([parts[0][0][:1], *(part[0][1:] for part in parts)])
        motion = torch.cat([parts[0][1][:1], *(part[1][1:] for part in parts)])
        small = (residual * 127).round().clamp(-127, 127).to(torch.int8)
        np.savez_compressed(kept, times_s=times_s, frames=frames, residual=small.numpy(), motion=motion.numpy())
    with np.load(kept) as held:
        return Film(
            name=path.stem,
            times_s=torch.from_numpy(held["times_s"]).float(),
            frames=torch.from_numpy(held["frames"]),
            residual=torch.from_numpy(held["residual"]),
            motion=torch.from_numpy(held["motion"]),
            struck=torch.tensor(struck),
            places=torch.tensor(places or []).reshape(-1, 2),
        )


def read_films(folder: Path) -> list[Film]:
    with (folder / "films.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [
        read_film(
            folder / row["file"],
            [float(t) for t in row["struck"].split()],
            [[float(x) for x in place.split(":")] for place in row["places"].split()],
        )
        for row in rows
    ]


def wanted(film: Film, part: slice) -> Tensor:
    """(T, events) 1 at an event, less beside it."""
    apart = (film.times_s[part, None] - film.struck).abs()
    return torch.exp(-(apart / WIDTH_S).square() * np.log(2))


@dataclass(frozen=True, kw_only=True)
class Crop:
    """A stretch of T frames, and what is to be told of it. events: (T, events) how near each is in time."""

    pixels: Tensor  # (T, 3, H, W)
    numbers: Tensor  # (T, 6)
    events: Tensor
    places: Tensor  # (events, 2)

    @property
    def target(self) -> Tensor:
        """(T,) 1 at an event."""
        return self.events.amax(dim=1) if self.events.shape[1] else torch.zeros(len(self.events))


def crop(film: Film, random: torch.Generator) -> Crop:
    """A stretch of a film: mirrored, brighter or darker, noisier."""
    start = int(torch.randint(max(len(film.frames) - CROP, 0) + 1, (1,), generator=random))
    part = slice(start, start + CROP)
    gain = float(torch.empty(1).uniform_(0.5, 1.2, generator=random))
    frames = film.frames[part].float() / 255 * gain
    residual = film.residual[part].float() / 127 * gain
    motion, times, places = film.motion[part].clone(), film.times_s[part], film.places.clone()
    if torch.rand(1, generator=random) < 0.5:
        frames, residual, motion[:, 0] = frames.flip(2), residual.flip(2), -motion[:, 0]
        places[:, 0] = 1 - places[:, 0]
    if torch.rand(1, generator=random) < 0.2:  # the sound of a film seen upside down is the same
        frames, residual, motion[:, 1] = frames.flip(1), residual.flip(1), -motion[:, 1]
        places[:, 1] = 1 - places[:, 1]
    noise = float(torch.rand(1, generator=random)) * 0.02
    grain = noise * torch.randn((len(frames) + 1, *frames.shape[1:]), generator=random)
    frames, residual = frames + grain[1:], residual + grain.diff(dim=0)
    scale = contrast(frames)
    frames, residual = frames / scale, residual / scale
    following = torch.cat([residual[1:], torch.zeros_like(residual[:1])])
    return Crop(
        pixels=torch.stack([frames, residual, following], dim=1),
        numbers=beside(frames, residual, motion, times),
        events=wanted(film, part),
        places=places,
    )


def local_loss(struck: Tensor, part: Crop) -> Tensor:
    """How wrong the places are, (T, rows, columns) log odds. What else moves at an event may or may not show it."""
    n_rows, n_columns = struck.shape[1:]
    rows = (part.places[:, 1] * n_rows - 0.5)[:, None, None] - torch.arange(n_rows)[:, None]
    columns = (part.places[:, 0] * n_columns - 0.5)[:, None, None] - torch.arange(n_columns)
    shown = (rows.square() + columns.square()).sqrt() <= NEAR  # (events, rows, columns)
    if not len(shown):
        return binary_cross_entropy_with_logits(struck, torch.zeros_like(struck), reduction="sum") / len(struck)
    target = (part.events[:, :, None, None] * shown).amax(dim=1)
    counts = (target > 0.05) | (part.target < 0.05)[:, None, None]
    wrong = binary_cross_entropy_with_logits(struck, target, reduction="none") * (1 + 4 * target)
    return (wrong * counts).sum() / len(struck)


@torch.no_grad()
def judge(net: OnsetNet, films: list[Film], threshold: float) -> dict[str, float]:
    scores: dict[str, list[float]] = {"all": []}
    for film in films:
        found = peaks(score(net, film), film.times_s.numpy(), threshold=threshold)
        f1 = onset_f1(film.struck.double().numpy(), found, tolerance_s=0.05)
        kind, look, _ = film.name.split("_")
        for key in ("all", kind, look):
            if f1 is not None:
                scores.setdefault(key, []).append(f1.f1)
    return {key: float(np.mean(values)) for key, values in scores.items()}


@torch.no_grad()
def score(net: OnsetNet, film: Film) -> np.ndarray:
    frames, residual = film.frames.float() / 255, film.residual.float() / 127
    scale = contrast(frames)
    frames, residual = frames / scale, residual / scale
    following = torch.cat([residual[1:], torch.zeros_like(residual[:1])])
    seen, _ = net.look(frames, residual, following)
    return net.tell(seen[None], beside(frames, residual, film.motion, film.times_s)[None])[0].sigmoid().numpy()


def _padded(values: Tensor) -> Tensor:
    """(CROP, numbers) of (T, numbers), zeros after them."""
    return pad(values, (0, 0, 0, CROP - len(values)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=Path, nargs="+", required=True)
    parser.add_argument("--held", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="weights to begin with")
    parser.add_argument("--steps", type=int, default=3000)
    args = parser.parse_args()
    torch.manual_seed(0)
    random = torch.Generator().manual_seed(0)
    films = [film for folder in args.films for film in read_films(folder)]
    held = read_films(args.held) if args.held else []
    print(f"{len(films)} films, {sum(len(film.frames) for film in films)} frames", flush=True)
    net = load_onset_net(args.start).requires_grad_(True) if args.start else OnsetNet()
    print(f"{sum(p.numel() for p in net.parameters())} weights", flush=True)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=LR, total_steps=args.steps, pct_start=0.05)
    begun, losses = time.time(), []
    for step in range(1, args.steps + 1):
        net.train()
        picked = torch.randint(len(films), (BATCH,), generator=random).tolist()
        batch = [crop(films[i], random) for i in picked]
        looked = [net.look(part.pixels[:, 0], part.pixels[:, 1], part.pixels[:, 2]) for part in batch]
        told = net.tell(
            torch.stack([_padded(seen) for seen, _ in looked]), torch.stack([_padded(part.numbers) for part in batch])
        )
        target = torch.stack([_padded(part.target[:, None])[:, 0] for part in batch])
        real = torch.stack([_padded(torch.ones(len(part.events), 1))[:, 0] for part in batch])
        weight = real * (1 + 4 * target)
        when = (binary_cross_entropy_with_logits(told, target, reduction="none") * weight).sum() / real.sum()
        where = torch.stack([local_loss(struck, part) for (_, struck), part in zip(looked, batch, strict=True)]).mean()
        loss = when + LOCAL * where
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append((when.item(), where.item()))
        if step % 100 == 0:
            shown = "when {:.4f}, where {:.4f}".format(*np.mean(losses[-100:], axis=0))
            print(f"step {step}: {shown}, {time.time() - begun:.0f} s", flush=True)
        if step % 500 == 0 or step == args.steps:
            net.eval()
            save_part(args.out, asdict(net.config), net.state_dict(), dtype=torch.float16)
            if held:
                found = {threshold: judge(net, held, threshold) for threshold in (0.3, 0.4, 0.5, 0.6)}
                best = max(found, key=lambda t: found[t]["all"])
                shown = ", ".join(f"{key} {value:.2f}" for key, value in found[best].items())
                print(f"  held, threshold {best}: {shown}", flush=True)


if __name__ == "__main__":
    main()
