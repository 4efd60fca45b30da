"""Folders of generated sounds beside the real ones: one table, with chance, floor, bounds and differences."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from echoframe.errors import AudioError, InputError, VideoError
from echoframe.evaluation.features import Ear, SoundFeatures
from echoframe.evaluation.figures import Side
from echoframe.evaluation.judges import Judge, ReadingJudge
from echoframe.evaluation.judges.registry import load_judge
from echoframe.evaluation.known_lists import name_of_list
from echoframe.evaluation.motion import motion_envelope
from echoframe.evaluation.protocols import NEEDS_FILMS, NEEDS_LABELS, TIMED, Figure, Protocol, find_protocol
from echoframe.evaluation.rows import make_rows
from echoframe.evaluation.sounds import Pairing, find_sounds, pair, read_clips, unpaired
from echoframe.evaluation.table import Column, Table

REFERENCE = "reference"
LISTED = 5  # names in a note; all stand in the JSON
Tell = Callable[[str], None]
Motion = dict[str, np.ndarray]
Dropped = dict[str, dict[str, str]]


@dataclass(frozen=True, kw_only=True, slots=True)
class EvaluateConfig:
    """reference: folder of the real sounds, or of films for their sound. generated: folders by the system's name.

    video: folder of films by the same names, for the alignment with what moves. clips: a list of names and labels: only
    these count, and all of them are expected. paired: False compares sets of sounds, whatever their names. weights: file
    or folder of a judge's weights, by judge. draws: of the bootstrap. cache: folder to keep features in; None keeps nothing.
    """

    reference: Path
    generated: Mapping[str, Path]
    video: Path | None = None
    clips: Path | None = None
    paired: bool = True
    protocol: str = "echoframe"
    weights: Mapping[str, Path] = field(default_factory=dict)
    draws: int = 1000
    seed: int = 0
    device: str = "auto"
    cache: Path | None = None

    def __post_init__(self) -> None:
        if not self.generated:
            raise InputError("no system to judge; give one or more as --generated NAME=FOLDER")
        strange = [name for name in self.generated if not name.strip() or name == REFERENCE]
        if strange:
            raise InputError(f'"{strange[0]}" cannot be a system\'s name; choose another before the =')
        if not self.paired and (self.clips or self.video):
            raise InputError("a list of clips, and films, are of use for pairs only; leave them out")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """table: what is read. stems: the clips counted. clips: by system, column and clip, the figures that are means over
    clips. dropped: by folder and clip, why it could not be judged. pairing: which files belong together.
    """

    table: Table
    clips: Mapping[str, Mapping[str, Mapping[str, float]]]
    stems: tuple[str, ...]
    dropped: Mapping[str, Mapping[str, str]]
    pairing: Pairing
    config: dict[str, Any]


def evaluate(config: EvaluateConfig, *, tell: Tell | None = None) -> Evaluation:
    """Judges every system on the clips that all of them have. Raises InputError where no clip is left."""
    protocol = find_protocol(config.protocol)
    clips = read_clips(config.clips) if config.clips else {}
    folders = {REFERENCE: config.reference, **config.generated}
    pairing = pair(folders, wanted=list(clips) or None) if config.paired else unpaired(folders)
    judges, lacking = _judges(config, protocol)
    heard, dropped = _hear(config, protocol, judges, pairing, tell)
    motion = _motion(config, protocol, pairing, dropped)
    stems = [stem for stem in pairing.stems if not any(stem in some for some in dropped.values())]
    if not (stems if config.paired else all(heard.values())):
        reason = next(iter(next(iter(dropped.values())).values()))
        raise InputError(f"{config.reference}: no clip could be judged in every folder; the first: {reason}")
    labels = [clips.get(stem, "") for stem in stems]
    words = _words(judges, labels) if labels and all(labels) else {}
    sides = {
        name: Side(
            sounds=[sounds[stem] for stem in stems] if config.paired else list(sounds.values()),
            labels=labels if all(labels) else (),
            motion=[motion[stem] for stem in stems] if motion else (),
            words=words,
        )
        for name, sounds in heard.items()
    }
    reference = sides.pop(REFERENCE)
    figures = [figure for figure in protocol.figures if figure.judge not in lacking and _is_possible(figure, reference)]
    rows = make_rows(figures, reference, sides, draws=config.draws, seed=config.seed, paired=config.paired, tell=tell)
    shown = {key for line in rows.lines for key in line.cells}
    hashes = {name: judge.sha256 for name, judge in judges.items()}
    table = Table(
        title=f"Protocol {protocol.name}: {protocol.about}.",
        columns=[_column(figure, protocol, hashes) for figure in figures if figure.key in shown],
        lines=rows.lines,
        notes=[
            *_notes(config, pairing, stems, {REFERENCE: reference, **sides}, dropped),
            *(f"Judge {name}: {one.source}; sha256 of its weights {one.sha256[:16]}." for name, one in judges.items()),
            *(f"Left out, for want of a judge: {why}." for why in lacking.values()),
        ],
    )
    per_clip = {
        name: {key: dict(zip(stems, some.tolist(), strict=True)) for key, some in found.items()}
        for name, found in rows.per_clip.items()
    }
    return Evaluation(
        table=table, clips=per_clip, stems=tuple(stems), dropped=dropped, pairing=pairing, config=_plain(config)
    )


def _judges(config: EvaluateConfig, protocol: Protocol) -> tuple[dict[str, Judge], dict[str, str]]:
    """Those that can be had, and why the others cannot. Raises InputError if there is none."""
    judges: dict[str, Judge] = {}
    lacking: dict[str, str] = {}
    strange = set(config.weights) - set(protocol.judges)
    if strange:
        raise InputError(
            f'weights for "{min(strange)}": protocol {protocol.name} has judges {", ".join(protocol.judges)}; '
            "give weights for these, or choose another protocol"
        )
    for name in protocol.judges:
        try:
            judges[name] = load_judge(name, weights=config.weights.get(name), device=config.device)
        except InputError as error:
            lacking[name] = str(error)
    if not judges:
        raise InputError(f"protocol {protocol.name}: no judge can be had; {next(iter(lacking.values()))}")
    return judges, lacking


def _hear(
    config: EvaluateConfig, protocol: Protocol, judges: Mapping[str, Judge], pairing: Pairing, tell: Tell | None
) -> tuple[dict[str, dict[str, SoundFeatures]], Dropped]:
    """Features by folder and stem, and what could not be judged."""
    listening = {name: protocol.listening_for.get(name, protocol.listening) for name in judges}
    ear = Ear({name: (judge, listening[name]) for name, judge in judges.items()}, protocol.listening, config.cache)
    timed = any(figure.kind in TIMED for figure in protocol.figures)
    heard: dict[str, dict[str, SoundFeatures]] = {}
    dropped: Dropped = {}
    for name, files in pairing.files.items():
        heard[name] = {}
        stems = pairing.stems or sorted(files)
        for n, stem in enumerate(stems):
            try:
                heard[name][stem] = ear(files[stem], timed=timed)
            except AudioError as error:
                dropped.setdefault(name, {})[stem] = str(error)
            if tell and ((n + 1) % 50 == 0 or n + 1 == len(stems)):
                tell(f"{name}: {n + 1} of {len(stems)} sounds heard")
    return heard, dropped


def _motion(config: EvaluateConfig, protocol: Protocol, pairing: Pairing, dropped: Dropped) -> Motion:
    """What moves in each film, by stem; adds to `dropped` those that cannot be seen."""
    if config.video is None or not any(figure.kind in NEEDS_FILMS for figure in protocol.figures):
        return {}
    films, found = find_sounds(config.video), Motion()
    for stem in pairing.stems:
        try:
            if stem not in films:
                raise VideoError(f"{config.video}: has no film {stem}")
            found[stem] = motion_envelope(films[stem])
        except (VideoError, InputError) as error:
            dropped.setdefault("video", {})[stem] = str(error)
    return found


def _words(judges: Mapping[str, Judge], labels: Sequence[str]) -> dict[str, np.ndarray]:
    """Each clip's label as the judges that read see it."""
    names = sorted(set(labels))
    found: dict[str, np.ndarray] = {}
    for name, judge in judges.items():
        if isinstance(judge, ReadingJudge):
            read = judge.read(names).double().cpu().numpy()
            found[name] = read[[names.index(label) for label in labels]]
    return found


