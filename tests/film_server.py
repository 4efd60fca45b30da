"""A web server on loopback that serves short films, some of them as the web does on a bad day."""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Films:
    """What the server answers for /ID.mp4. films: by id. statuses: HTTP errors by id. refuse_first: how often an id is
    answered with 429 before it is served. slow: bytes a second. cut: bytes after which the connection ends."""

    def __init__(self, films: dict[str, Path]) -> None:
        self.films = films
        self.statuses: dict[str, int] = {}
        self.refuse_first: Counter[str] = Counter()
        self.slow: dict[str, float] = {}
        self.cut: dict[str, int] = {}
        self.asked: Counter[str] = Counter()
        self.cookies: set[tuple[str, str | None]] = set()
        self.address = ""


def _handler(films: Films) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: object) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionResetError):  # FFmpeg hangs up when it has enough
                super().handle()

        def do_HEAD(self) -> None:
            self.answer(body=False)

        def do_GET(self) -> None:
            self.answer(body=True)

        def answer(self, *, body: bool) -> None:
            name = self.path.strip("/").removesuffix(".mp4")
            films.asked[name] += 1
            films.cookies.add((name, self.headers.get("Cookie")))
            status = films.statuses.get(name, 200 if name in films.films else 404)
            if films.refuse_first[name] > 0:
                films.refuse_first[name] -= 1
                status = 429
            if status != 200:
                self.send_error(status)
                return
            data = films.films[name].read_bytes()
            first, last = 0, len(data) - 1
            if (asked := self.headers.get("Range")) and asked.startswith("bytes="):
                start, _, end = asked.removeprefix("bytes=").partition("-")
                first, last = int(start), int(end) if end else last
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            else:
                self.send_response(200)
            self.send_header("Accept-Ranges", "bytes")
            self.send_header("Content-Type", "video/mp4")
            self.send_header("Content-Length", str(last - first + 1))
            self.end_headers()
            if body:
                self.send(data[first : last + 1], name)

        def send(self, data: bytes, name: str) -> None:
            limit = films.cut.get(name)
            if limit is not None:
                data = data[:limit]
            try:
                for at in range(0, len(data), 65536):
                    self.wfile.write(data[at : at + 65536])
                    if name in films.slow:
                        time.sleep(65536 / films.slow[name])
            except (BrokenPipeError, ConnectionResetError):
                pass
            if limit is not None:
                self.close_connection = True

    return Handler


@contextmanager
def serve(films: Films) -> Iterator[Films]:
    """The server, until the block ends; films.address is http://127.0.0.1:PORT."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(films))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    films.address = f"http://127.0.0.1:{server.server_port}"
    try:
        yield films
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
