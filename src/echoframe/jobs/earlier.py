"""What an earlier run left where a job's files go: what is done already, and what only `--overwrite` or `--force` replaces.

A file is ours if the record beside it names it. It is as asked for if that record says that the same model made it from
the same clip with the same settings, and its bytes are still those of the record; of a film, too, that its picture was
copied, or written again, as it would be now.
"""

from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path

from echoframe.errors import OutputError
from echoframe.jobs.plans import Job
from echoframe.options import WRITE_FIELDS, Settings, WriteOptions
from echoframe.options.option import name_of
from echoframe.output import file_sha256
from echoframe.pipeline import EchoFrame
from echoframe.provenance import BundleId, InputId, MapperId, Provenance, find_provenance, record_of, record_path

_ELSEWHERE = "or choose another name or folder with -o"


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """By which a model knows its results; it can be sent to where the model is not loaded."""

    identity: BundleId
    mapper_id: MapperId | None
    device: str
    dtype: str


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a job's results shall be made with. job: once it was looked at."""

    model: EchoFrame | Identity
    job: Job
    settings: Settings
    writing: WriteOptions

    @cached_property
    def clip_sha256(self) -> str:
        """Of the clip's bytes, read once for all its files."""
        return InputId.of(self.job.known).sha256

    @cached_property
    def mapper(self) -> MapperId | None:
        """The model's mapper, if it is not its own."""
        return self.model.mapper_id

    def difference(self, output: Path, found: Provenance) -> str:
        """In which way `output`, made as `found` says, is not what is asked for; "" if it is."""
        machine, wanted = (found.machine.device, found.machine.dtype), (self.model.device, self.model.dtype)
        pairs = [
            (each, getattr(found.settings, each.name), getattr(self.settings, each.name)) for each in fields(Settings)
        ]
        pairs += [(each, getattr(found, each.name), getattr(self.writing, each.name)) for each in WRITE_FIELDS]
        changed = [f"{name_of(each)} {was}" for each, was, asked in pairs if was != asked]
        if changed:
            return f"made with {', '.join(changed)}"
        if output == self.job.film and found.reencoded != self._reencodes(found):
            return f"made with its picture {'written again as H.264' if found.reencoded else 'copied'}"
        if found.bundle.sha256 != self.model.identity.sha256:
            return f"made by another model, {found.bundle.name} {found.bundle.version}".rstrip()
        if (found.mapper and found.mapper.sha256) != (self.mapper and self.mapper.sha256):
            return "made with another mapper"
        if machine != wanted:
            return f"made on {' in '.join(machine)}"
        if found.example and found.example.sha256 != file_sha256(Path(self.settings.like)):
            return "made like another example, or like this one before it changed"
        if found.input.sha256 != self.clip_sha256:
            return "made from another clip, or from this one before it changed"
        return "" if file_sha256(output) == found.outputs[output.name] else "changed since it was written"

    def _reencodes(self, found: Provenance) -> bool:
        """Whether the film's picture would be written again; one that could not be copied then could not be now."""
        return self.job.reencode or (self.writing.reencode and found.reencoded)


def are_done(outputs: list[Path], asked: Asked) -> bool:
    """Whether all these files are there as asked for."""
    records = {path: record_of(path) for path in outputs if path.is_file()}
    return len(records) == len(outputs) and not any(
        found is None or asked.difference(path, found) for path, found in records.items()
    )


def check_foreign(outputs: list[Path], writing: WriteOptions) -> None:
    """Raises OutputError if one of these files, or a file in the place of its record, is not EchoFrame's."""
    for path in outputs:
        beside = record_path(path)
        taken = [path] if path.exists() and record_of(path) is None else []
        taken += [beside] if beside.exists() and find_provenance(beside) is None else []
        if taken and not writing.force:
            raise OutputError(
                f"{taken[0]}: exists and was not written by EchoFrame; move it, choose another folder with -o, "
                "or replace it with --force"
            )


def check_earlier(outputs: list[Path], asked: Asked) -> None:
    """Raises OutputError if one of these files is an earlier result and not what is asked for."""
    if asked.writing.overwrite or asked.writing.force:
        return
    for path in outputs:
        found = record_of(path) if path.is_file() else None
        difference = asked.difference(path, found) if found else ""
        if difference:
            raise OutputError(f"{path}: is an earlier result, {difference}; replace it with --overwrite, {_ELSEWHERE}")
