"""A real Chromium without a window, for the tests of pages."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def started() -> Iterator[Any]:
    """The browser. It may play sound without being clicked at first, and has a camera that shows a clock."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        options += ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        with playwright.chromium.launch(executable_path=CHROMIUM, args=options) as browser:
            yield browser


def play_to_the_end(player: Any, *, speed: float = 1) -> None:
    """Plays an audio or video element to its end."""
    player.evaluate(
        "(p, s) => new Promise((go, no) => { p.onended = go; p.onerror = no; p.playbackRate = s; p.play().catch(no); })",
        speed,
    )


def seconds_of(player: Any) -> float:
    """How long what an audio or video element plays is, once it knows."""
    return player.evaluate(
        "(p) => new Promise((go) => p.readyState ? go(p.duration) : (p.onloadedmetadata = () => go(p.duration)))"
    )


def watched(context: Any, base: str) -> tuple[list[str], list[str]]:
    """Lets a context reach the server at `base` only: the addresses elsewhere that were asked for, and the pages' errors."""
    outside: list[str] = []
    troubles: list[str] = []

    def pass_or_block(route: Any) -> None:
        if route.request.url.startswith((base, "data:", "blob:")):
            route.continue_()
        else:
            outside.append(route.request.url)
            route.abort()

    context.route("**/*", pass_or_block)

    def see(error: Any) -> None:
        # Gradio's camera tries a script of its own, which the server's policy refuses and which it can do without
        if "dynamically imported module: blob:" not in str(error.error):
            troubles.append(str(error.error))

    context.on("weberror", see)

    def hear(message: Any) -> None:
        # Gradio asks how far an upload is, which may be over by then
        if message.type == "error" and "/upload_progress" not in message.location.get("url", ""):
            troubles.append(f"{message.text} {message.location.get('url', '')}")

    context.on("console", hear)
    return outside, troubles
