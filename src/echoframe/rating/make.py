"""Making a study of folders of sounds."""

import json
import os
import random
import secrets
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

from echoframe.errors import InputError, OutputError
from echoframe.evaluation.sounds import Listening, Pairing, listen, pair, read_clips
from echoframe.evaluation.table import listed
from echoframe.output import atomic_folder
from echoframe.rating.media import LONGEST, Film, MediaMaker, read_film
from echoframe.rating.study import BEEPS, CHECK, MEDIA, PREFERENCE, QUESTIONS, STUDY, Item, Study

REFERENCE, FILMS = "reference", "video"
RESERVED = (REFERENCE, FILMS, CHECK)
_BREAKING = ("Cc", "Cs", "Zl", "Zp")  # Unicode's control characters, halves of characters, ends of lines and paragraphs
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
        broken = [
            text for text in (self.title, *self.generated) if any(unicodedata.category(c) in _BREAKING for c in text)
        ]
        if broken:
            raise InputError(f"{broken[0]!a}: a title or name with a control character or a line break; leave it out")
        systems = len(self.generated) + (self.reference is not None)
        if systems < 1 + self.pairs:
            wanted = "pairs need two systems, the reference counts" if self.pairs else "no system to rate"
            raise InputError(f"{wanted}; give them as --generated NAME=FOLDER")
        self._check_questions()
        if self.per_rater < 0 or self.checks < 0:
            raise InputError(f"{self.per_rater} clips and {self.checks} checks a rater; expected 0 or more of each")

    def _check_questions(self) -> None:
        if self.pairs and self.questions:
            raise InputError("a study of pairs only asks which sound is preferred; leave out --questions or --pairs")
        unknown = [question for question in self.questions if question not in QUESTIONS]
        if unknown:
            raise InputError(f'"{unknown[0]}" is not a question; expected some of {", ".join(QUESTIONS)}')
        twice = [question for n, question in enumerate(self.questions) if question in self.questions[:n]]
        if twice:
            raise InputError(f'"{twice[0]}" is asked twice; give each question once')
        if "synchrony" in self.questions and self.video is None:
            raise InputError("synchrony cannot be judged without videos; give them with --video, or leave it out")
        if "relevance" in self.questions and self.video is None and self.clips is None:
            raise InputError("relevance needs videos or labels; give videos with --video, or labels with --clips")


@dataclass(frozen=True, kw_only=True, slots=True)
class _Clips:
    """What there is of each clip. systems: folders by name, the reference among them."""

    systems: Sequence[str]
    pairing: Pairing
    films: Mapping[str, Film]
    labels: Mapping[str, str]

    @property
    def unlabelled(self) -> list[str]:
        return [stem for stem in self.pairing.stems if not self.labels.get(stem)]


def make_study(config: StudyConfig, folder: Path, *, tell: Tell | None = None) -> Study:
    """Makes the study's folder and those above it. Raises InputError if there is such a folder, or nothing to rate, and
    OutputError if it cannot be written; then there is no study.
    """
    if os.path.lexists(folder):
        raise InputError(_taken(folder))
    clips = _find(config)
    questions = _questions(config, clips)
    with _whole(folder) as partial:
        (partial / MEDIA).mkdir()
        made = MediaMaker(partial / MEDIA)
        items = [*_items(config, clips, made, tell), *_checks(config, clips, made)]
        study = Study(
            title=config.title,
            kind="pairs" if config.pairs else "single",
            questions=questions,
            seed=config.seed,
            per_rater=config.per_rater,
            checks=config.checks,
            systems=tuple(clips.systems),
            items=tuple(items),
            notes=(*made.notes(), *_notes(config, clips, questions)),
        )
        (partial / STUDY).write_text(json.dumps(asdict(study), indent=1) + "\n", encoding="utf-8")
    return study


