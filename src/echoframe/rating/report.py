"""What the answers of a study say: opinion scores and preferences with intervals, and how far the raters agree.

*Conventions*: a mean opinion score is the mean of all answers from 1 to 5 (ITU-T P.800). A preference is the share of
answers for a system, "no difference" counted as half. Intervals are 95 %, of a bootstrap that draws raters and clips at once,
an answer counting as often as its rater times its clip were drawn (Owen 2007, "The pigeonhole bootstrap"): both are samples,
and answers of one rater or of one clip are alike. Agreement is Krippendorff's alpha, ordinal of scores, nominal of
preferences: 1 is full agreement, 0 is chance. A rater who answered more than half of their checks of attention wrongly does
not count, and is named.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from echoframe.errors import InputError
from echoframe.evaluation.report import table_page
from echoframe.evaluation.table import Cell, Column, Line, Table, as_json, markdown
from echoframe.optional import require_extra
from echoframe.output import atomic_files, make_folder
from echoframe.rating.answers import Answer
from echoframe.rating.study import PREFERENCE, Item, Study

DRAWS = 1000
_TITLES = {"quality": "quality", "relevance": "relevance", "synchrony": "synchrony", PREFERENCE: "preferred"}
_ABOUT = {
    PREFERENCE: "share of comparisons in which it was preferred, no difference counted as half",
    "quality": "mean opinion score, 1 (bad) to 5 (excellent): how good does it sound?",
    "relevance": "mean opinion score, 1 (bad) to 5 (excellent): how well does the sound fit what it belongs to?",
    "synchrony": "mean opinion score, 1 (bad) to 5 (excellent): how well does the sound keep time with the picture?",
}


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Votes:
    """Numbers of which a mean is taken: (n,) values, whose they are, and of which clip."""

    values: Float[np.ndarray, " n"]
    raters: Int[np.ndarray, " n"]
    clips: Int[np.ndarray, " n"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """table: what is read. raters: by number, what each did and whether it counts. agreement: alpha by question."""

    table: Table
    raters: Mapping[int, Mapping[str, Any]]
    agreement: Mapping[str, float]


def make_report(study: Study, answers: Sequence[Answer], *, seed: int = 0) -> Report:
    """The report on all answers so far. Raises InputError if there are none that count."""
    items = {item.id: item for item in study.items}
    raters = _raters(study, items, answers)
    counted = [a for a in answers if raters[a.rater]["counts"] and not items[a.item].beeps]
    if not counted:
        some = (
            f"{len(raters)} raters answered, none of them right in half of their checks" if raters else "no rater yet"
        )
        raise InputError(f"{study.title}: no answer counts ({some}); send out more links")
    table = Table(
        title=f"{study.title}: {_how_many(counted, items)}.",
        columns=[_column(question) for question in study.questions],
        lines=_lines(study, items, counted, seed),
        notes=[],
    )
    agreement = {question: alpha(counted, question) for question in study.questions}
    found = {question: value for question, value in agreement.items() if value is not None}
    notes = [
        f"Intervals are 95 %, {DRAWS} bootstrap draws of raters and clips at once, seed {seed}.",
        *(f"Raters agree on {question} with Krippendorff's alpha {value:.3f}." for question, value in found.items()),
        *(
            f"Rater {number} does not count: {some['checks_wrong']} of {some['checks']} checks of attention wrong."
            for number, some in raters.items()
            if not some["counts"]
        ),
        *study.notes,
    ]
    table = Table(title=table.title, columns=table.columns, lines=table.lines, notes=notes)
    return Report(table=table, raters=raters, agreement=found)


def write_report(report: Report, out: Path) -> list[Path]:
    """Writes rating.md, rating.json and rating.html into `out`, all or none; returns their paths."""
    make_folder(out)
    values = {"table": as_json(report.table), "raters": report.raters, "agreement": report.agreement}
    paths = [out / f"rating.{suffix}" for suffix in ("md", "json", "html")]
    with atomic_files(paths) as (words, numbers, page):
        words.write_text(markdown(report.table) + "\n", encoding="utf-8")
        numbers.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        page.write_text(table_page(report.table), encoding="utf-8")
    return paths


def two_way_interval(votes: Votes, *, draws: int = DRAWS, seed: int = 0) -> tuple[float, float] | None:
    """The ends of the 95 % interval of the mean; None of a single answer, or where all are of one clip and rater."""
    people, person = np.unique(votes.raters, return_inverse=True)
    clips, clip = np.unique(votes.clips, return_inverse=True)
    if len(people) * len(clips) < 2:
        return None
    rng = np.random.default_rng(seed)
    of_people = rng.multinomial(len(people), np.full(len(people), 1 / len(people)), size=draws)
    of_clips = rng.multinomial(len(clips), np.full(len(clips), 1 / len(clips)), size=draws)
    weights = (of_people[:, person] * of_clips[:, clip]).astype(np.float64)
    totals = weights.sum(axis=1)
    means = (weights @ votes.values)[totals > 0] / totals[totals > 0]  # a draw may meet no answer
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def alpha(answers: Sequence[Answer], question: str) -> float | None:
    """Krippendorff's alpha of the raters over the items; None where no item has two answers, or all are the same."""
    mine = [answer for answer in answers if answer.question == question]
    raters, items = (sorted({getattr(answer, name) for answer in mine}) for name in ("rater", "item"))
    table = np.full((len(raters), len(items)), np.nan)
    for answer in mine:
        table[raters.index(answer.rater), items.index(answer.item)] = answer.value
    shared = table[:, (~np.isnan(table)).sum(axis=0) > 1]
    if len(np.unique(shared[~np.isnan(shared)])) < 2:
        return None
    level = "nominal" if question == PREFERENCE else "ordinal"
    return float(require_extra("krippendorff", "web").alpha(reliability_data=shared, level_of_measurement=level))


