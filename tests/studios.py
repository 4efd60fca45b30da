"""Studios to visit: in a thread of the test's own process, with fakes or the embedded model, or the whole command."""

import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvicorn

from echoframe.pipeline import EchoFrame
from echoframe.rating.server import address, open_socket
from echoframe.studio.limits import Limits
from echoframe.studio.line import Line
from echoframe.studio.making import Studio
from echoframe.studio.remembered import remembering
from echoframe.studio.server import make_app
from echoframe.studio.sitting import Sittings
from fakes import FakeGenerator, fake_model

HOST = "127.0.0.1"


class HeldGenerator(FakeGenerator):
    """Makes nothing until `go` is set; until then it can only be stopped."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.go = threading.Event(), threading.Event()

    def generate(self, target: Any, *, progress: Any = None, **options: Any) -> Any:
        self.begun.set()
        while not self.go.wait(0.02):
            if progress is not None:
                progress(0, 1, "")
        return super().generate(target, progress=progress, **options)


def studio_in(folder: Path, model: EchoFrame | None = None, *, limits: Limits = Limits(), **libraries: Path) -> Studio:
    """A studio whose visitors' files lie in `folder`."""
    model = remembering(model or fake_model())
    line = Line(limits.queue)
    return Studio(model=model, sittings=Sittings(folder), line=line, limits=limits, libraries=libraries)


@contextmanager
def served(studio: Studio, *, login: str = "") -> Iterator[str]:
    """The address of the studio's server, which ends with the block."""
    with open_socket(HOST, 0) as listening:
        app = make_app(studio, login=login)
        config = uvicorn.Config(app, access_log=False, log_level="warning", timeout_graceful_shutdown=1, lifespan="on")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            until(lambda: server.started)
            yield address(HOST, listening.getsockname()[1])
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def started(folder: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    """The command in a process of its own, and its address, at which it answers."""
    command = [sys.executable, "-m", "echoframe", "web", "--port", "0", "--folder", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            base = re.findall(r"http\S+", process.stdout.readline())[0]
            until(lambda: _is_up(base))
            yield process, base
        finally:
            process.kill()


def _is_up(base: str) -> bool:
    """Whether somebody listens there. Nothing is asked, which would keep the server from its start."""
    where = urlsplit(base)
    try:
        socket.create_connection((where.hostname, where.port)).close()
    except ConnectionRefusedError:
        return False
    return True


def first_sound(page: Any) -> list[float]:
    """Makes sounds of an example: when the page could be used, the film was seen, and the first sound was there."""
    page.locator("#go:enabled").wait_for()
    times = [time.monotonic()]
    page.locator(".example-dog").click()
    page.locator("#seen img").wait_for()
    times.append(time.monotonic())
    page.locator("#go").click()
    page.locator("#player video").wait_for()
    return [*times, time.monotonic()]


def until(holds: Any, *, seconds: float = 60.0) -> None:
    """Waits until that is so."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come to be in time"
        time.sleep(0.02)