def _find(config: StudyConfig) -> _Clips:
    labels = read_clips(config.clips) if config.clips else {}
    systems = {**({REFERENCE: config.reference} if config.reference else {}), **config.generated}
    folders = systems if config.video is None else {**systems, FILMS: config.video}
    pairing = pair(folders, wanted=list(labels) or None, films=(FILMS,))
    found = pairing.files.get(FILMS)
    films = {stem: read_film(found[stem]) for stem in pairing.stems} if found else {}
    return _Clips(systems=tuple(systems), pairing=pairing, films=films, labels=labels)


@contextmanager
def _whole(folder: Path) -> Iterator[Path]:
    """A folder to fill, which becomes `folder` if the block ends well, and is removed if it does not."""
    try:
        with atomic_folder(folder) as partial:
            yield partial
    except OSError as error:
        if os.path.lexists(folder):  # another command was quicker
            raise InputError(_taken(folder)) from error
        raise OutputError(
            f"{folder}: cannot be made ({error.strerror or error}); choose another place for the study"
        ) from error


def _taken(folder: Path) -> str:
    return f"{folder}: is there already; choose another name, or delete it with all its answers"


def _item(**values: Any) -> Item:
    return Item(id=secrets.token_hex(8), **values)


def _questions(config: StudyConfig, clips: _Clips) -> tuple[str, ...]:
    """What is asked. Raises InputError if that is relevance to clips with neither film nor label."""
    if config.pairs:
        return (PREFERENCE,)
    if "relevance" in config.questions and config.video is None and clips.unlabelled:
        raise InputError(
            f"{config.clips}: no label for {listed(clips.unlabelled)}; add them, or leave relevance out of --questions"
        )
    if config.questions:
        return tuple(config.questions)
    if config.video is not None:
        return QUESTIONS
    return QUESTIONS[:1] if clips.unlabelled else QUESTIONS[:2]


def _items(config: StudyConfig, clips: _Clips, made: MediaMaker, tell: Tell | None) -> list[Item]:
    items, stems, files = [], clips.pairing.stems, clips.pairing.files
    for n, stem in enumerate(stems):
        sounds = [(f"{name} {stem}", listen(files[name][stem], Listening(clip_s=LONGEST))) for name in clips.systems]
        media = dict(zip(clips.systems, made.clip(sounds, clips.films.get(stem)), strict=True))
        for systems in combinations(clips.systems, 2 if config.pairs else 1):
            own = tuple(media[name] for name in systems)
            items.append(_item(clip=stem, systems=systems, media=own, label=clips.labels.get(stem, "")))
        if tell:
            tell(f"{n + 1} of {len(stems)} clips ready")
    return items


def _checks(config: StudyConfig, clips: _Clips, made: MediaMaker) -> list[Item]:
    draw = random.Random(f"{config.seed} checks")  # noqa: S311
    items, stems = [], clips.pairing.stems
    for n in range(config.checks):
        name, stem = f"{CHECK} {n + 1}", stems[draw.randrange(len(stems))]
        beeps = tuple(draw.sample(BEEPS, 2 if config.pairs else 1))
        media, systems = made.beeps(name, beeps, clips.films.get(stem)), (CHECK,) * len(beeps)
        items.append(_item(clip=name, systems=systems, media=media, label=clips.labels.get(stem, ""), beeps=beeps))
    return items


def _notes(config: StudyConfig, clips: _Clips, questions: Sequence[str]) -> list[str]:
    """What a reader of the report has to know of the clips."""
    is_left_out = any(clips.labels.values()) and not (config.pairs or config.questions or "relevance" in questions)
    return [
        *([f"Relevance is not asked, as clips have no label: {listed(clips.unlabelled)}."] if is_left_out else []),
        *(f"Missing in {name}: {listed(some)}." for name, some in clips.pairing.missing.items()),
        *(f"Not used, as not in the list, in {name}: {listed(some)}." for name, some in clips.pairing.extra.items()),
    ]
