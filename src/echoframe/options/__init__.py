"""What can be asked of a generation, each option once: its name, type, default, range and help.

The command, `EchoFrame.generate`, the record beside a result and the sampler all take theirs from here. A new option is
a field of `SampleOptions` (the sampler's) or `Settings` (the cascade's) and of `Request`, a parameter of `generate`,
and what uses it.
"""

import math
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import Any

from echoframe.errors import InputError
from echoframe.options.option import check, option
from echoframe.options.spots import SHORTEST_S, Spot, are_spots, read_spots

TARGET_LUFS = -23.0  # EBU R 128
MAX_CANDIDATES = 64
# aliases, then the diffusers classes behind them (`echoframe.generators.schedulers`); a flow knows euler and dpm++2m
SCHEDULER_NAMES = (
    *("ddim", "ddpm", "deis", "dpm++2m", "dpm++2m-karras", "dpm++2m-lu", "dpm++2m-sde", "dpm++2s", "dpm2", "dpm2-a"),
    *("euler", "euler-a", "heun", "lms", "pndm", "sa", "unipc", "unipc-karras"),
    *("DDIMScheduler", "DDPMScheduler", "DEISMultistepScheduler", "DPMSolverMultistepScheduler"),
    *("DPMSolverSinglestepScheduler", "EulerAncestralDiscreteScheduler", "EulerDiscreteScheduler"),
    *("HeunDiscreteScheduler", "KDPM2AncestralDiscreteScheduler", "KDPM2DiscreteScheduler", "LMSDiscreteScheduler"),
    *("PNDMScheduler", "SASolverScheduler", "UniPCMultistepScheduler"),
)
MAX_BATCH = 8  # more rows at once take more memory and gain no speed
MAX_SEEDS = 1000  # of one clip in one run
# what a candidate is ranked by (`echoframe.sound.ranking`), and how much each counts
RANK = {"target": 0.25, "label": 0.5, "prompt": 0.5, "time": 1.0, "soundness": 0.3}
MAX_TEXT = 500  # characters of a prompt
MAX_DURATION_S = 3600.0  # longer sounds have to be asked for with force


def lufs(text: str) -> float | None:
    """A loudness from the command line; "off" asks for none."""
    return None if text == "off" else float(text)


def factor(text: str) -> tuple[str, float]:
    """A name and a number, from the command line: of a label, what its chance is multiplied by.

    >>> factor("dog barking=2")
    ('dog barking', 2.0)
    """
    name, _, number = text.rpartition("=")
    try:
        return name.strip(), float(number)
    except ValueError:
        raise InputError(f'"{text}": expected NAME=NUMBER, such as "dog barking=2"') from None


def _is_text(text: str) -> bool:
    return len(text) <= MAX_TEXT and (not text or bool(text.strip()))