def _raters(study: Study, items: Mapping[str, Item], answers: Sequence[Answer]) -> dict[int, dict[str, Any]]:
    raters: dict[int, dict[str, Any]] = {}
    for number in sorted({answer.rater for answer in answers}):
        mine = [answer for answer in answers if answer.rater == number]
        checks: dict[str, bool] = {}
        for answer in mine:
            item = items.get(answer.item)
            if item is None:
                raise InputError(f"{study.title}: an answer to item {answer.item}, which is not in the study; take "
                                 "study.json and answers.sqlite of one study")  # fmt: skip
            if item.beeps:
                checks[item.id] = checks.get(item.id, True) and answer.value == _right(item)
        wrong = sum(not right for right in checks.values())
        raters[number] = {
            "items": len({answer.item for answer in mine}),
            "of": len(study.items_for(number)),
            "checks": len(checks),
            "checks_wrong": wrong,
            "counts": 2 * wrong <= len(checks),
        }
    return raters


def _right(item: Item) -> int:
    """The answer to a check: the number of beeps, or the side with more."""
    return item.beeps[0] if len(item.beeps) == 1 else 1 + int(item.beeps[1] > item.beeps[0])


def _lines(study: Study, items: Mapping[str, Item], answers: Sequence[Answer], seed: int) -> list[Line]:
    def line(name: str, kind: Any, found: Mapping[str, Votes | None]) -> Line:
        cells = {question: _cell(votes, seed) for question, votes in found.items() if votes is not None}
        return Line(name=name, kind=kind, cells=cells)

    asked = study.questions
    if study.kind == "pairs":
        lines = [line(name, "system", {PREFERENCE: _won(name, None, items, answers)}) for name in study.systems]
        against = [(one, other, _won(one, other, items, answers)) for one, other in combinations(study.systems, 2)]
        lines += [line(f"{one} against {other}", "difference", {PREFERENCE: votes}) for one, other, votes in against]
    else:
        lines = [line(name, "system", {q: _scores(name, q, items, answers) for q in asked}) for name in study.systems]
        lines += [
            line(f"{one} - {other}", "difference", {q: _differences(one, other, q, items, answers) for q in asked})
            for one, other in combinations(study.systems, 2)
        ]
    return [line for line in lines if line.cells]


def _scores(system: str, question: str, items: Mapping[str, Item], answers: Sequence[Answer]) -> Votes | None:
    mine = [a for a in answers if a.question == question and items[a.item].systems == (system,)]
    return _votes([(float(a.value), a.rater, items[a.item].clip) for a in mine])


def _differences(
    one: str, other: str, question: str, items: Mapping[str, Item], answers: Sequence[Answer]
) -> Votes | None:
    """Of answers of one rater to both systems' sounds for one clip."""
    found: dict[tuple[int, str], dict[str, int]] = {}
    for answer in answers:
        if answer.question == question:
            item = items[answer.item]
            found.setdefault((answer.rater, item.clip), {})[item.systems[0]] = answer.value
    both = [(key, some) for key, some in found.items() if one in some and other in some]
    return _votes([(float(some[one] - some[other]), rater, clip) for (rater, clip), some in both])


def _won(system: str, other: str | None, items: Mapping[str, Item], answers: Sequence[Answer]) -> Votes | None:
    """1 where `system` was preferred, 0.5 where neither was; against `other`, or all."""
    found = []
    for answer in answers:
        systems = items[answer.item].systems
        if system in systems and (other is None or other in systems):
            own = 1 + systems.index(system)
            found.append(
                (0.5 if answer.value == 0 else float(answer.value == own), answer.rater, items[answer.item].clip)
            )
    return _votes(found)


def _votes(found: Sequence[tuple[float, int, str]]) -> Votes | None:
    if not found:
        return None
    values, raters, clips = zip(*found, strict=True)
    numbers = {clip: n for n, clip in enumerate(sorted(set(clips)))}
    return Votes(values=np.array(values), raters=np.array(raters), clips=np.array([numbers[clip] for clip in clips]))


def _cell(votes: Votes, seed: int) -> Cell:
    low, high = two_way_interval(votes, seed=seed) or (None, None)
    return Cell(value=float(votes.values.mean()), low=low, high=high, n=len(votes.values))


def _column(question: str) -> Column:
    return Column(
        key=question,
        title=_TITLES[question],
        better="higher",
        digits=2,
        definition=_ABOUT[question],
        protocol="listening test",
    )


def _how_many(answers: Sequence[Answer], items: Mapping[str, Item]) -> str:
    raters, clips = {answer.rater for answer in answers}, {items[answer.item].clip for answer in answers}
    return f"{len(answers)} answers of {len(raters)} raters on {len(clips)} clips"
