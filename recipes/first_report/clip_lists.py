"""The lists of the experiment: what is learned from and what is judged, and the films to be judged side by side.

python clip_lists.py join --work WORK     WORK/split.csv, of the two lists that WORK/given.json names
python clip_lists.py check --work WORK    says how many of their films WORK/clips has
python clip_lists.py test --work WORK     WORK/test/, test.csv, generate.csv and clips.json, of the clips with embeddings
"""

import argparse
import csv
import io
import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from echoframe.data.clip_list import ClipRow, read_clip_list
from echoframe.data.split import split_rows, write_split
from echoframe.errors import EchoFrameError, InputError
from echoframe.output import atomic_files, atomic_folder
from settings import read, write

SPLITS = ("train", "val", "test")


def join(train: Path, test: Path) -> list[ClipRow]:
    """Rows of split train, val and test. Of a list with splits, `train` gives what is not test, and `test` what is.

    No film is on two sides. Where `train` has no split val, a twentieth of each label's films is. Raises InputError if one
    of the three has no clip.
    """
    judged = read_clip_list(test).rows
    if any(row.split for row in judged):
        judged = tuple(row for row in judged if row.split == "test")
    keys = {row.key for row in judged}
    learned = [row for row in read_clip_list(train).rows if row.split != "test" and row.key not in keys]
    rows = [*learned, *(replace(row, split="test") for row in judged)]
    joined = split_rows(rows)
    if any(row.split == "val" for row in learned):
        joined = [
            replace(new, split=new.split and (old.split or "train")) for old, new in zip(rows, joined, strict=True)
        ]
    for split, path in (("train", train), ("val", train), ("test", test)):
        if not any(row.split == split for row in joined):
            raise InputError(
                f"{path}: gives no clip of split {split}; list more clips, or write {split} into some rows"
            )
    return joined


def write_table(path: Path, rows: Sequence[Sequence[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    with atomic_files([path]) as (partial,):
        partial.write_text(text.getvalue(), encoding="utf-8")


def link_files(files: dict[str, Path], folder: Path) -> None:
    """A folder with those files under those names, as links; whole, and in the place of an earlier one."""
    if folder.exists():
        shutil.rmtree(folder)
    with atomic_folder(folder) as partial:
        for name, path in files.items():
            try:
                os.link(path, partial / name)
            except OSError:  # another file system, or one without links
                (partial / name).symlink_to(path.resolve())


def check(work: Path) -> None:
    """Prints how many listed films were taken in. Raises InputError if there is none of train, val or test."""
    from echoframe.data.sources import list_source

    keys = {item.key for item in list_source(work / "clips").items}
    for split in SPLITS:
        listed = [row.key for row in read_clip_list(work / "split.csv").rows if row.split == split]
        there = len(keys.intersection(listed))
        print(f"{there} of {len(listed)} {split} films are there")
        if not there:
            raise InputError(
                f"{(work / 'given').resolve()}: has none of the films of split {split}; expected files that are named as in "
                "the list, and no links to other folders"
            )


def gather(work: Path) -> None:
    """The films that are judged, and their lists. Raises InputError where no test clip has embeddings."""
    from echoframe.data.embedding_reader import EmbeddingSets  # needs torch
    from echoframe.data.sources import list_source

    sets, source = EmbeddingSets([work / "embeddings"]), list_source(work / "clips")
    of = {key: split for key, split in zip(sets.keys.tolist(), sets.splits.tolist(), strict=True)}
    items = [item for item in source.items if of.get(item.key) == "test"]
    if not items:
        raise InputError(f"{work / 'embeddings'}: no clip of split test was embedded; see its failures.jsonl")
    films = {f"{item.key}{Path(item.file).suffix}": source.folder / item.file for item in items}
    link_files(films, work / "test")
    write_table(work / "test.csv", [("name", "label"), *((item.key, item.label) for item in items)])
    write_table(work / "generate.csv", [("path",), *((f"test/{name}",) for name in films)])
    listed = [row.split for row in read_clip_list(work / "split.csv").rows]
    counts = {split: {"listed": listed.count(split), "used": [*of.values()].count(split)} for split in SPLITS}
    write(work, "clips.json", {"counts": counts, "visual space": sets.encoders.visual.name})


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("join", "check", "test"))
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args(words)
    if args.what == "check":
        check(args.work)
    elif args.what == "test":
        gather(args.work)
    else:
        given = read(args.work, "given.json")
        write_split(join(Path(given["train list"]), Path(given["test list"])), args.work / "split.csv")


if __name__ == "__main__":
    try:
        main()
    except EchoFrameError as error:
        sys.exit(f"first_report: {error}")
