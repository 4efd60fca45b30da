"""What a file's name and metadata say of its sound, in words by field.

A name of the Universal Category System, CatID_FXName_CreatorID_SourceID, is read by its form alone: the list of the
categories stays with its authors.
"""

import re
from pathlib import Path

from echoframe.data.verify import opened
from echoframe.errors import EchoFrameError
from echoframe.library.riff import riff_words

_CAT_ID = re.compile(r"([A-Z]{2,})([A-Z][a-z]+)(?:-[^_]*)?")
_LEAST_PARTS = 3  # CatID_FXName_CreatorID, often with _SourceID
_SPACES = re.compile(r"[\s_\-.,;+()\[\]{}&#]+")
_HUMPS = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[a-zA-Z])(?=\d)|(?<=\d)(?=[a-zA-Z])")
_LONGEST = 2000  # characters of a field
# tags of ID3, Vorbis comments and MP4, as FFmpeg calls them: what they are called here
_TAGS = {
    "title": "title",
    "comment": "comment",
    "description": "description",
    "synopsis": "description",
    "genre": "genre",
    "artist": "artist",
    "album": "album",
    "keywords": "keywords",
    "category": "category",
    "subcategory": "subcategory",
    "catid": "catid",
}


def words_of(path: Path) -> dict[str, str]:
    """What the file's name, its folder and its metadata say; what cannot be read says nothing.

    The fields are "name" and "folder"; "category" and "subcategory" of a UCS name or of the metadata; and "title",
    "description", "keywords", "comment", "note", "genre", "artist", "album", "scene", "catid".
    """
    found = {"name": plain(path.stem), "folder": plain(path.parent.name), **ucs_words(path.stem)}
    for field, value in (*riff_words(path).items(), *_tags(path).items()):
        found.setdefault(field, value)
    return {field: value[:_LONGEST] for field, value in found.items() if value}


def ucs_words(stem: str) -> dict[str, str]:
    """Category, subcategory and title of a UCS name; nothing for another one.

    >>> ucs_words("DOORWood_Cellar Door Slam_ABC_Lib01")
    {'catid': 'DOORWood', 'category': 'DOOR', 'subcategory': 'Wood', 'title': 'cellar door slam'}
    >>> ucs_words("door_slam_01")
    {}
    """
    cat_id, *rest = stem.split("_")
    form = _CAT_ID.fullmatch(cat_id)
    if form is None or len(rest) < _LEAST_PARTS - 1:
        return {}
    return {"catid": cat_id, "category": form[1], "subcategory": form[2], "title": plain(rest[0])}


def plain(name: str) -> str:
    """The words in a name, in lower case.

    >>> plain("DoorSlam_02-take3")
    'door slam 02 take 3'
    """
    return " ".join(_SPACES.sub(" ", _HUMPS.sub(" ", name)).lower().split())


def _tags(path: Path) -> dict[str, str]:
    """ID3, Vorbis comments and the like. Ogg keeps them in its streams."""
    found: dict[str, str] = {}
    try:
        with opened(path) as container:
            for tags in (container.metadata, *(stream.metadata for stream in container.streams)):
                for name, value in tags.items():
                    field, text = _TAGS.get(name.lower()), " ".join(value.split())
                    if field and text:
                        found.setdefault(field, text)
    except (EchoFrameError, ValueError):
        return found
    return found
