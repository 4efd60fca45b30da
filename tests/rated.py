"""Small studies to rate, and a server of one in a process of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import soundfile

from echoframe.rating.make import StudyConfig, make_study
from echoframe.rating.study import Study
from planted_video import write_video

RATE = 8_000
SYSTEMS = {"ours": 300.0, "theirs": 1200.0}


def write_sounds(folder: Path, *, clips: int = 3, films: bool = False, seconds: float = 0.5) -> dict[str, Path]:
    """A folder of tones for each system, and, if asked for, of films; by name."""
    folders = {name: folder / name for name in SYSTEMS}
    for name, hz in SYSTEMS.items():
        folders[name].mkdir(parents=True)
        for n in range(clips):
            tone = 0.05 * (n + 1) * np.sin(2 * np.pi * hz * (n + 1) * np.arange(int(seconds * RATE)) / RATE)
            soundfile.write(folders[name] / f"clip{n}.wav", tone, RATE)
    if films:
        (folder / "films").mkdir()
        for n in range(clips):
            write_video(folder / "films" / f"clip{n}.mp4", n_frames=13)
    return folders


def small_study(
    folder: Path, *, films: bool = False, clips: int = 3, seconds: float = 0.5, **more
) -> tuple[Study, Path]:
    """A study of both systems in folder / "study"."""
    systems = write_sounds(folder, clips=clips, films=films, seconds=seconds)
    video = folder / "films" if films else None
    return make_study(StudyConfig(generated=systems, video=video, **more), folder / "study"), folder / "study"


@contextmanager
def served(study: Path, *, port: int = 0) -> Iterator[tuple[subprocess.Popen, str]]:
    """The server's process, and the link of its first rater."""
    command = [sys.executable, "-m", "echoframe", "rate", "serve", str(study), "--port", str(port)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            link = re.findall(r"http\S+", process.stdout.readline())[0]
            yield process, link
        finally:
            process.kill()
