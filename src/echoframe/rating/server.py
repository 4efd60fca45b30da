"""The page on which people rate, for those who hold a link: the study blind, their answers, and nothing else."""

import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

from echoframe.errors import InputError
from echoframe.optional import require_extra
from echoframe.rating.answers import Answers, Rater
from echoframe.rating.study import MEDIA, PREFERENCE, Item, Study

LOOPBACK = ("127.0.0.1", "::1", "localhost")
LARGEST_ANSWER = 4096  # bytes
SIDES = ("A", "same", "B")
SCALE = range(1, 6)
PAGE = {"rate.js": "text/javascript", "rate.css": "text/css"}
HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; media-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",  # a link's token goes nowhere else
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
    "Cache-Control": "no-store",
}
LONG_AGO = "Thu, 01 Jan 1970 00:00:00 GMT"


def make_app(study: Study, folder: Path, answers: Answers) -> Any:
    """The Starlette application: /r/TOKEN is a rater's page; what is asked for without a known token is not found."""
    applications, responses = (
        require_extra("starlette.applications", "web"),
        require_extra("starlette.responses", "web"),
    )
    routing, background = require_extra("starlette.routing", "web"), require_extra("starlette.concurrency", "web")
    exceptions = require_extra("starlette.exceptions", "web")
    page = files("echoframe.rating") / "page"
    of_page = {name: (page / name).read_bytes() for name in PAGE}
    html = (page / "rate.html").read_text(encoding="utf-8")
    media = {name for item in study.items for name in item.media}

    def rater_of(request: Any) -> Rater:
        found = answers.rater(request.path_params["token"])
        if found is None:
            raise exceptions.HTTPException(404, "This link is not known. Ask for it again where you got it from.")
        return found

    def show(request: Any) -> Any:
        rater_of(request)
        return responses.HTMLResponse(html, headers=HEADERS)

    def part(request: Any) -> Any:
        name = request.path_params["name"]
        if name not in PAGE:
            raise exceptions.HTTPException(404, "No such file.")
        return responses.Response(of_page[name], media_type=PAGE[name], headers=HEADERS)

    def state(request: Any) -> Any:
        return responses.JSONResponse(state_for(study, rater_of(request), answers), headers=HEADERS)

    def play(request: Any) -> Any:
        rater_of(request)
        name = request.path_params["name"]
        if name not in media:  # names of the study only: no path is ever made of what was asked for
            raise exceptions.HTTPException(404, "No such sound.")
        path = folder / MEDIA / name
        if not path.is_file():
            raise exceptions.HTTPException(404, "This sound is missing. Tell those who sent you the link.")
        # instead of when the file was written, which would tell the order of the systems
        return responses.FileResponse(path, headers={**HEADERS, "ETag": f'"{name}"', "Last-Modified": LONG_AGO})

    async def answer(request: Any) -> Any:
        rater = await background.run_in_threadpool(rater_of, request)
        body = b""
        async for chunk in request.stream():
            body += chunk
            if len(body) > LARGEST_ANSWER:
                raise exceptions.HTTPException(413, "Too long for an answer.")
        try:
            item, values = check_answer(study, rater, body)
        except InputError as error:
            raise exceptions.HTTPException(422, str(error)) from error
        await background.run_in_threadpool(answers.save, rater, item, values)
        return responses.JSONResponse({"saved": item}, headers=HEADERS)

    async def refuse(_: Any, error: Any) -> Any:
        return responses.PlainTextResponse(error.detail, status_code=error.status_code, headers=HEADERS)

    handlers: Mapping[Any, Callable[[Any, Any], Awaitable[Any]]] = {exceptions.HTTPException: refuse}
    route = routing.Route
    return applications.Starlette(
        routes=[
            route("/r/{token}", show),
            route("/page/{name}", part),
            route("/r/{token}/state", state),
            route("/r/{token}/media/{name}", play),
            route("/r/{token}/answers", answer, methods=["POST"]),
        ],
        exception_handlers=handlers,
    )


def state_for(study: Study, rater: Rater, answers: Answers) -> dict[str, Any]:
    """What the page needs: items in the rater's order and sides, without systems or clips' names, and their answers."""
    given = answers.of(rater)

    def seen(item: Item) -> dict[str, Any]:
        swapped = study.is_swapped(rater.number, item)
        media = item.media[::-1] if swapped else item.media
        own = given.get(item.id, {})
        said = {q: _side(value, swapped) if q == PREFERENCE else value for q, value in own.items()}
        return {"id": item.id, "label": item.label, "media": list(media), "answers": said}

    return {
        "title": study.title,
        "kind": study.kind,
        "questions": list(study.questions),
        "checks": study.checks > 0,
        "items": [seen(item) for item in study.items_for(rater.number)],
    }


def check_answer(study: Study, rater: Rater, body: bytes) -> tuple[str, dict[str, int]]:
    """The item and its values, as they are kept. Raises InputError for anything the page would not send."""
    try:
        sent = json.loads(body)
        name, values = sent["item"], dict(sent["answers"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError('not an answer; expected {"item": ..., "answers": {...}}') from error
    item = next((item for item in study.items_for(rater.number) if item.id == name), None)
    if item is None:
        raise InputError("this item is not one of yours")
    if set(values) != set(study.questions):
        raise InputError(f"the answers belong to other questions; expected {', '.join(study.questions)}")
    kept: dict[str, int] = {}
    for question, value in values.items():
        wanted = SIDES if question == PREFERENCE else SCALE
        if isinstance(value, bool) or not isinstance(value, int | str) or value not in wanted:
            raise InputError(f"{question}: expected one of {', '.join(map(str, wanted))}")
        kept[question] = (
            _kept(str(value), study.is_swapped(rater.number, item)) if question == PREFERENCE else int(value)
        )
    return item.id, kept


def _kept(side: str, swapped: bool) -> int:
    """1 for the item's first sound, 2 for its second, 0 for neither, whatever side they were on."""
    return 0 if side == "same" else 1 + ((side == "B") != swapped)


def _side(value: int, swapped: bool) -> str:
    return "same" if value == 0 else "AB"[(value == 2) != swapped]


def serve(study: Study, folder: Path, answers: Answers, listening: socket.socket) -> None:
    """Answers requests at the open socket until it is interrupted. Links are not logged."""
    uvicorn = require_extra("uvicorn", "web")
    app = make_app(study, folder, answers)
    config = uvicorn.Config(app, access_log=False, log_level="warning", timeout_graceful_shutdown=3, lifespan="off")
    uvicorn.Server(config).run(sockets=[listening])


def address(host: str, port: int) -> str:
    """How a browser reaches a server that listens there.

    >>> address("127.0.0.1", 8000), address("::1", 8000)
    ('http://127.0.0.1:8000', 'http://[::1]:8000')
    """
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def open_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0 takes any that is free. Raises InputError if it cannot be had."""
    if not 0 <= port <= 65_535:
        raise InputError(f"--port {port}: expected 0 to 65535")
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        raise InputError(
            f"{host}:{port}: cannot listen there ({error.strerror or error}); choose another --port or --host"
        ) from error