def _are_factors(labels: Mapping[str, float]) -> bool:
    return all(name and math.isfinite(number) and number >= 0 for name, number in labels.items())


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleOptions:
    """How a generator samples: steps, guidance and scheduler.

    A model has its own defaults, which are used where nothing else is asked for.

    Raises:
        InputError: a value is out of range.
    """

    steps: int = option(
        default=25,
        default_text="the model's own",
        help="denoising steps",
        valid=lambda n: 1 <= n <= 1000,
        expected="1 to 1000; 25 is a good start",
        metavar="N",
        kind=int,
    )
    guidance: float = option(
        default=2.5,
        default_text="the model's own",
        help="1 turns it off, more follows the frames more closely",
        valid=lambda g: math.isfinite(g) and g >= 0,
        expected="0 or more; 1 is none, 2.5 is usual",
        metavar="G",
        kind=float,
    )
    scheduler: str = option(
        default="dpm++2m-lu",
        default_text="the model's own",
        help="ddim, dpm++2m, unipc, ...",
        choices=SCHEDULER_NAMES,
        metavar="NAME",
    )

    variation: float = option(
        default=1.0,
        default_text="the model's own",
        help="0 keeps to a remembered recording, 1 starts from noise alone",
        bounds=(0, 1),
        expected="a number from 0 to 1",
        metavar="V",
        kind=float,
    )

    sync: float = option(
        default=0.0,
        default_text="the model's own",
        help="how readily the sound heeds onsets in the picture: 0 heeds none, 1 all, 0.5 those more likely than not",
        bounds=(0, 1),
        expected="a number from 0 to 1; 0.5 is usual",
        metavar="S",
        kind=float,
    )

    blend: float = option(
        default=0.0,
        help="how far the model varies a library's recordings: 0 not at all, 1 leaves only their high frequencies",
        bounds=(0, 1),
        expected="a number from 0 to 1",
        metavar="B",
        kind=float,
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            check(each, getattr(self, each.name))


@dataclass(frozen=True, kw_only=True, slots=True)
class Settings(SampleOptions):
    """What was decided for one sound, every default filled in, as its record holds it."""

    seed: int = option(
        default_text="0",
        help="another number gives another sound",
        valid=lambda n: 0 <= n < 2**63,
        expected="a whole number from 0 to 2^63 - 1",
        metavar="N",
        kind=int,
    )
    duration_s: float = option(
        default_text="the video's length; 10 for a still image",
        help="seconds of sound",
        valid=lambda s: math.isfinite(s) and s > 0,
        expected="a number of seconds above 0",
        unit="s",
        metavar="S",
        kind=float,
    )
    candidates: int = option(
        default=1,
        help="make K sounds and keep the one that fits best",
        bounds=(1, MAX_CANDIDATES),
        expected=f"1 to {MAX_CANDIDATES}; 3 is usual",
        metavar="K",
        kind=int,
    )
    prompt: str = option(
        default="",
        default_text="none",
        help="words for what shall be heard",
        valid=_is_text,
        expected=f"words, at most {MAX_TEXT} characters",
        metavar="TEXT",
    )
    prompt_weight: float = option(
        default=0.7,
        help="0 heeds the picture alone, 1 the prompt alone",
        bounds=(0, 1),
        expected="a number from 0 to 1",
        metavar="W",
        kind=float,
    )
    negative_prompt: str = option(
        default="",
        default_text="none",
        help="words for what shall not be heard",
        valid=_is_text,
        expected=f"words, at most {MAX_TEXT} characters",
        metavar="TEXT",
    )
    prompts: tuple[Spot, ...] = option(
        default=(),
        default_text="none",
        help="a table (CSV) with start, end and text: prompts for parts of a film, in the place of --prompt there",
        valid=are_spots,
        expected=f"parts in order that do not overlap, {SHORTEST_S:g} s long at least, each with a text",
        metavar="CSV",
        kind=read_spots,
    )
    labels: Mapping[str, float] = option(
        default_factory=dict,
        default_text="as seen",
        help="make a label more or less likely: 0 turns it off; may be given several times",
        valid=_are_factors,
        expected="names of labels with factors of 0 or more",
        metavar="NAME=FACTOR",
        kind=factor,
        flag="label",
    )
    like: str = option(
        default="",
        default_text="none",
        help="a sound file that the result shall be like: less of it remains the higher --variation is",
        metavar="FILE",
    )
    library: str = option(
        default="",
        default_text="none",
        help="a library of your own sounds (echoframe library add): the sound is made of its recordings",
        metavar="FILE",
    )
    rank: Mapping[str, float] = option(
        default_factory=dict,
        default_text=", ".join(f"{name}={weight:g}" for name, weight in RANK.items()),
        help="what counts among candidates, and how much; may be given several times",
        valid=lambda rank: rank.keys() <= RANK.keys() and _are_factors(rank),
        expected=f"some of {', '.join(RANK)} with weights of 0 or more",
        metavar="NAME=WEIGHT",
        kind=factor,
        flag="rank",
    )
    nth: int = option(
        default=1,
        help="which of the candidates to keep: 1 is the best",
        valid=lambda n: 1 <= n <= MAX_CANDIDATES,
        expected=f"1 to {MAX_CANDIDATES}, and no more than there are candidates",
        metavar="N",
        kind=int,
    )
    whole: bool = option(
        default=True,
        default_text="a sound for each shot, or for neighbouring shots that sound alike",
        help="one sound for the whole film, whatever its cuts",
        kind=bool,
    )
    loudness_lufs: float | None = option(
        default=None,
        default_text=f"{TARGET_LUFS:g}",
        help="bring the sound to this loudness, or off",
        valid=lambda x: x is None or -70 <= x <= 0,
        expected="-70 to 0; -23 is usual, -16 is loud",
        unit="LUFS",
        metavar="LUFS",
        kind=lufs,
    )

    @property
    def sampling(self) -> SampleOptions:
        """The sampler's part."""
        return SampleOptions(**{each.name: getattr(self, each.name) for each in fields(SampleOptions)})


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What was asked for. None stands for the model's own value, or for the clip's own duration.

    The fields are the options of `EchoFrame.generate`, with the same names, units and defaults.

    Raises:
        InputError: a value is out of range.
    """

    seed: int = 0
    duration_s: float | None = None
    candidates: int = 1
    steps: int | None = None
    guidance: float | None = None
    scheduler: str | None = None
    variation: float | None = None
    sync: float | None = None
    blend: float | None = None
    prompt: str = ""
    prompt_weight: float = 0.7
    negative_prompt: str = ""
    prompts: tuple[Spot, ...] = ()
    labels: Mapping[str, float] = field(default_factory=dict)
    like: str = ""
    library: str = ""
    rank: Mapping[str, float] = field(default_factory=dict)
    nth: int = 1
    whole: bool = False
    loudness_lufs: float | None = TARGET_LUFS

    def __post_init__(self) -> None:
        for each in fields(Settings):
            if getattr(self, each.name) is not None:
                check(each, getattr(self, each.name))

    def settle(self, defaults: SampleOptions, *, duration_s: float) -> Settings:
        """The settings, with the model's defaults and the clip's duration where nothing was asked for."""
        own: dict[str, Any] = {each.name: getattr(defaults, each.name) for each in fields(SampleOptions)}
        own["duration_s"] = duration_s
        asked: dict[str, Any] = {each.name: getattr(self, each.name) for each in fields(self)}
        return Settings(**asked | {name: value for name, value in own.items() if asked[name] is None})


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteOptions:
    """How results are written.

    overwrite: replace earlier results. force: replace any file, and allow more than an hour. reencode: write a film's
    picture as H.264 where no container can hold it as it is.
    """

    original_level_db: float | None = option(
        default=None,
        default_text="dropped",
        help="mix in the video's own sound at this level",
        valid=lambda x: x is None or math.isfinite(x),
        expected="decibels, such as -12",
        unit="dB",
        metavar="DB",
        kind=float,
    )
    sample_rate: int | None = option(
        default=None,
        default_text="the model's own",
        help="resample the sound files; nothing is added above the model's own band",
        valid=lambda n: n is None or 8000 <= n <= 192_000,
        expected="8000 to 192000; 48000 is usual for films",
        unit="Hz",
        metavar="HZ",
        kind=int,
    )
    channels: int | None = option(
        default=None,
        default_text="the model's own, 1",
        help="2 writes the same sound to both sides",
        valid=lambda n: n in (None, 1, 2),
        expected="1 or 2",
        metavar="N",
        kind=int,
    )
    overwrite: bool = False
    force: bool = False
    reencode: bool = False

    def __post_init__(self) -> None:
        for each in WRITE_FIELDS:
            check(each, getattr(self, each.name))


WRITE_FIELDS: tuple["Field[Any]", ...] = tuple(each for each in fields(WriteOptions) if each.metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """What a run makes of each clip, and how it goes about it.

    Raises:
        InputError: a value is out of range, or seeds and samples are both given.
    """

    seeds: str | None = option(
        default=None,
        default_text="one sound, NAME.wav",
        help="a sound for each of these seeds, such as 0-4 or 0,3,7: NAME.s0.wav, NAME.s1.wav, ...",
        valid=lambda text: text is None or 0 < len(_numbers(text)) <= MAX_SEEDS,
        expected=f"numbers such as 0-4 or 0,3,7, at most {MAX_SEEDS} of them",
        metavar="LIST",
    )
    samples: int | None = option(
        default=None,
        default_text="one sound, NAME.wav",
        help="N sounds with the seeds from --seed on, named as with --seeds",
        valid=lambda n: n is None or 1 <= n <= MAX_SEEDS,
        expected=f"1 to {MAX_SEEDS}",
        metavar="N",
        kind=int,
    )
    keep: int = option(
        default=1,
        help="write the N best candidates: NAME.wav, NAME.2.wav, ...",
        valid=lambda n: 1 <= n <= MAX_CANDIDATES,
        expected=f"1 to {MAX_CANDIDATES}, and no more than there are candidates",
        metavar="N",
        kind=int,
    )
    batch_size: int = option(
        default=1,
        help="clips whose sounds are generated together: quicker on a GPU, and takes more memory",
        valid=lambda n: 1 <= n <= MAX_BATCH,
        expected=f"1 to {MAX_BATCH}",
        metavar="N",
        kind=int,
    )
    shard: str | None = option(
        default=None,
        default_text="all clips",
        help="make only the I-th of N shares of the clips, such as 1/4; several runs may share a folder so",
        valid=lambda text: text is None or _share(text) is not None,
        expected="I/N with I from 1 to N, such as 1/4",
        metavar="I/N",
    )

    def __post_init__(self) -> None:
        for each in fields(self):
            check(each, getattr(self, each.name))
        if self.seeds is not None and self.samples is not None:
            raise InputError(f"seeds {self.seeds} and samples {self.samples} exclude each other; leave out one of them")

    def seeds_from(self, first: int) -> tuple[int, ...]:
        """The seeds of each clip's sounds; none where one sound without a number in its name is wanted.

        >>> RunOptions(seeds="0-2,7").seeds_from(0), RunOptions(samples=2).seeds_from(5), RunOptions().seeds_from(0)
        ((0, 1, 2, 7), (5, 6), ())
        """
        if self.samples is not None:
            return tuple(range(first, first + self.samples))
        return _numbers(self.seeds or "")

    @property
    def share(self) -> tuple[int, int]:
        """Which share of how many, counted from 1.

        >>> RunOptions(shard="2/8").share, RunOptions().share
        ((2, 8), (1, 1))
        """
        return _share(self.shard or "") or (1, 1)


def _numbers(text: str) -> tuple[int, ...]:
    """The numbers that "0-2,7" names, each once; none for what cannot be read, and for far too many."""
    found: dict[int, None] = {}
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not (first.isdecimal() and (last.isdecimal() or not dash)):
            return ()
        begin, end = int(first), int(last or first)
        found |= dict.fromkeys(range(begin, min(end, begin + MAX_SEEDS) + 1))
    return tuple(found)


def _share(text: str) -> tuple[int, int] | None:
    number, _, total = text.partition("/")
    if not (number.isdecimal() and total.isdecimal() and 1 <= int(number) <= int(total)):
        return None
    return int(number), int(total)


# in the order in which people read them
REQUEST_FIELDS: tuple["Field[Any]", ...] = tuple(
    next(each for each in fields(Settings) if each.name == asked.name) for asked in fields(Request)
)


def check_duration(duration_s: float, *, force: bool) -> None:
    """Raises InputError for a duration above one hour, unless forced."""
    if duration_s > MAX_DURATION_S and not force:
        raise InputError(f"duration {duration_s:g} s: longer than {MAX_DURATION_S:g} s; use --force to allow it")
