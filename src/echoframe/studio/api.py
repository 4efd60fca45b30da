"""The studio over HTTP: a form in, the record of a sound and the addresses of its files out."""

import asyncio
import json
import threading
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import replace
from functools import partial
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import echoframe
from echoframe.errors import EchoFrameError, InputError
from echoframe.optional import require_extra
from echoframe.options import REQUEST_FIELDS, Request
from echoframe.studio.line import FullError
from echoframe.studio.looking import bring_film
from echoframe.studio.making import Stopped, Studio, make_one
from echoframe.studio.sitting import EXAMPLE, KEEP_S, MADE, Made, Sitting, cleaned

FILES = {"film": "the film or the picture; without one, a sound is made of the words", "like": ""}
LEFT_OUT = ("prompts",)  # a table
FIELDS = {each.name: each for each in REQUEST_FIELDS if each.name not in LEFT_OUT and each.name not in FILES}
FILES["like"] = next(each for each in REQUEST_FIELDS if each.name == "like").metadata["help"]
TRUTH = {"true": True, "1": True, "false": False, "0": False}
LOOK_S = 0.5  # how often it is seen whether somebody still waits for the answer
RETRY_S = 30


async def post_sound(studio: Studio, pool: Executor, request: Any) -> Any:
    """POST /v1/sounds."""
    responses = require_extra("starlette.responses", "web")
    stop = threading.Event()
    sitting = studio.sittings.new()
    try:
        async with request.form() as form:
            with TemporaryDirectory(dir=sitting.folder) as brought:
                asked, paths = read_form(form), await _saved(form, Path(brought))
                loop = asyncio.get_running_loop()
                work = loop.run_in_executor(pool, partial(_make, studio, sitting, asked, paths, stop))
                while not work.done():
                    await asyncio.wait([work], timeout=LOOK_S)
                    if await request.is_disconnected():
                        stop.set()
                made = work.result()
    except (EchoFrameError, Stopped) as error:
        studio.sittings.end(sitting)
        status = 503 if isinstance(error, FullError) else 422
        headers = {"Retry-After": str(RETRY_S)} if isinstance(error, FullError) else {}
        return responses.JSONResponse({"error": str(error)}, status_code=status, headers=headers)
    except BaseException:
        studio.sittings.end(sitting)
        raise
    return responses.JSONResponse(answer(sitting, made))


def answer(sitting: Sitting, made: Made) -> dict[str, Any]:
    """What is said of a finished sound."""
    record = sitting.folder / MADE / str(made.number) / made.files["record"]
    return {
        "record": json.loads(record.read_text(encoding="utf-8")),
        "files": {what: f"/{sitting.address(made, what)}" for what in made.files},
        "scores": made.scores,
        "nearest": made.nearest,
        "notes": list(made.notes),
        "kept_s": KEEP_S,
    }


def read_form(form: Any) -> Request:
    """The request that a form's fields ask for. Raises InputError for a field that there is not, or a wrong value."""
    given: dict[str, Any] = {}
    for name in dict.fromkeys(form):
        if name in FILES:
            continue
        if name not in FIELDS:
            raise InputError(f'no such field "{name}"; there are {", ".join([*FILES, *FIELDS])}')
        about = FIELDS[name].metadata
        values = [_value(name, about["kind"], text) for text in form.getlist(name)]
        given[name] = dict(values) if about["flag"] else values[-1]
    return Request(**given)


def _value(name: str, kind: Any, text: Any) -> Any:
    if not isinstance(text, str):
        raise InputError(f"{name}: is a file, expected a value")
    try:
        return TRUTH[text.lower()] if kind is bool else kind(text)
    except (ValueError, KeyError) as error:
        expected = FIELDS[name].metadata["expected"] or "true or false"
        raise InputError(f'{name}: "{text}" cannot be read; expected {expected}') from error


async def _saved(form: Any, folder: Path) -> dict[str, Path]:
    """The files of a form, by their fields."""
    saved: dict[str, Path] = {}
    for name in FILES:
        upload = form.get(name)
        if upload is None:
            continue
        if isinstance(upload, str):
            raise InputError(f"{name}: is text, expected a file; with curl, write {name}=@FILE")
        saved[name] = folder / name / cleaned(upload.filename or name)
        saved[name].parent.mkdir()
        with saved[name].open("wb") as file:
            while block := await upload.read(1 << 20):
                file.write(block)
    return saved


