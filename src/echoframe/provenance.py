"""What made a sound, as JSON beside it: enough to make the same samples again.

The file has the keys of `Provenance`, nested ones as objects, and "format". It is written with the files it names in
`outputs`, once beside each of them; a result whose file differs from the hash there counts as not done.
"""

import dataclasses
import hashlib
import json
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

import numpy as np

from echoframe.config import from_dict
from echoframe.errors import BundleError, ConfigError, InputError, OutputError
from echoframe.media.frame_array import Clip, FrameArray, NoPicture
from echoframe.options import Settings
from echoframe.output import file_sha256

FORMAT = "echoframe-provenance/2"
OLD_FORMAT = "echoframe-provenance/1"  # its noise came from the seed alone, not from the clip
PACKAGES = ("echoframe", "torch", "diffusers", "transformers", "numpy", "av")  # av: another decoder, other pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class InputId:
    """The clip: its absolute path when it was read, and the sha256 of its bytes. Both are empty where there was no picture.

    n_frames, frame_rate: of a clip that was an array in memory; it has no path, and sha256 is that of its frames.
    """

    path: str
    sha256: str
    n_frames: int = 0
    frame_rate: float | None = None

    @classmethod
    def of(cls, clip: Clip) -> "InputId":
        if isinstance(clip, NoPicture):
            return cls(path="", sha256="")
        if isinstance(clip, FrameArray):
            return cls(path="", sha256=clip.sha256, n_frames=len(clip.images), frame_rate=clip.frame_rate)
        return cls.of_file(clip.path)

    @classmethod
    def of_file(cls, path: Path) -> "InputId":
        return cls(path=str(path.resolve()), sha256=file_sha256(path))


