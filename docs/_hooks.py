"""Fills the pages with what the code says, so that it is written once: the options of a generation."""

from dataclasses import fields
from typing import Any

from echoframe.options import REQUEST_FIELDS, WRITE_FIELDS, RunOptions
from echoframe.options.option import flag_of

MARK = "<!-- the table of options -->"


def option_table() -> str:
    """The options of `echoframe generate` and `EchoFrame.generate` as a Markdown table."""
    rows = ["| flag | in Python | meaning | default | range |", "|---|---|---|---|---|"]
    for option in [*REQUEST_FIELDS, *fields(RunOptions), *WRITE_FIELDS]:
        about = option.metadata
        flag = f"{flag_of(option)} {about['metavar']}".rstrip()
        name = f"`{option.name}`" if option in REQUEST_FIELDS else ""
        choices = "one of `echoframe.options.SCHEDULER_NAMES`" if about["choices"] else ""
        expected = about["expected"] or choices or "given or not"
        rows.append(f"| `{flag}` | {name} | {about['help']} | {about['default_text']} | {expected} |")
    return "\n".join(rows)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Called by mkdocs for each page."""
    return markdown.replace(MARK, option_table())
