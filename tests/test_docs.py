"""The commands in docs/ are commands that there are, with options that there are."""

import re
import shlex
from pathlib import Path

import pytest

from echoframe.apps.cli import build_parser

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = [
    (path.name, line)
    for path in sorted(DOCS.glob("*.md"))
    for block in re.findall(r"^```\w*\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    for line in block.splitlines()
    if line.startswith("echoframe ")
]


def test_there_are_some():
    assert len(COMMANDS) >= 12


@pytest.mark.parametrize(("document", "line"), COMMANDS)
def test_the_command_is_understood(document, line):
    args = build_parser().parse_args(shlex.split(line, comments=True)[1:])
    assert callable(args.run), document


def test_the_files_they_name_are_there():
    for path in DOCS.glob("*.md"):
        for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", path.read_text(encoding="utf-8")):
            assert (DOCS / link).exists(), (path.name, link)