def _is_possible(figure: Figure, reference: Side) -> bool:
    if figure.kind in NEEDS_LABELS:
        return bool(reference.labels)
    return bool(reference.motion) if figure.kind in NEEDS_FILMS else True


def _column(figure: Figure, protocol: Protocol, judges: Mapping[str, str]) -> Column:
    return Column(
        key=figure.key,
        title=figure.title,
        better=figure.better,
        digits=figure.digits,
        definition=figure.about,
        protocol=protocol.name,
        judge=figure.judge,
        judge_sha256=judges.get(figure.judge, ""),
    )


def _notes(
    config: EvaluateConfig, pairing: Pairing, stems: Sequence[str], sides: Mapping[str, Side], dropped: Dropped
) -> list[str]:
    """What a reader has to know of the clips: which, how many, and which not."""
    on = name_of_list(stems) if config.paired else "sets of sounds that do not belong together in pairs"
    notes = [f"On {on}; intervals are 95 %, {config.draws} bootstrap draws of clips, seed {config.seed}."]
    notes += [f"Missing in {name}: {_some(names)}." for name, names in pairing.missing.items()]
    notes += [f"Not counted, as not in the list, in {name}: {_some(names)}." for name, names in pairing.extra.items()]
    notes += [
        f"Dropped everywhere, as {name} could not be judged: {_some(list(some))}." for name, some in dropped.items()
    ]
    for name, side in sides.items():
        silent = [n for n, sound in enumerate(side.sounds) if sound.is_silent]
        cut = sum(sound.is_cut for sound in side.sounds)
        named = _some([stems[n] for n in silent]) if stems else str(len(silent))
        notes += [f"Silent in {name}, and judged so: {named}."] if silent else []
        notes += [f"Longer than what is heard, in {name}: {cut}."] if cut else []
    return notes


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{len(names)} ({', '.join(names[:LISTED])}{more})"


def _plain(config: EvaluateConfig) -> dict[str, Any]:
    values = asdict(config) | {"generated": {name: str(path) for name, path in config.generated.items()}}
    values["weights"] = {name: str(path) for name, path in config.weights.items()}
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
