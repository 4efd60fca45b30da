"""A study: which sounds are rated, under which names nobody can guess, in a folder of its own.

*Conventions* (ITU-T P.800 absolute category rating; P.808 for checks of attention): a study asks of single sounds how good
they are, 1 (bad) to 5 (excellent), or which of two is preferred. Every sound is mono, at one loudness, in one format, and
bears a random name. With films the sound lies under its clip's film. A check of attention is a sound of one to five beeps:
the page asks to answer with their number, or for the side with more of them.
"""

import json
import random
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.audio import n_samples
from echoframe.config import from_dict
from echoframe.errors import ConfigError, InputError
from echoframe.evaluation.sounds import Excerpt, Listening, listen, pair, read_clips
from echoframe.loudness import to_loudness
from echoframe.mux import mux, mux_suffix
from echoframe.output import check_folder, encode_sound
from echoframe.video import probe

REFERENCE, FILMS, CHECK = RESERVED = ("reference", "video", "check")
QUESTIONS = ("quality", "relevance", "synchrony")
PREFERENCE = "preference"
LOUDNESS = -23.0  # LUFS
LONGEST = 60.0  # s
PLAYED_BY_BROWSERS = ("h264", "vp8", "vp9", "av1")
BEEP_HZ, BEEP_S, GAP_S = 880.0, 0.25, 0.35
STUDY, MEDIA, ANSWERS = "study.json", "media", "answers.sqlite"
Tell = Callable[[str], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class StudyConfig:
    """generated: folders of sounds by the system's name. reference: of the real sounds, rated as one more system, unnamed.

    video: folder of films by the same names. clips: a list NAME[,label]: only these, and the page shows the label. pairs:
    two sounds side by side instead of one. questions: of single sounds. per_rater: how many clips each is given, with the
    sounds of all systems, 0 for all. checks: of attention, for each rater. seed: of the order, the sides, who is given what.
    """

    generated: Mapping[str, Path]
    reference: Path | None = None
    video: Path | None = None
    clips: Path | None = None
    title: str = "Listening test"
    pairs: bool = False
    questions: Sequence[str] = ()
    per_rater: int = 0
    checks: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        strange = [name for name in self.generated if not name.strip() or name in RESERVED]
        if strange:
            raise InputError(f'"{strange[0]}" cannot be a system\'s name; choose another before the =')
        systems = len(self.generated) + (self.reference is not None)
        if systems < 1 + self.pairs:
            wanted = "pairs need two systems, the reference counts" if self.pairs else "no system to rate"
            raise InputError(f"{wanted}; give them as --generated NAME=FOLDER")
        if self.pairs and self.questions:
            raise InputError("pairs ask which sound is preferred, and nothing else; leave out --questions or --pairs")
        unknown = [question for question in self.questions if question not in QUESTIONS]
        if unknown:
            raise InputError(f'"{unknown[0]}" is no question; expected some of {", ".join(QUESTIONS)}')
        if "synchrony" in self.questions and self.video is None:
            raise InputError("synchrony cannot be judged without films; give them with --video, or leave it out")
        if "relevance" in self.questions and self.video is None and self.clips is None:
            raise InputError("relevance to what? give films with --video, or labels with --clips")
        if self.per_rater < 0 or self.checks < 0:
            raise InputError(f"{self.per_rater} clips and {self.checks} checks a rater; expected 0 or more of each")


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """One screen. id: random. media: file names in the folder `media`, one or, for a pair, two. systems: whose they are.

    beeps: how many in each, for a check of attention; empty for the rest. label: what the clip shows, or "".
    """

    id: str
    clip: str
    systems: tuple[str, ...]
    media: tuple[str, ...]
    label: str = ""
    beeps: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Study:
    """What study.json holds. checks: items of beeps; the first `n` of a rater's own order are given."""

    title: str
    kind: Literal["single", "pairs"]
    questions: tuple[str, ...]
    seed: int
    per_rater: int
    checks: int
    systems: tuple[str, ...]
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()

    def items_for(self, rater: int) -> list[Item]:
        """The rater's items in their order: all of their clips, whose turn goes round from rater to rater, and the checks."""
        clips = list(dict.fromkeys(item.clip for item in self.items if not item.beeps))
        beeps = [item for item in self.items if item.beeps]
        random.Random(f"{self.seed} share").shuffle(clips)  # noqa: S311
        n = min(self.per_rater or len(clips), len(clips))
        own = {clips[((rater - 1) * n + k) % len(clips)] for k in range(n)}
        given = [item for item in self.items if item.clip in own and not item.beeps]
        order = random.Random(f"{self.seed} order {rater}")  # noqa: S311
        given += order.sample(beeps, min(self.checks, len(beeps)))
        order.shuffle(given)
        return given

    def is_swapped(self, rater: int, item: Item) -> bool:
        """Whether this rater sees the second of a pair on the left."""
        return len(item.media) == 2 and random.Random(f"{self.seed} side {rater} {item.id}").random() < 0.5  # noqa: S311


def make_study(config: StudyConfig, folder: Path, *, tell: Tell | None = None) -> Study:
    """Makes the study's folder, whole or not at all. Raises InputError if there is such a folder, or nothing to rate."""
    if folder.exists():
        raise InputError(f"{folder}: is there already; choose another name, or delete it with all its answers")
    check_folder(folder.parent)
    labels = read_clips(config.clips) if config.clips else {}
    folders = {**({REFERENCE: config.reference} if config.reference else {}), **config.generated}
    everything = folders if config.video is None else {**folders, FILMS: config.video}
    pairing = pair(everything, wanted=list(labels) or None)
    films = pairing.files.get(FILMS, {})
    for stem in pairing.stems:
        if stem in films:
            _check_film(films[stem])
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.tmp")
    (partial / MEDIA).mkdir(parents=True)
    try:
        made = _Maker(partial / MEDIA)
        items: list[Item] = []
        for n, stem in enumerate(pairing.stems):
            sounds = {name: listen(pairing.files[name][stem], Listening(clip_s=LONGEST)) for name in folders}
            media = {name: made.sound(sound, films.get(stem)) for name, sound in sounds.items()}
            groups = combinations(folders, 2) if config.pairs else [(name,) for name in folders]
            for systems in groups:
                files = tuple(media[name] for name in systems)
                items.append(_item(clip=stem, systems=systems, media=files, label=labels.get(stem, "")))
            if tell:
                tell(f"{n + 1} of {len(pairing.stems)} clips ready")
        items += _checks(config, pairing.stems, films, labels, made)
        study = Study(
            title=config.title,
            kind="pairs" if config.pairs else "single",
            questions=(PREFERENCE,) if config.pairs else tuple(config.questions) or _questions(config, labels),
            seed=config.seed,
            per_rater=config.per_rater,
            checks=config.checks,
            systems=tuple(folders),
            items=tuple(items),
            notes=(
                *made.notes(),
                *(f"Missing in {name}: {', '.join(some)}." for name, some in pairing.missing.items()),
            ),
        )
        (partial / STUDY).write_text(json.dumps(asdict(study), indent=1) + "\n", encoding="utf-8")
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return study


def load_study(folder: Path) -> Study:
    """The study in `folder`. Raises InputError if there is none, or its description is damaged."""
    path = folder / STUDY
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        values["items"] = tuple(from_dict(Item, item, name=str(path)) for item in values["items"])
        return from_dict(Study, values, name=str(path))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder}: holds no study ({STUDY} is not there); make one with echoframe rate make"
        ) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ConfigError) as error:
        raise InputError(f"{path}: is damaged ({error}); take it from a copy, or make the study again") from error


