"""Folders of generated sounds beside the real ones: one table, with chance, floor, bounds and differences."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from echoframe.errors import AudioError, BundleError, InputError, VideoError
from echoframe.evaluation.bootstrap import FEWEST_DRAWS
from echoframe.evaluation.features import Ear, SoundFeatures
from echoframe.evaluation.figures import SoundSet, fewest
from echoframe.evaluation.judges import Judge, ReadingJudge
from echoframe.evaluation.judges.registry import load_judge
from echoframe.evaluation.judges.yamnet import label_classes
from echoframe.evaluation.known_lists import name_of_list
from echoframe.evaluation.motion import motion_envelope
from echoframe.evaluation.protocols import NEEDS_FILMS, NEEDS_LABELS, TIMED, Figure, Protocol, find_protocol
from echoframe.evaluation.rows import make_rows
from echoframe.evaluation.sounds import Pairing, find_films, pair, read_clips, unpaired
from echoframe.evaluation.table import Column, Table, listed

REFERENCE, FILMS = RESERVED = ("reference", "video")
REMARKS = {
    "silent": "Silent in {}, and judged so: {}.",
    "cancels": "Cancels in mono, as its channels are each other's opposite, and is judged as what is left, in {}: {}.",
    "cut": "Longer than what is heard, in {}: {}.",
    "short": "Ends before its reference, and is silent from there, in {}: {}.",
    "steady": "Without an onset, as its reference is, so that onset F1 leaves it out, in {}: {}.",
}
LENGTHS_WITHIN_S = 0.1  # codecs pad
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
        strange = [name for name in self.generated if not name.strip() or name in RESERVED or not name.isprintable()]
        if strange:
            name = json.dumps(strange[0], ensure_ascii=False)
            raise InputError(f"{name} cannot be a system's name; choose another before the =")
        if self.draws < FEWEST_DRAWS or self.seed < 0:
            raise InputError(
                f"--draws {self.draws}, --seed {self.seed}; expected {FEWEST_DRAWS} draws or more, and a seed of 0 or more"
            )
        if not self.paired and (self.clips or self.video):
            raise InputError("a list of clips and a folder of videos only work with pairs; leave them out")


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """table: what is read. stems: the clips counted; without pairs none. clips: by system, column and clip, the figures that
    are means over clips; clips of which a figure says nothing are not in it. dropped: by folder and clip, why it could not be
    judged. pairing: which files belong together. judged: by folder, the names of the sounds that were. remarks: by remark and
    folder, the names of sounds it is true of.
    """

    table: Table
    clips: Mapping[str, Mapping[str, Mapping[str, float]]]
    stems: tuple[str, ...]
    dropped: Mapping[str, Mapping[str, str]]
    pairing: Pairing
    judged: Mapping[str, tuple[str, ...]]
    remarks: Mapping[str, Mapping[str, tuple[str, ...]]]
    config: dict[str, Any]


def evaluate(config: EvaluateConfig, *, tell: Tell | None = None) -> Evaluation:
    """Judges every system on the clips that all of them have. Raises InputError where no clip is left."""
    protocol = find_protocol(config.protocol)
    clips = read_clips(config.clips) if config.clips else {}
    folders = {REFERENCE: config.reference, **config.generated}
    wanted = list(clips) or None
    pairing = pair(folders, wanted=wanted, sampled=config.generated) if config.paired else unpaired(folders)
    judges, lacking = _judges(config, protocol)
    heard, dropped = _hear(config, protocol, judges, pairing, tell)
    motion = _motion(config, protocol, pairing, dropped)
    stems = [stem for stem in pairing.stems if not _is_dropped(stem, pairing, dropped)]
    if not (stems if config.paired else all(heard.values())):
        reason = next(iter(next(iter(dropped.values())).values()))
        raise InputError(f"{config.reference}: no clip could be judged in every folder; the first: {reason}")
    labels = [clips.get(stem, "") for stem in stems]
    words = _words(judges, labels) if labels and all(labels) else {}
    judged = {
        name: [pairing.sounds_of(name, stem) for stem in stems] if config.paired else [(one,) for one in sounds]
        for name, sounds in heard.items()
    }
    sides = {
        name: SoundSet(
            sounds=[sounds[own[0]] for own in judged[name]],
            further=[[sounds[one] for one in own[1:]] for own in judged[name]],
            labels=labels if all(labels) else (),
            motion=[motion[stem] for stem in stems] if motion else (),
            words=words,
        )
        for name, sounds in heard.items()
    }
    reference = sides.pop(REFERENCE)
    figures = [figure for figure in protocol.figures if figure.judge not in lacking and _is_asked(figure, config)]
    rows = make_rows(figures, reference, sides, draws=config.draws, seed=config.seed, paired=config.paired, tell=tell)
    shown = {key for line in rows.lines for key in line.cells}
    judged = {name: tuple(one for own in some for one in own) for name, some in judged.items()}
    remarks = _remarks(judged, {REFERENCE: reference, **sides}, paired=config.paired)
    hashes = {name: judge.sha256 for name, judge in judges.items()}
    table = Table(
        title=f"Protocol {protocol.name}: {protocol.about}.",
        short=f"Evaluation: {protocol.name}",
        columns=[_column(figure, protocol, hashes) for figure in figures if figure.key in shown],
        lines=rows.lines,
        notes=[
            *_notes(config, pairing, judged, dropped),
            *(REMARKS[of].format(name, listed(some)) for of, found in remarks.items() for name, some in found.items()),
            *_left_out([figure for figure in figures if figure.key not in shown], len(reference.sounds), clips, labels),
            *(f"Judge {name}: {one.source}; sha256 of its weights {one.sha256[:16]}." for name, one in judges.items()),
            *(f"Left out, for want of a judge: {why}." for why in lacking.values()),
        ],
    )
    per_clip = {
        name: {
            key: {stem: value for stem, value in zip(stems, some.tolist(), strict=True) if not math.isnan(value)}
            for key, some in found.items()
        }
        for name, found in rows.per_clip.items()
    }
    return Evaluation(
        table=table,
        clips=per_clip,
        stems=tuple(stems) if config.paired else (),
        dropped=dropped,
        pairing=pairing,
        judged=judged,
        remarks=remarks,
        config=_plain(config),
    )


def _is_dropped(stem: str, pairing: Pairing, dropped: Dropped) -> bool:
    return any(one in some for name, some in dropped.items() for one in pairing.sounds_of(name, stem))


def _judges(config: EvaluateConfig, protocol: Protocol) -> tuple[dict[str, Judge], dict[str, str]]:
    """Those that can be had, and why the others cannot. Raises InputError if there is none, BundleError if weights that are
    there are not what they should be; each names all."""
    judges: dict[str, Judge] = {}
    lacking: dict[str, str] = {}
    strange = set(config.weights) - set(protocol.judges)
    if strange:
        raise InputError(
            f'weights for "{min(strange)}": protocol {protocol.name} has judges {", ".join(protocol.judges)}; '
            "give weights for these, or choose another protocol"
        )
    wrong: list[str] = []
    for name in protocol.judges:
        try:
            judges[name] = load_judge(name, weights=config.weights.get(name), device=config.device)
        except InputError as error:
            lacking[name] = str(error)
        except BundleError as error:
            wrong.append(str(error))
    if wrong:
        raise BundleError("; ".join(wrong))
    if not judges:
        raise InputError(
            f"protocol {protocol.name}: no judge is available: {'; '.join(lacking.values())}; or fetch them all: "
            f"echoframe evaluate pull {protocol.name}"
        )
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
        stems = [one for stem in pairing.stems for one in pairing.sounds_of(name, stem)] or sorted(files)
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
    films, found = find_films(config.video), Motion()
    for stem in pairing.stems:
        try:
            if stem not in films:
                raise VideoError(f"{config.video}: has no video {stem}")
            found[stem] = motion_envelope(films[stem])
        except (VideoError, InputError) as error:
            dropped.setdefault(FILMS, {})[stem] = str(error)
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


def _is_asked(figure: Figure, config: EvaluateConfig) -> bool:
    return config.video is not None if figure.kind in NEEDS_FILMS else True


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
        group=figure.group,
    )


def _notes(
    config: EvaluateConfig, pairing: Pairing, judged: Mapping[str, Sequence[str]], dropped: Dropped
) -> list[str]:
    """What a reader has to know of the clips: which, how many, and which not."""
    on = name_of_list(judged[REFERENCE])
    if not config.paired:
        counts = ", ".join(f"{len(some)} of {name}" for name, some in judged.items())
        on = f"sets of sounds that do not belong together in pairs ({counts})"
    notes = [f"On {on}; intervals are 95 %, {config.draws} bootstrap draws of clips, seed {config.seed}."]
    notes += [
        f"Several sounds of a clip in {name}: {len(some)} of {len(judged[REFERENCE])} clips; a figure is the mean over the "
        "clip's sounds."
        for name, some in judged.items()
        if config.paired and len(some) > len(judged[REFERENCE])
    ]
    notes += [
        f"Taken for the clips of these names, and for no other clip's sounds, in {name}: {listed(names)}."
        for name, names in pairing.exact.items()
    ]
    notes += [f"Missing in {name}: {listed(names)}." for name, names in pairing.missing.items()]
    notes += [f"Not counted, as not in the list, in {name}: {listed(names)}." for name, names in pairing.extra.items()]
    notes += [f"Passed over in {name}, as no sound: {listed(names)}." for name, names in pairing.unused.items()]
    where = (
        "Dropped everywhere, as {} could not be judged"
        if config.paired
        else "Dropped from {}, as they could not be judged"
    )
    return notes + [f"{where.format(name)}: {listed(list(some))}." for name, some in dropped.items()]


def _remarks(
    judged: Mapping[str, Sequence[str]], sides: Mapping[str, SoundSet], *, paired: bool
) -> dict[str, dict[str, tuple[str, ...]]]:
    """Which sounds each of `REMARKS` is true of, by remark and folder."""
    remarks: dict[str, dict[str, tuple[str, ...]]] = {}
    for name, side in sides.items():
        sounds = side.every
        lengths = [sound.duration_s + LENGTHS_WITHIN_S for sound in sounds]
        true_of = {
            "silent": [sound.is_silent for sound in sounds],
            "cancels": [sound.cancels for sound in sounds],
            "cut": [sound.is_cut for sound in sounds],
        }
        if paired:
            references = zip(sides[REFERENCE].sounds, side.counts, strict=True)
            asked = [one for one, count in references for _ in range(count)]
            true_of["short"] = [have < one.duration_s for have, one in zip(lengths, asked, strict=True)]
            if name != REFERENCE:
                true_of["steady"] = [
                    _is_steady(one) and _is_steady(sound) for one, sound in zip(asked, sounds, strict=True)
                ]
        for of, truths in true_of.items():
            found = tuple(stem for stem, true in zip(judged[name], truths, strict=True) if true)
            if found:
                remarks.setdefault(of, {})[name] = found
    return remarks


def _is_steady(sound: SoundFeatures) -> bool:
    return sound.timing is not None and not len(sound.timing.onsets)


def _left_out(figures: Sequence[Figure], n: int, clips: Mapping[str, str], labels: Sequence[str]) -> list[str]:
    """Why figures of the protocol have no column."""
    notes, nameless = [], labels.count("")
    for figure in figures:
        if figure.kind in NEEDS_LABELS and clips and nameless:
            why = f"{nameless} of the clips have no label in the list"
        elif figure.kind == "label hit":
            lacking = sorted(set(labels) - {"", *label_classes()})
            why = f"no classes are known for {listed(lacking)}" if lacking else "it needs a list of clips with labels"
        elif figure.kind in NEEDS_LABELS:
            why = "it needs a list of clips with labels, some of them with two clips or more"
        elif n < fewest(figure):
            why = f"it needs {fewest(figure)} clips"
        else:
            why = "it needs pairs"
        notes.append(f"No {figure.title}: {why}.")
    return notes


def _plain(config: EvaluateConfig) -> dict[str, Any]:
    values = asdict(config) | {"generated": {name: str(path) for name, path in config.generated.items()}}
    values["weights"] = {name: str(path) for name, path in config.weights.items()}
    return {key: str(value) if isinstance(value, Path) else value for key, value in values.items()}
