"""How a recording's tokens are laid out to a scene, as the sound would go on: for training, and for what is remembered.

*Conventions*: a recording is (T, C) tokens, linear in a log-mel spectrogram, so that a mix of two tokens fades from one
sound to the other. A scene of N tokens is named by a `Plan`: two places in the recording for every token, how much of
the second, and how far it is turned down. A steady sound (rain, a crowd) goes on without a seam. Any other (a bark) is
repeated at its own gaps over its own background. A recording longer than the scene is cropped. Everything here is
computed for many recordings at once, on any device; it imports torch alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

FADE = 10  # tokens at most (0.8 s at 12.5 a second) in which a steady sound's end becomes its beginning
QUIET = 4  # tokens of a recording that are its background
QUIET_DB, BURST_DB = -40.0, -20.0  # of the loudest token: what counts as background, and as part of an event
GAP_SHARE, SHORTEST_GAP, LONGEST_GAP = 0.8, 4.0, 20.0  # of the event's length; tokens
GAP_JITTER = (0.5, 1.5)  # times the gap
STEADY_DB, STEADY_TOKENS = 12.0, 12  # a recording whose level varies less, and is no shorter than that, is steady


@dataclass(frozen=True)
class Recordings:
    """What `plan` has to know of B recordings: each (B,), but `quiet` (B, QUIET), places of background tokens.

    length, gap: tokens. steady: whether it goes on. turned_down: by how much the background is below its quiet tokens, in
    units of the normalised log-mel (zero or less).
    """

    length: Tensor
    steady: Tensor
    gap: Tensor
    quiet: Tensor
    turned_down: Tensor

    def __getitem__(self, rows: Tensor) -> "Recordings":
        return Recordings(
            self.length[rows], self.steady[rows], self.gap[rows], self.quiet[rows], self.turned_down[rows]
        )

    def to(self, device: torch.device | str) -> "Recordings":
        moved = (self.length, self.steady, self.gap, self.quiet, self.turned_down)
        return Recordings(*(part.to(device) for part in moved))


@dataclass(frozen=True)
class Plan:
    """Scenes of (B, N) tokens: places `first` and `second`, the weight of the second, and what is added to the first's
    level. start: (B,) where in the recording the scene begins, of a crop."""

    first: Tensor
    second: Tensor
    weight: Tensor
    shift: Tensor
    start: Tensor


def describe(levels: list[Tensor], steady: list[bool], per_db: float) -> Recordings:
    """What `plan` needs of recordings. levels: (T,) the mean log-mel of each token, normalised. per_db: of one decibel."""
    gaps, quiet, turned = [], [], []
    for level in levels:
        ranked = level.argsort()
        places = ranked[:QUIET]
        loudest, background = float(level.max()), float(level[places].mean())
        quiet.append(places[torch.arange(QUIET) % len(places)])
        turned.append(min(0.0, loudest + QUIET_DB * per_db - background))
        gaps.append(natural_gap(level, per_db))
    return Recordings(
        length=torch.tensor([len(level) for level in levels]),
        steady=torch.tensor(steady),
        gap=torch.tensor(gaps),
        quiet=torch.stack(quiet),
        turned_down=torch.tensor(turned),
    )


def natural_gap(level: Tensor, per_db: float) -> float:
    """Tokens from one event to the next: the median pause in the recording, or, if it has one event, by its length."""
    loud = (level > level.max() + BURST_DB * per_db).nonzero()[:, 0]
    pauses = loud.diff()[loud.diff() > 1] - 1
    gap = float(pauses.double().median()) if len(pauses) else GAP_SHARE * len(level)
    return min(max(gap, SHORTEST_GAP), LONGEST_GAP)


def is_steady(level: Tensor, per_db: float) -> bool:
    """Whether a recording goes on evenly: its tokens' levels, but the quietest tenth, lie close together."""
    low, middle = (float(level.quantile(share)) for share in (0.1, 0.5))
    high = float(level.quantile(0.9))
    even = high - low < STEADY_DB * per_db and float(level.max()) - middle < 1.5 * STEADY_DB * per_db
    return len(level) >= STEADY_TOKENS and even


