"""Trained mappers side by side, with the bounds they lie between: what `echoframe compare` does."""

import json
import logging
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echoframe.config import flatten, from_dict
from echoframe.data.embedding_reader import Clips, EmbeddingSets
from echoframe.device import resolve_device
from echoframe.errors import ConfigError, InputError
from echoframe.evaluation.metrics import cosines, energy_distance, retrieval_ranks
from echoframe.mappers.networks import LearnedMapper, load_mapper
from echoframe.mappers.prior import PRIOR_KIND, load_prior
from echoframe.training.bounds import Bound, Read, bounds, bridge_bound, look_at
from echoframe.training.config import TrainConfig
from echoframe.training.measure import answers, few_words, measure, windows_of
from echoframe.training.run_folder import MAPPER, RUN, is_whole, read_about, read_result
from echoframe.training.run_log import validation_curve
from echoframe.weights import read_json

ENOUGH = 5  # clips of a label, for figures of its own
TIMED = 20  # single clips
SCALED = {"none": "raw", "centre": "centred", "whiten": "whitened"}
Told = Callable[[str], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInfo:
    """A finished run. config: as it was asked for. about: its run.json."""

    folder: Path
    config: TrainConfig
    about: dict[str, Any]
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table. figures: a number for each seed, by name. labels: for each label, of the first seed.

    parameters, train_s, clip_ms (one clip alone): none for a bound. settings: what tells the runs from the others.
    curves: for each seed, (step, cosine on val) as training measured it; none for a bound.
    """

    name: str
    figures: dict[str, list[float]]
    labels: dict[str, dict[str, float]]
    parameters: int | None = None
    train_s: float | None = None
    clip_ms: float | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    curves: list[list[tuple[int, float]]] = field(default_factory=list)

    def mean(self, name: str) -> float:
        """Over the seeds."""
        return statistics.fmean(self.figures[name])

    def deviation(self, name: str) -> float | None:
        """Over the seeds; none for one seed."""
        return statistics.stdev(self.figures[name]) if len(self.figures[name]) > 1 else None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """mappers: the best cosine first. bounds: from the best informed to the least. n_clips: that were compared. unfinished:
    runs that were left out."""

    split: str
    n_clips: int
    n_labels: int
    data: tuple[str, ...]
    spaces: tuple[str, str]
    device: str
    mappers: list[Row]
    bounds: list[Row]
    unfinished: tuple[str, ...] = ()


def find_runs(paths: Sequence[Path]) -> tuple[list[RunInfo], list[Path]]:
    """The finished runs that the paths are, or hold, each once, and the unfinished. Raises InputError if a path has none."""
    found: dict[Path, RunInfo] = {}
    unfinished: list[Path] = []
    for path in paths:
        folders = [path] if (path / RUN).exists() else sorted(run.parent for run in path.rglob(RUN))
        finished = [folder for folder in folders if is_whole(folder)]
        unfinished += [folder for folder in folders if folder not in finished]
        if not finished:
            raise InputError(f"{path}: {len(folders)} runs, none of them finished; train to the end first")
        for folder in finished:
            found.setdefault(folder.resolve(), _read_run(folder))
    return list(found.values()), unfinished


def _read_run(folder: Path) -> RunInfo:
    about = read_about(folder)
    try:
        config = from_dict(TrainConfig, about["config"], name=f"{folder / RUN} [config]")
    except ConfigError as error:
        raise InputError(f"{error}; train it again") from error
    return RunInfo(folder=folder, config=config, about=about, seconds=read_result(folder).seconds)


def compare(
    paths: Sequence[Path],
    *,
    split: str = "val",
    bridge: str | None = None,
    device: str = "auto",
    told: Told | None = None,
) -> Comparison:
    """All finished runs under `paths`, runs that differ only in their seed as one, on the clips of a split.

    bridge: a model whose zero-shot bridge joins the same spaces. Raises InputError for runs on different data.
    """
    (runs, unfinished), on = find_runs(paths), resolve_device(device)
    _check_data(runs)
    config = runs[0].config
    try:
        sets = EmbeddingSets([Path(one) for one in config.data])
    except InputError as error:
        raise InputError(f"{runs[0].folder / RUN}: its data, seen from this folder: {error}") from error
    if sets.sha256 != runs[0].about["data_sha256"]:
        raise InputError(f"{', '.join(config.data)}: changed since the runs were trained; train them again")
    rows = sets.rows(split, val_share=config.val_share)
    if few := few_words(len(rows), split):
        _log.warning(few)
    joined = {} if bridge is None else {"zero-shot bridge": bridge_bound(bridge, sets, device=device)}
    clips = _Judged(sets, rows)
    groups = _groups(runs)
    names = names_of([group[0].config for group in groups])
    mappers = [_mapper_row(name, group, clips, on, told) for name, group in zip(names, groups, strict=True)]
    read = load(runs[0].folder).get_regressor().read
    lines = _bounds(sets, config, read) | joined
    return Comparison(
        split=split,
        n_clips=len(rows),
        n_labels=len(np.unique(clips.labels)),
        data=config.data,
        spaces=(sets.encoders.visual.name, sets.encoders.audio.name),
        device=str(on),
        mappers=sorted(mappers, key=lambda row: -row.mean("cosine")),
        bounds=[_bound_row(name, bound, clips) for name, bound in lines.items()],
        unfinished=tuple(str(folder) for folder in unfinished),
    )


def load(folder: Path) -> LearnedMapper:
    """The mapper of a finished run. Raises BundleError if it is damaged."""
    is_prior = read_json(folder / MAPPER / "config.json").get("kind") == PRIOR_KIND
    return (load_prior if is_prior else load_mapper)(folder / MAPPER)


class _Judged:
    """The clips of a split, and the figures of anything that answers for them."""

    def __init__(self, sets: EmbeddingSets, rows: np.ndarray) -> None:
        self._sets, self._rows, self.labels = sets, rows, sets.labels[rows]

    def windows(self) -> Iterable[tuple[Clips, np.ndarray]]:
        first = 0
        for clips in windows_of(self._sets, self._rows):
            yield clips, self.labels[first : first + len(clips)]
            first += len(clips)

    def first(self) -> Clips:
        """One clip."""
        return self._sets.load(self._rows[:1])

    def judge(self, answer: Bound) -> tuple[dict[str, float], dict[str, dict[str, float]]]:
        """(figures, figures of each label with enough clips)."""
        pairs = [(answer(clips, labels), clips.audio.numpy()) for clips, labels in self.windows()]
        predicted, audio = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
        labels = self._by_label(predicted, audio)
        figures = measure(predicted, audio).values()
        if labels:
            figures["energy"] = statistics.fmean(one["energy"] for one in labels.values())
        return figures, labels

    def _by_label(self, predicted: np.ndarray, audio: np.ndarray) -> dict[str, dict[str, float]]:
        unit = predicted / np.maximum(np.linalg.norm(predicted, axis=1, keepdims=True), 1e-12)
        near, ranks = cosines(audio, unit), retrieval_ranks(audio, unit)
        found = {}
        for label in np.unique(self.labels):
            own = self.labels == label
            if own.sum() >= ENOUGH:
                found[str(label)] = {
                    "n": int(own.sum()),
                    "cosine": float(near[own].mean()),
                    "recall_10": float((ranks[own] <= 10).mean()),
                    "energy": energy_distance(audio[own], unit[own]),
                }
        return found


def _check_data(runs: Sequence[RunInfo]) -> None:
    for run in runs[1:]:
        for name, ours, theirs in (
            ("data", runs[0].about["data_sha256"], run.about["data_sha256"]),
            ("val_share", runs[0].config.val_share, run.config.val_share),
        ):
            if ours != theirs:
                raise InputError(f"{run.folder}: another {name} than {runs[0].folder}; compare runs on the same clips")


def _groups(runs: Sequence[RunInfo]) -> list[list[RunInfo]]:
    """Runs that differ in nothing but their seed and their place. Raises InputError for two of one seed."""
    groups: dict[str, dict[int, RunInfo]] = {}
    for run in runs:
        values = asdict(run.config) | {"seed": 0, "out": "", "memory_gb": 0}
        group = groups.setdefault(json.dumps(values, sort_keys=True), {})
        other = group.setdefault(run.config.seed, run)
        if other is not run:
            raise InputError(
                f"{run.folder}: is the same run as {other.folder}, with the same seed {run.config.seed}; "
                "leave one of them out"
            )
    return [list(group.values()) for group in groups.values()]


def _mapper_row(name: str, group: Sequence[RunInfo], clips: _Judged, device: torch.device, told: Told | None) -> Row:
    figures: dict[str, list[float]] = {}
    labels: dict[str, dict[str, float]] = {}
    clip_ms = 0.0
    for run in group:
        mapper = load(run.folder).to(device)

        def answer(some: Clips, _: np.ndarray, mapper: LearnedMapper = mapper, run: RunInfo = run) -> np.ndarray:
            return answers(mapper, some, device=device, seed=run.config.seed).numpy()

        try:
            found, by_label = clips.judge(answer)
        except InputError as error:
            raise InputError(f"{run.folder}: {error}; train it again") from error
        for key, value in found.items():
            figures.setdefault(key, []).append(value)
        if run is group[0]:
            labels, clip_ms = by_label, _time(mapper, clips.first(), device)
        if told is not None:
            told(f"{run.folder}: cosine {found['cosine']:.3f}, R@10 {found['recall_10']:.3f}")
    return Row(
        name=name,
        figures=figures,
        labels=labels,
        parameters=group[0].about["parameters"],
        train_s=statistics.fmean(run.seconds for run in group),
        clip_ms=clip_ms,
        settings={name: value for name, value in asdict(group[0].config).items() if name not in ("seed", "out")},
        curves=[validation_curve(run.folder) for run in group],
    )


def name_of(config: TrainConfig) -> str:
    """What a mapper is called in a table.

    >>> name_of(TrainConfig(data=("a",), out="b"))
    'residual_mlp base, mse'
    """
    mapper = config.mapper
    size = f"{mapper.hidden_dim} x {mapper.depth}" if mapper.hidden_dim else mapper.size
    words = [f"{mapper.kind} {size}"]
    words += ["attention pooling"] if mapper.pooling == "attention" else []
    words += [f"{SCALED[mapper.visual_scaling]} visual"] if mapper.visual_scaling != "centre" else []
    words += [f"{SCALED[mapper.audio_scaling]} audio"] if mapper.audio_scaling != "none" else []
    given = {name: weight for name, weight in asdict(config.loss).items() if weight}
    words.append(" + ".join(name if w == 1 else f"{w:g} {name}" for name, w in given.items()))
    return ", ".join(words if config.prior is None else [*words, f"prior, guidance {config.prior.guidance:g}"])


def names_of(configs: Sequence[TrainConfig]) -> list[str]:
    """Each one's name, and where two would be the same, the settings by which they differ."""
    names = [name_of(config) for config in configs]
    found = []
    for name, config in zip(names, configs, strict=True):
        alike = [flatten(asdict(other)) for other, called in zip(configs, names, strict=True) if called == name]
        own = flatten(asdict(config))
        differ = [
            key for key in own if len({str(other.get(key)) for other in alike}) > 1 and key not in ("seed", "out")
        ]
        found.append(", ".join([name, *(f"{key} {own[key]}" for key in differ)]))
    return found


def _time(mapper: LearnedMapper, clip: Clips, device: torch.device) -> float:
    """Milliseconds for one clip, the median of several."""
    times = []
    for _ in range(TIMED):
        began = time.perf_counter()
        answers(mapper, clip, device=device)  # brings the answer to the CPU: nothing is still under way
        times.append(1000 * (time.perf_counter() - began))
    return statistics.median(times)


def _bounds(sets: EmbeddingSets, config: TrainConfig, read: Read) -> dict[str, Bound]:
    seen = {
        split: look_at(sets, sets.rows(split, val_share=config.val_share), lambda x: read(x).detach())
        for split in ("train", "val")
    }
    return bounds(seen["train"], seen["val"], read)


def _bound_row(name: str, bound: Bound, clips: _Judged) -> Row:
    found, labels = clips.judge(bound)
    return Row(name=name, figures={key: [value] for key, value in found.items()}, labels=labels)