def _item(**values: Any) -> Item:
    return Item(id=secrets.token_hex(8), **values)


def _questions(config: StudyConfig, labels: Mapping[str, str]) -> tuple[str, ...]:
    if config.video is not None:
        return QUESTIONS
    return QUESTIONS[:2] if any(labels.values()) else QUESTIONS[:1]


def _checks(
    config: StudyConfig,
    stems: Sequence[str],
    films: Mapping[str, Path],
    labels: Mapping[str, str],
    made: "_Maker",
) -> list[Item]:
    draw = random.Random(f"{config.seed} checks")  # noqa: S311
    items = []
    for n in range(config.checks):
        stem = stems[draw.randrange(len(stems))]
        beeps = tuple(draw.sample(range(1, 6), 2 if config.pairs else 1))
        media = tuple(made.sound(_beeps(count), films.get(stem)) for count in beeps)
        systems = (CHECK,) * len(media)
        items.append(
            _item(clip=f"{CHECK} {n + 1}", systems=systems, media=media, label=labels.get(stem, ""), beeps=beeps)
        )
    return items


def _beeps(count: int, sample_rate: int = 16_000) -> Excerpt:
    time = torch.arange(n_samples(BEEP_S, sample_rate)) / sample_rate
    tone = torch.sin(2 * torch.pi * BEEP_HZ * time) * torch.hann_window(len(time)).clamp(max=0.1) * 3
    one = torch.cat([tone, torch.zeros(n_samples(GAP_S, sample_rate))])
    return Excerpt(waveform=one.repeat(count)[None], sample_rate=sample_rate, is_cut=False)


def _check_film(path: Path) -> None:
    codec = probe(path).video_codec
    if codec not in PLAYED_BY_BROWSERS:
        raise InputError(f"{path}: its video is {codec}, which browsers do not play; convert it to H.264 in MP4")


class _Maker:
    """Writes media under random names."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._cut = 0

    def sound(self, sound: Excerpt, film: Path | None) -> str:
        """The sound as the study plays it; its file's name."""
        waveform: Float[Tensor, "1 samples"] = to_loudness(sound.waveform, sound.sample_rate, LOUDNESS)
        self._cut += sound.is_cut
        name = secrets.token_hex(12) + (mux_suffix(film) if film else ".wav")
        if film is None:
            (self._folder / name).write_bytes(encode_sound(waveform.numpy(), sound.sample_rate, suffix=".wav"))
        else:
            mux(film, waveform, sound.sample_rate, self._folder / name)
        return name

    def notes(self) -> list[str]:
        return [f"Sounds longer than {LONGEST:g} s, whose beginning is played: {self._cut}."] if self._cut else []
