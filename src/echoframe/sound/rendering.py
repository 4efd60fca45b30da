"""The way from a clip to its sounds: it is looked at, each passage is made, and the passages are joined.

*Conventions*: times are seconds from the beginning of the film; samples are those of the generator.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from echoframe.media.audio import n_samples, room_for
from echoframe.media.frame_array import Clip
from echoframe.options import Settings
from echoframe.provenance import InputId
from echoframe.sound import Sound
from echoframe.sound.candidates import candidates_of
from echoframe.sound.decoding import parts_of
from echoframe.sound.finished import Maker, finished, notes_on, shot_record
from echoframe.sound.parts import Parts
from echoframe.sound.placed import Placing, within
from echoframe.sound.ranking import Asked
from echoframe.sound.steered import Steered, example_of
from echoframe.sound.take import Take
from echoframe.timing.passages import Passage, Shot, View, course, passages_of
from echoframe.timing.watch import Watched
from echoframe.windows import Chance, Rendering, Seen, Wanted, picture_times

N_PICTURE_FRAMES = 8
N_DRAWS = 4  # of a window in which nothing can be heard, the first one counted


@dataclass(frozen=True, kw_only=True, eq=False)
class Looked:
    """What was seen of a clip, shot by shot, and what is asked of its sound. watched: none if that was not needed."""

    input_id: InputId
    chance: Chance
    watched: Watched | None
    views: list[tuple[Shot, list[View]]]
    asked: Steered
    example: Float[Tensor, "1 length"] | None
    seen: Seen


@dataclass(frozen=True, kw_only=True, eq=False)
class Stretch:
    """Where a passage lies. fade_out_s: how long it fades into the next one."""

    passage: Passage
    start_s: float
    stop_s: float
    fade_out_s: float


def rendering(
    parts: Parts,
    maker: Maker,
    clip: Clip,
    settings: Settings,
    *,
    nths: Sequence[int],
    own_chance: bool,
    n_draws: int,
) -> Rendering[list[Sound]]:
    """Asks for each passage's waveforms, is sent them, and returns the sounds, one for each of `nths`.

    own_chance: noise comes from the seed and the clip's content. n_draws: how often a passage is drawn at most.
    """
    rate, total = parts.generator.sample_rate, n_samples(settings.duration_s, parts.generator.sample_rate)
    looked = look(parts, clip, settings, own_chance=own_chance)
    takes = [Take(nth=nth, waveform=room_for(total)) for nth in nths]
    laid_out = stretches(passages_of(looked.views, parts.sound_alike), rate, total)
    for index, stretch in enumerate(laid_out):
        chance = replace(looked.chance, window=index)
        wanted, by = _wanted(parts, looked, stretch, chance, settings, n_windows=len(laid_out))
        candidates = yield from candidates_of(
            parts, wanted, by, chance, settings, looked.seen, start_s=stretch.start_s, n_draws=n_draws
        )
        for take in takes:
            start = round(stretch.start_s * rate)
            fade_in_s = max(take.done - start, 0) / rate
            chosen = take.add(candidates, start)
            seed, label = candidates.seeds[chosen], parts.label(by.targets[chosen])
            _note(take, parts, wanted, wanted.target[chosen], seed, stretch, fade_in_s)
            take.shots.extend(shot_record(shot, label, seed) for shot in stretch.passage.shots)
    notes = notes_on(clip, looked.seen, duration_s=settings.duration_s, n_draws=n_draws)
    return [
        finished(
            take,
            rate,
            input_id=looked.input_id,
            settings=replace(settings, nth=take.nth),
            seen=looked.seen,
            maker=maker,
            notes=notes,
            watched=looked.watched,
            placing=parts.generator if isinstance(parts.generator, Placing) else None,
        )
        for take in takes
    ]


def look(parts: Parts, clip: Clip, settings: Settings, *, own_chance: bool) -> Looked:
    """The clip's shots, and the target of each part of them."""
    example = example_of(settings, parts.generator.sample_rate)
    asked = parts.steered(settings, example)
    decoded = parts.decode(clip, settings, parts.eyes)
    chance = Chance(seed=settings.seed, clip=decoded.input_id.sha256 if own_chance else "")
    seen = Seen(picture_times(settings.duration_s, 1 if clip.is_still else N_PICTURE_FRAMES))
    laid_out = parts_of(decoded.watched, settings, parts.eyes)
    seeds = [chance.of_target(k) for k in range(settings.candidates)]
    views = parts.look(laid_out, decoded.frames, seeds, seen, asked)
    return Looked(
        input_id=decoded.input_id,
        chance=chance,
        watched=decoded.watched,
        views=views,
        asked=asked,
        example=example,
        seen=seen,
    )


def stretches(passages: Sequence[Passage], rate: int, total: int) -> list[Stretch]:
    """Where each passage lies, its fades included, on whole samples."""
    found = []
    for passage, following in zip(passages, [*passages[1:], None], strict=True):
        stop = total if following is None else min(round(following.begins_over_s * rate), total)
        found.append(
            Stretch(
                passage=passage,
                start_s=round(passage.begins_s * rate) / rate,
                stop_s=stop / rate,
                fade_out_s=following.shots[0].fade_s if following else 0.0,
            )
        )
    return found


def _wanted(
    parts: Parts, looked: Looked, stretch: Stretch, chance: Chance, settings: Settings, *, n_windows: int
) -> tuple[Wanted, Asked]:
    """What a passage waits for, and what its candidates are compared with."""
    start_s, duration_s = stretch.start_s, stretch.stop_s - stretch.start_s
    windows = parts.generator.windows_s(duration_s)
    target = course(stretch.passage.views, [(start_s + a, start_s + b) for a, b in windows])
    asked = looked.asked.at(start_s, stretch.stop_s)
    is_timed = looked.watched is not None and settings.sync > 0
    cues = looked.watched.cues.between(start_s, stretch.stop_s) if looked.watched and is_timed else None
    wanted = Wanted(
        target=target,
        negative=asked.away(parts.places),
        example=looked.example,
        cues=cues,
        duration_s=duration_s,
        seeds=[chance.of_candidate(k) for k in range(settings.candidates)],
        options=settings.sampling,
        window=chance.window,
        n_windows=n_windows,
    )
    by = Asked(
        targets=normalize(target.float().cpu().reshape(len(target), -1, target.shape[-1]).mean(dim=1), dim=1),
        expected=parts.labels_of(stretch.passage.views, asked),
        prompt=asked.words(parts.places),
        heeded=cues.heeded(settings.sync) if cues else (),
    )
    return wanted, by


def _note(
    take: Take,
    parts: Parts,
    wanted: Wanted,
    target: Float[Tensor, "*windows dim"],
    seed: int,
    stretch: Stretch,
    fade_in_s: float,
) -> None:
    """Keeps which recordings the passage is made of, or began with. target, seed: of the candidate that was taken."""
    generator = parts.generator
    if isinstance(generator, Placing):
        laid = generator.place(
            target, duration_s=wanted.duration_s, seed=seed, options=wanted.options, cues=wanted.cues
        )
        fades = {"fade_in_s": fade_in_s, "fade_out_s": stretch.fade_out_s}
        take.placed.extend(within(laid, stretch.start_s, stretch.stop_s, **fades))
    elif wanted.example is None:
        begun = generator.remembered(target, seed=seed, options=wanted.options)
        take.remembered.extend(asdict(each) for each in begun)
