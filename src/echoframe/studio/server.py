"""The studio's server: the page, the interface for programs and the results, behind one gate."""

import asyncio
import contextlib
import os
import secrets
import socket
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from echoframe.optional import require_extra
from echoframe.studio import api
from echoframe.studio.examples import pictures_css
from echoframe.studio.gate import Gate
from echoframe.studio.making import Studio
from echoframe.studio.page import CSS, HEAD, build_page, theme
from echoframe.studio.sitting import SITTINGS

SWEEP_S = 300.0  # how often it is seen which sittings are over
AHEAD = 2  # threads for those that are refused at once


def make_app(studio: Studio, *, login: str = "") -> Gate:
    """The ASGI application. login: "user:password", which browsers and programs have to give; or nothing."""
    _prepare_gradio(studio)
    fastapi, responses = require_extra("fastapi", "web"), require_extra("starlette.responses", "web")
    pool = ThreadPoolExecutor(max_workers=studio.limits.queue + AHEAD)

    @contextlib.asynccontextmanager
    async def sweeping(_: Any) -> AsyncIterator[None]:
        async def sweep() -> None:
            while True:
                await asyncio.sleep(SWEEP_S)
                await asyncio.to_thread(studio.sittings.sweep)

        task = asyncio.create_task(sweep())
        yield
        task.cancel()
        pool.shutdown(wait=False, cancel_futures=True)

    def result(request: Any) -> Any:
        asked = request.path_params
        sitting = studio.sittings.find(asked["token"])
        path = sitting.path(asked["number"], asked["name"]) if sitting else None
        if path is None or not path.is_file():
            return responses.PlainTextResponse(
                "This file is not here. Its sitting may have ended; load the page again to begin a new one.", 404
            )
        return responses.FileResponse(path, headers={"Cache-Control": "private, no-store"})

    app = fastapi.FastAPI(lifespan=sweeping, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_route("/kept/{token}/{number:int}/{name}", result, methods=["GET"])
    app.add_route("/v1/sounds", partial(api.post_sound, studio, pool), methods=["POST"])
    app.add_route("/v1/openapi.json", lambda _: responses.JSONResponse(api.openapi()))
    app.add_route("/v1", lambda _: responses.HTMLResponse(api.page()))
    with ThreadPoolExecutor(1) as another:  # where no loop runs yet
        another.submit(lambda: asyncio.run(_mount_page(app, studio))).result()
    return Gate(app, studio.limits, login=login)


async def _mount_page(app: Any, studio: Studio) -> None:
    """Puts the page at the root. In a running loop, as Gradio otherwise leaves loops behind that it never closes."""
    page = build_page(studio).queue(default_concurrency_limit=None)
    page.has_launched = True  # or else Gradio takes any path of the server for an upload
    require_extra("gradio", "web").mount_gradio_app(
        app,
        page,
        "/",
        allowed_paths=[],
        blocked_paths=[str(studio.sittings.root / SITTINGS)],
        max_file_size=studio.limits.upload_bytes,
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        theme=theme(),
        css=CSS + pictures_css(),
        head=HEAD,
    )


def _prepare_gradio(studio: Studio) -> None:
    """Gradio sends nothing anywhere, and keeps uploads in the studio's folder under names that only this process knows."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["GRADIO_ANALYTICS_CACHE_FREQUENCY"] = str(1 << 60)  # events after which it counts them, for its monitor
    os.environ["GRADIO_TEMP_DIR"] = str(studio.sittings.uploads)
    processing: Any = require_extra("gradio.processing_utils", "web")
    # the seed of those names otherwise comes with the installation, where others may read it
    processing.hash_seed = secrets.token_bytes(32)
    processing.async_ssrf_protected_download = _fetch_nothing


async def _fetch_nothing(url: str, cache_dir: str) -> str:
    """In the place of Gradio's download of an address that is given for a file."""
    raise require_extra("gradio", "web").Error("Addresses are not fetched: upload the file itself.")


def serve(studio: Studio, listening: socket.socket, *, login: str = "") -> None:
    """Answers requests at the open socket until it is interrupted. Addresses, which hold tokens, are not logged."""
    uvicorn = require_extra("uvicorn", "web")
    config = uvicorn.Config(
        make_app(studio, login=login), access_log=False, log_level="warning", timeout_graceful_shutdown=3, lifespan="on"
    )
    uvicorn.Server(config).run(sockets=[listening])
