"""The parser of the command: one-line complaints that suggest the right word, and help with defaults and examples.

A subcommand's arguments are added when they are first needed, so that `echoframe --help` imports argparse alone.
"""

import argparse
import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence

from echoframe.apps.examples import epilog
from echoframe.errors import EchoFrameError

TYPE_CHECKING = False  # typing's own constant would cost a third of python's start
if TYPE_CHECKING:
    from typing import Any, NoReturn

BAD_INPUT = 2
_FILE_NAME = re.compile(r"\.\w{2,4}$")


class HelpFormatter(argparse.HelpFormatter):
    """Says every option's default value, and keeps the line breaks of a text that has some."""

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        is_plain = isinstance(default, (int, float, str)) and not isinstance(default, bool) and default != ""
        if "(default:" in text or not action.option_strings or not is_plain or default == argparse.SUPPRESS:
            return text
        return f"{text} (default: %(default)s)"

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n" in text:
            return "".join(indent + line for line in text.splitlines(keepends=True))
        return super()._fill_text(text, width, indent)


class Parser(argparse.ArgumentParser):
    """An argument parser. fill: adds the arguments, once they are needed. about: one line for the list of commands."""

    def __init__(self, *, fill: "Callable[[Parser], None] | None" = None, about: str = "", **options: "Any") -> None:
        options.setdefault("description", about)
        super().__init__(allow_abbrev=False, formatter_class=HelpFormatter, **options)
        self.about = about
        self._fill = fill
        self._subparsers_action: "Any" = None

    def add_commands(self, metavar: str, *, dest: str, required: bool = True) -> None:
        """Says that the first word is a subcommand's name. dest: where it is put."""
        self._subparsers_action = self.add_subparsers(dest=dest, metavar=metavar, required=required)

    def add_command(self, name: str, about: str, fill: "Callable[[Parser], None] | None" = None) -> "Parser":
        """A subcommand, listed with `about`."""
        return self._subparsers_action.add_parser(name, help=about, about=about, fill=fill)

    @property
    def commands(self) -> "dict[str, Parser]":
        """The subcommands by name."""
        return self._subparsers_action.choices if self._subparsers_action else {}

    def filled(self) -> "Parser":
        """Itself, with its arguments added."""
        if self._fill is not None:
            fill, self._fill = self._fill, None
            fill(self)
        self.epilog = epilog(self.prog)
        return self

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: "Any" = None) -> "Any":  # type: ignore[override]
        """As argparse's. Words that are left over end the program here, where the subcommand's name is known."""
        self.filled()
        words = list(sys.argv[1:] if args is None else args)
        self._check_words(words)
        try:
            found, left = super().parse_known_args(words, namespace)
        except EchoFrameError as error:  # what a value is made of may be wrong in itself, as a table's line
            self.exit(BAD_INPUT, f"echoframe: {error}\n")
        if left:
            names = " ".join(left)
            self.error(f"unexpected {names}; write all names next to each other, before the options or after them")
        return found, left

    def error(self, message: str) -> "NoReturn":
        """Ends the program with one line that names the help to read."""
        self.exit(BAD_INPUT, f"{self.prog}: {message}; see {self.prog} --help\n")

    def _check_words(self, words: Sequence[str]) -> None:
        for word in words:
            if word == "--":
                return
            if self._is_option(word):
                self._check_option(word)
            elif self.commands:
                if word not in self.commands:
                    self._refuse_command(word)
                return  # what follows is the subcommand's

    def _is_option(self, word: str) -> bool:
        """Whether argparse would read the word as an option. A negative number is a value."""
        return word.startswith("-") and word != "-" and " " not in word.partition("=")[0] and not _is_number(word)

    def _check_option(self, word: str) -> None:
        flag = word.partition("=")[0]
        if flag in self._option_string_actions:
            return
        is_long = word.startswith("--")
        if os.path.lexists(word) or (not is_long and _FILE_NAME.search(word)):
            self.error(f"{word}: a name that begins with a dash reads as an option; write ./{word}, or -- before it")
        if is_long or word[:2] not in self._option_string_actions:
            self.error(f"no such option {flag}{_suggestion(flag, self._option_string_actions)}")

    def _refuse_command(self, word: str) -> "NoReturn":
        if os.path.exists(word) and "generate" in self.commands:
            self.error(f'"{word}" is a file or a folder, expected a command (did you mean echoframe generate {word}?)')
        known = ", ".join(self.commands)
        self.error(f'no such command "{word}"{_suggestion(word, self.commands) or f" (commands: {known})"}')


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def _suggestion(word: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches  # only a mistake needs it

    names = list(known)
    near = [name for name in names if len(word) > 2 and name.startswith(word)] or get_close_matches(
        word, names, n=2, cutoff=0.7
    )
    return f" (did you mean {' or '.join(near[:3])}?)" if near else ""
