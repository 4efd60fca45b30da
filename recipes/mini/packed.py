"""The packed folder as training reads it: all recordings on the device, scenes and conditions made there, in batches.

Needs torch and numpy alone. `pack.py` says what the folder holds.
"""

import csv
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from light import prepare

prepare()
from echoframe.generators import layout  # noqa: E402

BLOCK_S, BLOCK_HOP_S = 2.32, 1024 * 50 / 44_100  # an aiSFX block lasts, and the next begins after, 1.161 s
LABEL_POWER = 0.5  # a label with four times the recordings is drawn twice as often
VARIED, EQUALISED_DB, EQ_POINTS = 0.5, 4.0, 6  # share of the scenes; a smooth curve over the bands
ONE_BLOCK = 0.3  # share of the conditions that are of one block of the stretch, not of all


class Packed:
    """The recordings of one split. labels: of each recording; blocks and tokens lie on `device`."""

    def __init__(self, folder: Path, split: str, device: torch.device | str) -> None:
        config = json.loads((folder / "config.json").read_text())
        with (folder / "sounds.csv").open(newline="") as lines:
            rows = list(csv.DictReader(lines))
        chosen = [n for n, row in enumerate(rows) if row["split"] == split]
        held = np.load(folder / "sounds.npz")
        self.device, self.token_s, self.per_db = torch.device(device), config["token_s"], config["per_db"]
        self.labels = [rows[n]["label"] for n in chosen]
        scale = torch.from_numpy(held["scale"])
        tokens = torch.from_numpy(held["tokens"]).float() * scale
        starts = torch.from_numpy(held["token_starts"])
        level = tokens @ torch.from_numpy(held["level"]) + float(held["floor"])
        steady = [rows[n]["steady"] == "y" for n in chosen]
        levels = [level[int(starts[n]) : int(starts[n + 1])] for n in chosen]
        self.sounds = layout.describe(levels, steady, self.per_db).to(device)
        self.tokens, self.starts = tokens.to(device), starts[chosen].to(device)
        self.unit = torch.from_numpy(held["unit"]).to(device)  # (C,)
        self.bands = torch.from_numpy(held["bands"]).float().to(device)  # (M, C, C)
        self.band_offsets = torch.from_numpy(held["band_offsets"]).to(device)
        self.spread = torch.from_numpy(held["spread"]).to(device)
        self.curves = torch.from_numpy(held["curves"]).to(device)  # (n_mels, C)
        self._read_blocks(held, chosen)
        self.weights = self._weights(rows, chosen)
        self.channels, self.dim = self.tokens.shape[1], len(self.mean)

    def _read_blocks(self, held: np.lib.npyio.NpzFile, chosen: list[int]) -> None:
        blocks = (torch.from_numpy(held["blocks"]).double() / 255).square() * torch.from_numpy(held["block_scale"])
        summed = functional.pad(blocks.cumsum(0), (0, 0, 1, 0))
        starts = torch.from_numpy(held["block_starts"])
        self.summed = summed.to(self.device)  # (blocks + 1, D) float64
        self.first_block, self.last_block = starts[:-1][chosen].to(self.device), starts[1:][chosen].to(self.device)
        self.mean = torch.from_numpy(held["mean"]).to(self.device)

    def _weights(self, rows: list[dict[str, str]], chosen: list[int]) -> Tensor:
        """How often each piece is drawn: labels by the root of their recordings, a recording's pieces share its part."""
        pieces: dict[tuple[str, str], int] = {}
        for n in chosen:
            key = (rows[n]["label"], rows[n]["recording"])
            pieces[key] = pieces.get(key, 0) + 1
        recordings: dict[str, int] = {}
        for label, _ in pieces:
            recordings[label] = recordings.get(label, 0) + 1
        weights = [
            recordings[rows[n]["label"]] ** (LABEL_POWER - 1) / pieces[rows[n]["label"], rows[n]["recording"]]
            for n in chosen
        ]
        return torch.tensor(weights, device=self.device)

    def batch(self, size: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Scenes (B, width, C) of recordings drawn by weight, half of them varied, and their embeddings (B, D)."""
        drawn = torch.multinomial(self.weights, size, replacement=True, generator=generator)
        scenes, start = self.scenes(drawn, width, generator)
        return self.vary(scenes, generator), self.condition(drawn, start, width, generator)

    def scenes(self, rows: Tensor, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        plan = layout.plan(self.sounds[rows], width, generator)
        return layout.lay_out(self.tokens, self.starts[rows], plan, self.unit), plan.start

    def vary(self, scenes: Tensor, generator: torch.Generator) -> Tensor:
        """Half of the scenes with another spectrum: moved by up to a semitone, and equalised."""
        size, device = len(scenes), self.device
        which = torch.randint(len(self.bands), (size,), generator=generator, device=device)
        moved = torch.rand(size, generator=generator, device=device) < VARIED
        other = scenes @ self.bands[which] + self.band_offsets[which][:, None]
        scenes = torch.where(moved[:, None, None], other, scenes)
        points = torch.rand((size, 1, EQ_POINTS), generator=generator, device=device) * 2 - 1
        on = torch.rand((size, 1), generator=generator, device=device) < VARIED
        curve = functional.interpolate(points, len(self.curves), mode="linear", align_corners=True)[:, 0]
        return scenes + ((curve * on * EQUALISED_DB * self.per_db) @ self.curves)[:, None]

    def condition(self, rows: Tensor, start: Tensor, width: int, generator: torch.Generator | None) -> Tensor:
        """Embeddings of the stretches: of the blocks that lie in them, or, now and then, of one of those."""
        count = self.last_block[rows] - self.first_block[rows]
        cropped = self.sounds.length[rows] >= width
        begin_s = start * self.token_s
        first = torch.where(cropped, (begin_s / BLOCK_HOP_S).ceil().long(), 0).clamp(max=count - 1)
        last = torch.where(
            cropped, ((begin_s + width * self.token_s - BLOCK_S) / BLOCK_HOP_S).floor().long() + 1, count
        )
        last = torch.maximum(torch.minimum(last, count), first + 1)
        if generator is not None:
            drawn = torch.rand((2, len(rows)), generator=generator, device=self.device)
            one = first + ((last - first) * drawn[1]).long()
            single = drawn[0] < ONE_BLOCK
            first, last = torch.where(single, one, first), torch.where(single, one + 1, last)
        low = self.first_block[rows]
        mean = (self.summed[low + last] - self.summed[low + first]) / (last - first)[:, None]
        return functional.normalize(mean.float() - self.mean, dim=1)
