"""How a long run shows itself: a bar with rate and time left on a terminal, plain lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import Any

from echoframe.progress import ProgressCallback


class Reporter:
    """Counts clips; the bar moves within a clip too. Everything goes to standard error, but for the results' lines.

    what: the name of what is counted. quiet: no bar, and the count at the end only where a clip failed.
    """

    def __init__(self, n_clips: int, *, what: str = "clips", quiet: bool = False) -> None:
        self.n_clips, self.n_done, self.n_failed = n_clips, 0, 0
        self._what = what
        self._quiet = quiet
        self._bar: Any = None
        self._task: Any = None
        self._began = time.monotonic()

    def __enter__(self) -> "Reporter":
        if sys.stderr.isatty() and not self._quiet:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

            self._bar = Progress(
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                console=Console(stderr=True),
            )
            self._task = self._bar.add_task("loading", total=self.n_clips, rate="")
            self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._bar is not None:
            self._bar.stop()
        if kind is None and self.n_clips > 1 and (self.n_failed or not self._quiet):
            print(f"{self.n_done} of {self.n_clips} {self._what} done, {self.n_failed} failed", file=sys.stderr)

    def expect(self, n_clips: int) -> None:
        """How many there are, where that is known only now."""
        if n_clips != self.n_clips and self._bar is not None:
            self._bar.update(self._task, total=n_clips)
        self.n_clips = n_clips

    def begin(self, name: str) -> ProgressCallback | None:
        """Names the clip at work; returns the callback for the steps within it."""
        if self._bar is None:
            return None
        self._bar.update(self._task, description=name[-40:])
        return lambda step, n_steps, _: self._bar.update(self._task, completed=self._finished + step / n_steps)

    @property
    def _finished(self) -> int:
        return self.n_done + self.n_failed

    def done(self, line: str) -> None:
        """One clip more; `line` says what was written, or is empty."""
        self.n_done += 1
        self._show(line, sys.stdout)

    def failed(self, line: str) -> None:
        """One clip that could not be made."""
        self.n_failed += 1
        self._show(f"echoframe: {line}", sys.stderr)

    def _show(self, line: str, stream: Any) -> None:
        if self._bar is not None:
            minutes = (time.monotonic() - self._began) / 60
            self._bar.update(
                self._task, completed=self._finished, rate=f"{self._finished / minutes:.1f} {self._what}/min"
            )
        if not line:
            return
        if self._bar is not None and stream.isatty():
            # above the bar; markup off: a name may hold square brackets
            self._bar.console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            print(line, file=stream, flush=True)

    def note(self, line: str) -> None:
        """Something worth knowing about the clip at work."""
        self._show(f"echoframe: {line}", sys.stderr)

    def remark(self, line: str) -> None:
        """As `note`, but of a result that is as it should be: not shown where only failures are."""
        if not self._quiet:
            self.note(line)
