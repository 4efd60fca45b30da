"""`echoframe web`. All work is in `studio/`."""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from echoframe.errors import InputError
from echoframe.library import Library
from echoframe.loading import load
from echoframe.lock import exclusive_lock
from echoframe.rating.server import LOOPBACK, address, open_socket
from echoframe.studio.limits import Limits
from echoframe.studio.line import Line
from echoframe.studio.making import Studio
from echoframe.studio.quick_import import import_gradio
from echoframe.studio.remembered import remembering
from echoframe.studio.server import serve
from echoframe.studio.sitting import Sittings

OK = 0


def web(args: argparse.Namespace) -> int:
    """Runs the command until it is interrupted. Raises EchoFrameError for a wrong option, or a missing model."""
    limits = Limits(upload_mb=args.max_upload, duration_s=args.max_duration, queue=args.queue)
    if args.auth and not all(args.auth.partition(":")):
        raise InputError("--auth: expected a user and a password, such as --auth me:secret")
    import_gradio()
    with open_socket(args.host, args.port) as listening:
        port = listening.getsockname()[1]
        folder = Path(args.folder or Path(tempfile.gettempdir()) / f"echoframe-web-{port}")
        sittings = Sittings(folder)
        with exclusive_lock(folder, "echoframe web"):
            sittings.forget_uploads()
            libraries = named(args.library)
            sources = (Library.source_of(path) for path in libraries.values())
            model = load(args.model or next(filter(None, sources), "mini"), device=args.device)
            for path in libraries.values():
                Library.open(path, model).close()  # or else it is said now that it cannot be used
            studio = Studio(
                model=remembering(model), sittings=sittings, line=Line(limits.queue), limits=limits, libraries=libraries
            )
            print(f"EchoFrame's studio is at {address(args.host, port)}", flush=True)
            if args.host not in LOOPBACK:
                whom = "with --auth" if args.auth else "for everybody who can reach it"
                _say(f"listens on {args.host}, {whom}, without encryption: put a server that speaks HTTPS before it")
            try:
                serve(studio, listening, login=args.auth)
            except KeyboardInterrupt:
                sittings.end_all()  # a server that is killed finds them again
                raise
    return OK


def named(libraries: Sequence[str]) -> dict[str, Path]:
    """Libraries by the names that visitors know them by. Raises InputError for two of one name."""
    found: dict[str, Path] = {}
    for each in libraries:
        path = Path(each)
        if path.stem in found:
            raise InputError(f"{path}: {found[path.stem]} has the same name; rename one of the two")
        found[path.stem] = path
    return found


def _say(words: str) -> None:
    print("echoframe:", words, file=sys.stderr, flush=True)