def _make(studio: Studio, sitting: Sitting, request: Request, paths: Mapping[str, Path], stop: threading.Event) -> Made:
    film = bring_film(sitting, paths["film"], studio.limits).path if "film" in paths else None
    if "like" in paths:
        request = replace(request, like=str(sitting.bring(paths["like"], EXAMPLE)))
    if film is None and not request.prompt and not request.like:
        raise InputError("neither a film nor words: send film=@FILE, or a prompt")
    return make_one(studio, sitting, film, request, stop=stop)


def openapi() -> dict[str, Any]:
    """The description of the interface, by the options that there are."""
    fields = {name: {"type": "string", "format": "binary", "description": about} for name, about in FILES.items()}
    fields |= {name: _schema(each.metadata) for name, each in FIELDS.items()}
    form = {"multipart/form-data": {"schema": {"type": "object", "properties": fields}}}
    answers = {
        "200": ("the sound: its record, and where its files are", _ANSWER),
        "413": ("the file is too large", {"type": "string"}),
        "422": ("a field or a file cannot be used: one line says why", _ERROR),
        "503": ("too many wait already; Retry-After says when to ask again", _ERROR),
    }
    told = {
        status: {
            "description": about,
            "content": {"text/plain" if schema == {"type": "string"} else "application/json": {"schema": schema}},
        }
        for status, (about, schema) in answers.items()
    }
    post = {
        "summary": "Make a sound",
        "description": "Waits for its turn and for the sound. One sound is made at a time.",
        "requestBody": {"content": form},
        "responses": told,
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "EchoFrame", "version": echoframe.__version__},
        "paths": {"/v1/sounds": {"post": post}},
    }


_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}}
_ANSWER = {
    "type": "object",
    "properties": {
        "record": {"type": "object", "description": "what made the sound, as beside every result"},
        "files": {"type": "object", "description": "sound, film, timeline, record, picture -> address on this server"},
        "scores": {"type": "object", "description": "why the sound fits, each a number"},
        "nearest": {"type": "object", "description": "labels -> their cosine with the sound"},
        "notes": {"type": "array", "items": {"type": "string"}, "description": "what to know of the result"},
        "kept_s": {"type": "number", "description": "seconds after its last use for which a result stays here"},
    },
}


def _schema(about: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {int: "integer", float: "number", bool: "boolean"}
    words = f"{about['help']}. Default: {about['default_text']}." + (
        f" Range: {about['expected']}." if about["expected"] else ""
    )
    schema: dict[str, Any] = {"type": kinds.get(about["kind"], "string"), "description": words}
    if about["choices"]:
        schema["enum"] = list(about["choices"])
    return {"type": "array", "items": schema} if about["flag"] else schema


def page() -> str:
    """The description for people: a page without a script."""
    described = openapi()["paths"]["/v1/sounds"]["post"]
    fields = described["requestBody"]["content"]["multipart/form-data"]["schema"]["properties"]
    rows = "".join(_row(name, _kind(schema), schema.get("description", "")) for name, schema in fields.items())
    answers = "".join(_row(status, "", told["description"]) for status, told in described["responses"].items())
    parts = "".join(_row(name, _kind(schema), schema["description"]) for name, schema in _ANSWER["properties"].items())
    return _PAGE.format(about=escape(described["description"]), fields=rows, parts=parts, answers=answers)


def _kind(schema: Mapping[str, Any]) -> str:
    if schema["type"] == "array":
        return f"{schema['items']['type']}, may be given several times"
    return "file" if schema.get("format") == "binary" else schema["type"]


def _row(name: str, kind: str, about: str) -> str:
    description = about or "&nbsp;"
    return f"<tr><th scope=row><code>{escape(name)}</code><td>{escape(kind)}<td>{escape(description)}"


_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>EchoFrame for programs</title>
<style>
:root {{ color-scheme: light dark; }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }}
pre {{ overflow-x: auto; border: 1px solid; border-radius: .4rem; padding: .6rem; }}
div {{ overflow-x: auto; }}
table {{ border-collapse: collapse; }} th, td {{ text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0; }}
</style>
<h1>EchoFrame for programs</h1>
<p>{about} <a href="v1/openapi.json">OpenAPI</a> describes the same for programs.</p>
<pre>curl -F film=@clip.mp4 -F seed=3 http://127.0.0.1:7860/v1/sounds</pre>
<h2>POST /v1/sounds</h2>
<p>A form, <code>multipart/form-data</code>. Every field may be left out.</p>
<div><table>{fields}</table></div>
<h2>The answer</h2>
<p>JSON. The addresses in <code>files</code> are known to nobody else.</p>
<div><table>{parts}</table></div>
<h2>Status</h2>
<div><table>{answers}</table></div>
</html>
"""