@dataclass(frozen=True, kw_only=True, slots=True)
class BundleId:
    """The models. source: what `load` was asked for. sha256: of bundle.json, which holds that of every part."""

    source: str = "unnamed"
    name: str = "unnamed"
    version: str = ""
    revision: str = ""
    sha256: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class MapperId:
    """A mapper that is not the model's own. sha256: of its weights. source: the folder it came from, "" if set by hand."""

    sha256: str
    source: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """Where it ran. The same samples come back on the same device and dtype, with the same versions.

    batch_size: how many clips were made together; more than one may change the last bits.
    """

    device: str
    dtype: str
    batch_size: int = 1
    python: str = field(default_factory=platform.python_version)
    versions: dict[str, str] = field(default_factory=lambda: {name: metadata.version(name) for name in PACKAGES})


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """What came out. samples_sha256: of the float32 samples, little-endian, before any file format rounded them.

    shots: of the film, with start_s, stop_s, the nearest label of what was seen and the seed; neighbours with one seed are
    one passage, and share a sound. candidate_scores: per passage, what each candidate is worth, and candidate_reasons: why,
    by the names of `echoframe.options.RANK`; empty without an audio encoder, and in older records of one candidate.
    nearest: sound label -> its cosine with the sound, the nearest first. remembered: the recordings that the sound began
    with, in order, their source and licence; empty where it began with noise alone. redrawn: per passage, how often it was
    drawn again as nothing could be heard; empty in records from before that was done. onsets: what is seen to be struck,
    with time_s, strength and confidence as `echoframe.timing.cues.Onset` has them; empty where the film was not watched.
    placed: the recordings of a library that the sound is made of, with the fields of `echoframe.sound.placed.Placed`, in
    the order of their beginnings.
    """

    sample_rate: int
    n_samples: int
    samples_sha256: str
    candidate_scores: tuple[list[float], ...] = ()
    candidate_reasons: tuple[list[dict[str, float]], ...] = ()
    nearest: dict[str, float] = field(default_factory=dict)
    remembered: tuple[dict[str, str | float], ...] = ()
    redrawn: tuple[int, ...] = ()
    shots: tuple[dict[str, str | float | int], ...] = ()
    onsets: tuple[dict[str, float], ...] = ()
    placed: tuple[dict[str, str | float], ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Provenance:
    """Everything that made one sound.

    Attributes:
        input: the clip.
        bundle: the model.
        mapper: the mapper that was used in the place of the model's own; None if the model's own was.
        settings: every option of the generation.
        machine: device, number format and versions.
        result: the hash of the samples, and the nearest labels.
        example: the sound that the result was to be like; None where there was none.
        original_level_db: the level of the clip's own sound in the mix, in dB; None if it was left out.
        sample_rate: of the sound files, in Hz, to which the result was resampled; None if it was not.
        channels: of the sound files, to which the result's one channel was copied; None if it was not.
        reencoded: whether the film's picture was written again as H.264, and not copied.
        outputs: the name of each file that was written, with its sha256.
        notes: what a user should know of the result, one sentence each.
        format: the format of the record.
    """

    input: InputId
    bundle: BundleId
    settings: Settings
    machine: Machine
    result: Result
    mapper: MapperId | None = None
    example: InputId | None = None
    original_level_db: float | None = None
    sample_rate: int | None = None
    channels: int | None = None
    reencoded: bool = False
    outputs: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    format: str = FORMAT


def samples_sha256(samples: np.ndarray) -> str:
    """The sha256 of float32 samples, little-endian, in hex."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").tobytes()).hexdigest()


def to_json(provenance: Provenance) -> str:
    """The text of a provenance file. A byte of a file's name that is no UTF-8 is escaped, as JSON allows."""
    text = json.dumps(dataclasses.asdict(provenance), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def read_provenance(path: Path) -> Provenance:
    """Reads the JSON that EchoFrame wrote beside a sound.

    Args:
        path: the JSON file.

    Returns:
        What made the sound.

    Raises:
        InputError: the file is missing, is not such a JSON, or was altered.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read ({error.strerror}); give the JSON that EchoFrame wrote beside a sound"
        ) from error
    except ValueError as error:
        raise InputError(
            f"{path}: not valid JSON ({error}); give the JSON that EchoFrame wrote beside a sound"
        ) from error
    found = values.get("format") if isinstance(values, dict) else type(values).__name__
    if found not in (FORMAT, OLD_FORMAT):
        raise InputError(
            f'{path}: format "{found}", expected "{FORMAT}"; give the JSON that EchoFrame wrote beside a sound'
        )
    for key in ("input", "bundle", "settings", "machine", "result"):
        if not isinstance(values.get(key, {}), dict):
            raise InputError(f"{path}: {key}: found {values[key]}, expected an object; the file was altered")
    try:
        return from_dict(Provenance, values, name=str(path))
    except (ConfigError, InputError, TypeError) as error:
        raise InputError(
            f"{path}: {error}; the file was altered, or written by another version of EchoFrame"
        ) from error


def find_provenance(path: Path) -> Provenance | None:
    """The provenance at `path`, or None where there is no file or it is not one of ours."""
    try:
        return read_provenance(path) if path.is_file() else None
    except InputError:
        return None


def record_path(output: Path) -> Path:
    """Where the record of `output` stands: beside it, under its whole name.

    >>> record_path(Path("out/clip.wav")).as_posix()
    'out/clip.wav.json'
    """
    return output.with_name(f"{output.name}.json")


def record_of(output: Path) -> Provenance | None:
    """The record beside `output` that names it, or None. The NAME.json of earlier versions is read too."""
    older = dict.fromkeys((output.stem, output.stem.removesuffix(".sound")))
    places = (record_path(output), *(output.with_name(f"{stem}.json") for stem in older))
    return next((each for each in map(find_provenance, places) if each and output.name in each.outputs), None)


def check_replaceable(path: Path) -> None:
    """Raises OutputError if there is a file at `path` that is no provenance file: it belongs to someone else."""
    if path.exists() and find_provenance(path) is None:
        raise OutputError(f"{path}: exists and was not written by EchoFrame; move it, or give the sound another name")


def check_from_file(provenance: Provenance) -> Provenance:
    """`provenance` itself. Raises InputError if the clip was an array in memory, which no file holds."""
    if provenance.input.n_frames:
        raise InputError(
            f"this sound was made from an array of {provenance.input.n_frames} frames and cannot be made again from a "
            "file; call generate with the same array and the settings in the record"
        )
    return provenance


def check_same_input(known: InputId, path: Path) -> None:
    """Raises InputError unless the file at `path` has the bytes that a sound was made from."""
    found = file_sha256(path)
    if found != known.sha256:
        raise InputError(
            f"{path}: sha256 {found[:12]}, but the sound was made from {known.sha256[:12]}; "
            "the input has changed, give the original file"
        )


def check_same_bundle(provenance: Provenance, found: BundleId) -> None:
    """Raises BundleError unless `found` is the bundle that `provenance` names."""
    made_with = provenance.bundle
    if found.sha256 != made_with.sha256:
        raise BundleError(
            f"bundle {found.name} {found.version} (sha256 {found.sha256[:12] or 'unknown'}) is not what the sound was "
            f"made with, {made_with.name} {made_with.version} (sha256 {made_with.sha256[:12] or 'unknown'}); "
            "load that one with --model"
        )


def check_same_mapper(provenance: Provenance, found: MapperId | None) -> None:
    """Raises BundleError unless `found` has the weights of the mapper that `provenance` names."""
    made_with = provenance.mapper
    if (found and found.sha256) != (made_with and made_with.sha256):
        raise BundleError(
            f"the mapper, {_called(found)}, is not what the sound was made with, {_called(made_with)}; give that one "
            "with --mapper, or in Python set it as model.mapper"
        )


def _called(mapper: MapperId | None) -> str:
    if mapper is None:
        return "the model's own"
    return f"{mapper.source or 'one set by hand'} (sha256 {mapper.sha256[:12]})"


def changed_versions(provenance: Provenance, machine: Machine) -> list[str]:
    """What differs between then and now, as "torch 2.6.0 -> 2.7.1": the samples may differ in their last bits."""
    then, now = dict(provenance.machine.versions), dict(machine.versions)
    then |= {
        "python": provenance.machine.python,
        "device": provenance.machine.device,
        "dtype": provenance.machine.dtype,
        "batch size": str(provenance.machine.batch_size),
    }
    now |= {"python": machine.python, "device": machine.device, "dtype": machine.dtype}
    now["batch size"] = str(machine.batch_size)
    return [
        f"{name} {then.get(name)} -> {now.get(name)}" for name in sorted(then | now) if then.get(name) != now.get(name)
    ]