def plan(recordings: Recordings, n_tokens: int, generator: torch.Generator) -> Plan:
    """Scenes of `n_tokens` tokens of B recordings; the generator, on their device, draws places, gaps and background."""
    device = recordings.length.device
    size, time = len(recordings.length), torch.arange(n_tokens, device=device)
    drawn = torch.rand((size, 2), generator=generator, device=device)
    spare = (recordings.length - n_tokens).clamp(min=0)
    start = (drawn[:, 0] * (spare + 1)).long().clamp(max=spare)
    cropped = (recordings.length >= n_tokens)[:, None]
    looped = _loop(recordings, drawn[:, 1], time)
    repeated = _repeat(recordings, time, generator)
    place = start[:, None] + time
    nothing = torch.zeros(place.shape, device=device)
    chosen = [
        torch.where(cropped, crop, torch.where(recordings.steady[:, None], loop, repeat))
        for crop, loop, repeat in zip((place, place, nothing, nothing), looped, repeated, strict=True)
    ]
    return Plan(chosen[0], chosen[1], chosen[2], chosen[3], start)


def _loop(recordings: Recordings, phase: Tensor, time: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A sound without end: each time round, its last tokens fade into its first."""
    length = recordings.length[:, None]
    fade = torch.minimum(torch.full_like(length, FADE), length // 3)
    period = (length - fade).clamp(min=1)
    place = ((phase[:, None] * period).long() + time) % period
    weight = torch.where(place < fade, 1 - (place + 1) / (fade + 1), 0.0)
    leaving = (place + period).minimum(length - 1)
    return place, leaving, weight, torch.zeros(place.shape, device=place.device)


def _repeat(recordings: Recordings, time: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """A sound again and again, the background before, between and behind."""
    device, size = time.device, len(recordings.length)
    times = len(time) // int(1 + GAP_JITTER[0] * SHORTEST_GAP) + 2
    low, high = GAP_JITTER
    jitter = low + (high - low) * torch.rand((size, times), generator=generator, device=device)
    pauses = (recordings.gap[:, None] * jitter).round().long()
    begins = (pauses + recordings.length[:, None]).cumsum(1) - recordings.length[:, None] - pauses[:, :1] // 2
    turn = torch.searchsorted(begins, time.expand(size, -1).contiguous(), right=True) - 1
    place = time - begins.gather(1, turn.clamp(min=0))
    length = recordings.length[:, None]
    inside = (turn >= 0) & (place >= 0) & (place < length)
    pick = torch.randint(QUIET, (size, len(time)), generator=generator, device=device)
    background = recordings.quiet.gather(1, pick)
    last = (place == length - 1) & (length > 2)  # half of the last token: no edge where the sound ends
    weight = torch.where(inside, torch.where(last, 0.5, 1.0), 0.0)
    shift = recordings.turned_down[:, None].expand(-1, len(time))
    return background, torch.where(inside, place, background), weight, shift


def lay_out(tokens: Tensor, starts: Tensor, scenes: Plan, unit: Tensor) -> Tensor:
    """The scenes' tokens. tokens: (sum of T, C), all recordings end to end; starts: (B,) where each begins; unit: (C,),
    what is added to a token when its log-mel rises by one. -> (B, N, C)"""
    first = tokens[starts[:, None] + scenes.first] + scenes.shift[..., None] * unit
    return torch.lerp(first, tokens[starts[:, None] + scenes.second], scenes.weight[..., None])


def scene_of(
    tokens: Tensor,
    level: Tensor,
    n_tokens: int,
    unit: Tensor,
    *,
    steady: bool,
    per_db: float,
    generator: torch.Generator,
) -> Tensor:
    """One recording laid out: (T, C) tokens with levels (T,) -> (n_tokens, C). unit: as in `lay_out`, per_db: `describe`."""
    sounds = describe([level], [steady], per_db).to(tokens.device)
    start = torch.zeros(1, dtype=torch.long, device=tokens.device)
    return lay_out(tokens, start, plan(sounds, n_tokens, generator), unit)[0]
