"""A user's own recordings: added by reference, cut, embedded in a model's audio space, and found by it.

>>> from echoframe import load
>>> from echoframe.library import Library
>>> with Library.open("my.library", load("mini")) as library:  # doctest: +SKIP
...     print(library.search("dog barking", k=3))
"""

from echoframe.library.add import Added
from echoframe.library.entries import REASONS, Entry, Found, LibraryInfo, Piece
from echoframe.library.library import Library
from echoframe.library.recording import read_piece
from echoframe.library.search import Part, parts_of_file, target_of_text

__all__ = [
    "REASONS",
    "Added",
    "Entry",
    "Found",
    "Library",
    "LibraryInfo",
    "Part",
    "Piece",
    "parts_of_file",
    "read_piece",
    "target_of_text",
]
