"""What a run says of itself on its way: lines for people, log.jsonl, TensorBoard.

*Tags* of TensorBoard: train/loss and val/loss, with their parts as train/loss_mse and so on; the figures of validation as
val/cosine, val/recall_10 and so on; train/learning_rate, train/clips_per_s, train/epoch. The settings are its
hyperparameters.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from torch import Tensor

from echoframe.optional import require_extra
from echoframe.output import atomic_files
from echoframe.training.checkpoint import TrainingProgress

LOG = "log.jsonl"
EVERY = 50  # steps of a line in the log
TELL_S = 5.0
OF_TRAINING = ("learning_rate", "clips_per_s", "epoch")
SHOWN_BESIDE = ("val/loss", "val/cosine", "val/recall_10")  # the settings, in TensorBoard


class RunLog:
    """Open while a run trains. seconds: of training so far, over all parts of the run."""

    def __init__(
        self,
        folder: Path,
        steps: int,
        progress: TrainingProgress,
        *,
        settings: Mapping[str, Any],
        tell: Any,
        is_main: bool,
    ) -> None:
        """settings: what the run was asked for, by name."""
        self._folder, self._steps, self._progress, self._tell, self._is_main = folder, steps, progress, tell, is_main
        self._settings = settings
        self._before_s, self._began = progress.seconds, time.monotonic()
        self._written_s, self._written_clips = self._began, 0
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._told_s, self._told_step, self._told_clips = self._began, progress.step, 0
        self._board: Any = None

    @property
    def seconds(self) -> float:
        return self._before_s + time.monotonic() - self._began

    def __enter__(self) -> "RunLog":
        if self._is_main:
            board = require_extra("torch.utils.tensorboard", "train")
            log = self._folder / LOG
            if log.exists():  # lines after the last checkpoint are trained again
                lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
                kept = [line for line in lines if _step_of(line) <= self._progress.step]
                with atomic_files([log]) as (partial,):
                    partial.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
            self._board = board.SummaryWriter(str(self._folder / "tensorboard"), purge_step=self._progress.step + 1)
            for summary in hyperparameters(self._settings):
                self._board.file_writer.add_summary(summary)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._board is not None:
            self._board.close()

    def step(self, losses: dict[str, Tensor], *, clips: int, epoch: float, learning_rate: float) -> None:
        """One step's losses, on whatever device they are: they are only looked at now and then. clips: it learned from."""
        self._told_clips += clips
        self._written_clips += clips
        for name, value in losses.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1
        step = self._progress.step
        if step % EVERY and step != self._steps:
            return
        means = {f"train_{name}": float(value) / self._count for name, value in self._sums.items()}
        self._sums, self._count = {}, 0
        now = time.monotonic()
        rate = self._written_clips / max(now - self._written_s, 1e-9)
        self._written_s, self._written_clips = now, 0
        self._write(means | {"learning_rate": learning_rate, "clips_per_s": rate, "epoch": epoch})
        if now - self._told_s >= TELL_S or step == self._steps:
            took = max(now - self._told_s, 1e-9)
            about = {"step": step, "steps": self._steps, "epoch": epoch, "clips_per_s": self._told_clips / took}
            left = (self._steps - step) * took / max(step - self._told_step, 1)
            self._say(about | {"seconds_left": left} | means)
            self._told_s, self._told_step, self._told_clips = now, step, 0

    def measured(self, figures: dict[str, float]) -> None:
        """What validation says now."""
        if self._is_main:
            self._write(figures)
            self._say({"step": self._progress.step, "steps": self._steps} | figures)

    def _write(self, values: dict[str, float]) -> None:
        if not self._is_main:
            return
        step = self._progress.step
        with (self._folder / LOG).open("a", encoding="utf-8") as log:
            log.write(json.dumps({"step": step, "seconds": round(self.seconds, 2)} | values) + "\n")
        for name, value in values.items():
            self._board.add_scalar(tag_of(name), value, step)

    def _say(self, values: dict[str, Any]) -> None:
        if self._tell is not None and self._is_main:
            self._tell(values)


def tag_of(name: str) -> str:
    """What TensorBoard calls a number of the log.

    >>> [tag_of(name) for name in ("train_loss", "val_mse", "cosine", "learning_rate")]
    ['train/loss', 'val/loss_mse', 'val/cosine', 'train/learning_rate']
    """
    group, _, rest = name.partition("_")
    if group in ("train", "val"):
        return f"{group}/loss" if rest == "loss" else f"{group}/loss_{rest}"
    return f"{'train' if name in OF_TRAINING else 'val'}/{name}"


def hyperparameters(settings: Mapping[str, Any]) -> list[Any]:
    """The summaries by which TensorBoard lists a run's settings beside what it came to."""
    values = {name: value if isinstance(value, bool | int | float) else str(value) for name, value in settings.items()}
    summary = require_extra("torch.utils.tensorboard.summary", "train")
    return list(summary.hparams(values, dict.fromkeys(SHOWN_BESIDE, 0.0)))


def validation_curve(folder: Path) -> list[tuple[int, float]]:
    """(step, cosine on val) of every measurement of the run in `folder`; none where its log is not there."""
    try:
        lines = (folder / LOG).read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
    found = [json.loads(line) for line in lines if _step_of(line) < float("inf")]
    return [(line["step"], line["cosine"]) for line in found if "cosine" in line]


def _step_of(line: str) -> float:
    """Of a line of the log; beyond every step if it is damaged: a machine that stops may leave half a line."""
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")
