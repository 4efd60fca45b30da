"""The manifest of an embedding set, manifest.json: what made the embeddings, of which clips, and what came of them.

*Identity*: format, encoders, clip, numbers, sound_rate, source and shard_clips. They are fixed when a set is begun; the
version that wrote it last and the counts are not.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from echoframe.config import from_dict
from echoframe.errors import ConfigError, InputError
from echoframe.spec import ClipSpec

MANIFEST = "manifest.json"
FORMAT = 1
IDENTITY = ("format", "encoders", "clip", "numbers", "sound_rate", "source", "shard_clips")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderFacts:
    """An encoder that made embeddings. space, dim: of its points. files: name -> sha256 of its weights and configs."""

    kind: str
    source: str
    licence: str
    space: str
    dim: int
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class NumberTypes:
    """The dtypes of the two columns, and the one that the encoders computed in."""

    visual: str = "float16"
    audio: str = "float32"
    computed: str = "float32"


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFacts:
    """The clips. kind: as in `sources.Source`. clips: how many. sha256: of the list of them."""

    kind: str
    clips: int
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class SetCounts:
    """Clips with embeddings, clips that failed, clips in shards that are not written yet, and why clips failed."""

    done: int
    failed: int
    left: int
    failed_by_stage: dict[str, int] = field(default_factory=dict)
    failed_by_reason: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class SetManifest:
    """An embedding set's manifest.json. encoders: "visual_encoder", and "audio_encoder" where the model has one.

    sound_rate: Hz that sounds were brought to before the audio encoder heard them, as AudioLDM's own conditions were; 0 where
    it heard them as they are. echoframe: the version that wrote it last. counts: None until it is written.
    """

    encoders: dict[str, EncoderFacts]
    clip: ClipSpec
    source: SourceFacts
    shard_clips: int
    numbers: NumberTypes = field(default_factory=NumberTypes)
    sound_rate: int = 0
    format: int = FORMAT
    echoframe: str = ""
    counts: SetCounts | None = None

    def __post_init__(self) -> None:
        if self.source.clips < 0 or self.shard_clips < 1:
            raise ConfigError(
                f"{self.source.clips} clips in shards of {self.shard_clips}; expected 0 or more in shards of 1 or more"
            )

    def identity(self) -> dict[str, Any]:
        """What two runs into one folder must agree on, as plain values."""
        values = asdict(self)
        return {name: values[name] for name in IDENTITY}


def read_manifest(folder: Path) -> SetManifest:
    """The manifest of the set in `folder`. Raises InputError if there is none, or one of another version."""
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        found = values.get("format") if isinstance(values, Mapping) else None
        if found not in (FORMAT, None):
            raise InputError(f"{path}: embeddings of format {found}, expected {FORMAT}; extract them again")
        return _parsed(values)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give a folder that echoframe extract wrote"
        ) from error
    except (ConfigError, ValueError, TypeError) as error:
        raise InputError(
            f"{path}: not a manifest of embeddings ({error}); update echoframe, or extract them into a new folder"
        ) from error


def _parsed(values: Any) -> SetManifest:
    encoders = values.get("encoders") if isinstance(values, Mapping) else None
    if isinstance(encoders, Mapping):
        read = {name: from_dict(EncoderFacts, one, name=str(name)) for name, one in encoders.items()}
        values = {**values, "encoders": read}
    return from_dict(SetManifest, values, name="manifest")


def manifest_text(manifest: SetManifest, counts: SetCounts) -> str:
    """The text of manifest.json, written by this version, with these counts."""
    now = replace(manifest, echoframe=version("echoframe"), counts=counts)
    values = now.identity() | {"echoframe": now.echoframe, "counts": asdict(counts)}
    if not now.sound_rate:
        del values["sound_rate"]  # as sets had it before they could have one
    return json.dumps(values, indent=1, ensure_ascii=False) + "\n"


def check_manifest(out: Path, manifest: SetManifest) -> None:
    """Raises InputError if `out` has a manifest of other encoders, another clip spec, or another list of clips."""
    if not (out / MANIFEST).exists():
        return
    theirs, ours = read_manifest(out).identity(), manifest.identity()
    for name in IDENTITY:
        if theirs[name] != ours[name]:
            there, here = _apart(theirs[name], ours[name])
            raise InputError(f"{out}: its embeddings have {name} {there}, this run has {here}; choose another folder")


def _apart(one: Any, other: Any) -> tuple[str, str]:
    """The two as text, of dictionaries only what differs."""
    if isinstance(one, dict) and isinstance(other, dict):
        differ = [key for key in other if one.get(key) != other[key]] or list(other)
        one, other = ({key: side.get(key) for key in differ} for side in (one, other))
    return json.dumps(one, ensure_ascii=False), json.dumps(other, ensure_ascii=False)
