"""A bundle's bundle.json: every part's kind, licence, spaces and files, and whether they fit together."""

import re
from dataclasses import asdict, dataclass, field, replace
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any

from echoframe.config import from_dict
from echoframe.errors import BundleError, ConfigError, EchoFrameError
from echoframe.options import SampleOptions
from echoframe.output import file_sha256, is_partial
from echoframe.spec import ClipSpec
from echoframe.weights import read_json, write_json

MANIFEST = "bundle.json"
FORMAT = 1
PARTS = ("visual_encoder", "audio_encoder", "mapper", "generator", "labels")
_VERSION = re.compile(r"\d+(\.\d+)*")
NEEDED = ("visual_encoder", "generator")  # without a mapper the zero-shot bridge is built
# the most permissive first; one that is not here counts as stricter than all that are
LICENCES = (
    "CC0-1.0",
    "MIT",
    "BSD-3-Clause",
    "Apache-2.0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "CC-BY-NC-4.0",
    "CC-BY-NC-SA-4.0",
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Space:
    """A space of embeddings: its name and how many numbers a point has. Equal only if model and preprocessing are."""

    name: str
    dim: int

    def __str__(self) -> str:
        return f'"{self.name}" ({self.dim})'


@dataclass(frozen=True, kw_only=True, slots=True)
class PartFile:
    """path: relative to the part's directory, with forward slashes. size: bytes."""

    path: str
    sha256: str
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """kind: which loader reads it. source: where its weights come from. takes, gives: the spaces of what goes in and
    out (a visual encoder takes frames, an audio encoder sounds, and a generator gives sound: no space there)."""

    kind: str
    licence: str
    source: str = ""
    takes: Space | None = None
    gives: Space | None = None
    files: tuple[PartFile, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """A bundle's bundle.json. sample_rate: Hz of what the generator gives. metrics: what was measured.

    requires_echoframe: the oldest version that can load it, such as "0.5.0"; "" where every version can.
    """

    name: str
    version: str
    sample_rate: int
    parts: dict[str, Part]
    clip: ClipSpec = field(default_factory=ClipSpec)
    defaults: SampleOptions = field(default_factory=SampleOptions)
    metrics: dict[str, Any] = field(default_factory=dict)
    requires_echoframe: str = ""

    def __post_init__(self) -> None:
        if self.requires_echoframe and not _VERSION.fullmatch(self.requires_echoframe):
            raise ConfigError(f'requires_echoframe "{self.requires_echoframe}"; expected a version such as 0.5.0')

    @property
    def licence(self) -> str:
        """The strictest licence of all parts."""
        return strictest_licence([part.licence for part in self.parts.values()])


def strictest_licence(licences: list[str]) -> str:
    """The strictest of SPDX names; a name that is not known counts as the strictest of all.

    >>> strictest_licence(["MIT", "CC-BY-NC-SA-4.0", "Apache-2.0"])
    'CC-BY-NC-SA-4.0'
    """
    return max(licences, key=lambda name: LICENCES.index(name) if name in LICENCES else len(LICENCES))


def check_fit(manifest: Manifest) -> None:
    """Raises BundleError if a part is missing or unknown, or two parts that meet do not mean the same space."""
    name, parts = manifest.name, manifest.parts
    unknown = [part for part in parts if part not in PARTS]
    missing = [part for part in NEEDED if part not in parts]
    if unknown or missing:
        raise BundleError(
            f"{name}: found parts {', '.join(parts)}; expected {', '.join(NEEDED)} and optionally "
            f"{', '.join(part for part in PARTS if part not in NEEDED)}; correct {MANIFEST}"
        )
    meetings = [("mapper", "takes", "visual_encoder", "gives"), ("generator", "takes", "mapper", "gives")]
    meetings += [("generator", "takes", "audio_encoder", "gives"), ("generator", "takes", "labels", "gives")]
    for one, its, other, theirs in meetings:
        if one in parts and other in parts:
            mine, yours = getattr(parts[one], its), getattr(parts[other], theirs)
            if mine is None or mine != yours:
                raise BundleError(
                    f"{name}: {one} {its} {mine or 'no named space'}, {other} {theirs} {yours or 'no named space'}; "
                    "both have to be the same space: use parts that were made for each other"
                )


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Writes bundle.json into `directory`."""
    values = asdict(manifest)
    head = {"format": FORMAT, "name": values.pop("name"), "version": values.pop("version")}
    needs = values.pop("requires_echoframe")
    head |= {"requires_echoframe": needs} if needs else {}  # a key that versions before 0.5.0 do not know
    write_json(directory / MANIFEST, head | {"licence": manifest.licence} | values)


def read_manifest(directory: Path) -> Manifest:
    """The manifest in `directory`. Raises BundleError if it is missing, of another format, or incomplete."""
    path = directory / MANIFEST
    values = read_json(path)
    if values.pop("format", None) != FORMAT:
        raise BundleError(f"{path}: not a bundle of format {FORMAT}; update echoframe, or save the bundle again")
    _check_version(path, values.get("requires_echoframe", ""))
    licence, parts = values.pop("licence", None), values.pop("parts", None)
    if not isinstance(parts, dict) or not parts or not all(isinstance(part, dict) for part in parts.values()):
        raise BundleError(f"{path}: found no parts, expected {', '.join(PARTS)}; save the bundle again")
    try:
        read = {name: _part(part, f"{path} [{name}]") for name, part in parts.items()}
        manifest = from_dict(Manifest, values | {"parts": read}, name=str(path))
    except (EchoFrameError, TypeError, AttributeError) as error:
        raise BundleError(f"{path}: not a bundle's manifest ({error}); save the bundle again") from error
    if licence != manifest.licence:
        raise BundleError(
            f"{path}: licence {licence}, but the strictest of its parts is {manifest.licence}; correct it"
        )
    return manifest


def _check_version(path: Path, needed: object) -> None:
    """Raises BundleError if the bundle says that it needs a newer echoframe than this."""
    asked, found = _VERSION.match(str(needed)), version("echoframe")
    if asked and _numbers(found) < _numbers(asked[0]):
        raise BundleError(
            f"{path}: needs echoframe {needed} or newer, this is {found}; update it: pip install -U echoframe"
        )


def _numbers(text: str) -> list[int]:
    """A version's numbers, to be compared; what stands behind them (dev, rc) is not looked at."""
    found = _VERSION.match(text)
    numbers = [int(number) for number in found[0].split(".")] if found else []
    return (numbers + [0, 0, 0])[:3]


def _part(values: dict[str, Any], name: str) -> Part:
    spaces = {key: from_dict(Space, values[key], name=f"{name} {key}") for key in ("takes", "gives") if values.get(key)}
    read = tuple(from_dict(PartFile, file, name=f"{name} files") for file in values.get("files", ()))
    for file in read:
        # a manifest from elsewhere must not make us read outside the bundle
        if PurePosixPath(file.path).is_absolute() or ".." in PurePosixPath(file.path).parts or "\\" in file.path:
            raise BundleError(f'{name}: file "{file.path}" lies outside the part; do not use this bundle')
    return from_dict(Part, values | spaces | {"files": read}, name=name)


def with_files(manifest: Manifest, directory: Path) -> Manifest:
    """`manifest` with the size and sha256 of every file that lies in its parts' directories now."""
    parts = {}
    for name, part in manifest.parts.items():
        folder = directory / name
        found = sorted(
            path for path in folder.rglob("*") if path.is_file() and path.suffix != ".tmp" and not is_partial(path)
        )
        if not found:
            raise BundleError(f"{folder}: no files; write the part before the bundle is saved")
        files = [
            PartFile(path=path.relative_to(folder).as_posix(), sha256=file_sha256(path), size=path.stat().st_size)
            for path in found
        ]
        parts[name] = replace(part, files=tuple(files))
    return replace(manifest, parts=parts)


def check_files(directory: Path, manifest: Manifest, *, hashes: bool) -> None:
    """Raises BundleError at the first file that is missing, of another size or, with `hashes`, altered."""
    for name, part in manifest.parts.items():
        for file in part.files:
            path = directory / name / file.path
            if not path.is_file():
                raise BundleError(f"{path}: missing, expected {file.size} bytes; fetch the bundle again")
            size = path.stat().st_size
            if size != file.size:
                raise BundleError(f"{path}: {size} bytes, expected {file.size}; fetch the bundle again")
    if not hashes:
        return
    for name, part in manifest.parts.items():
        for file in part.files:
            path = directory / name / file.path
            found = file_sha256(path)
            if found != file.sha256:
                raise BundleError(
                    f"{path}: altered: sha256 {found[:12]}..., expected {file.sha256[:12]}...; fetch the bundle again"
                )
