"""A passage's candidates: made, heard and ranked."""

import logging

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.options import Settings
from echoframe.sound.parts import Parts
from echoframe.sound.ranking import Asked, Likely, ranked, reasons_of, total
from echoframe.sound.take import Candidates
from echoframe.windows import Chance, Rendering, Seen, Wanted, draw

_log = logging.getLogger(__name__)


def candidates_of(
    parts: Parts,
    wanted: Wanted,
    asked: Asked,
    chance: Chance,
    settings: Settings,
    seen: Seen,
    *,
    start_s: float,
    n_draws: int,
) -> Rendering[Candidates]:
    """The candidates that `wanted` asks for, ranked by what was `asked`. start_s: when the passage begins."""
    seeds, waveforms, heard = yield from draw(wanted, chance, seen, n_draws=n_draws)
    seen.silent_s.extend([] if heard.any() else [(start_s, start_s + wanted.duration_s)])
    if parts.audio_encoder is None:
        return Candidates(seeds=seeds, waveforms=waveforms, targets=asked.targets, order=[0])
    embeddings: Float[Tensor, "candidates dim"] = torch.cat([parts.embed(each[None]) for each in waveforms])
    likely = Likely(*parts.generator.labelled(embeddings))
    reasons = reasons_of(waveforms, embeddings, parts.generator.sample_rate, asked, likely)
    totals = [total(each, settings.rank) for each in reasons]
    order = ranked(totals, heard)
    seen.scores.append(totals)
    seen.reasons.append(reasons)
    _log.info("passage %d: candidate %d of %d, %s", chance.window, order[0] + 1, len(seeds), reasons)
    return Candidates(
        seeds=seeds, waveforms=waveforms, targets=asked.targets, order=order, embeddings=embeddings, reasons=reasons
    )
