"""A dataset repository for the Hugging Face hub: embeddings as Parquet, clips as tars, and a card that says what they are."""

import csv
import io
import os
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from echoframe.bundles.labels import vggsound_labels
from echoframe.data.clip_list import SPLITS
from echoframe.data.embedding_manifest import MANIFEST, SetManifest, read_manifest
from echoframe.data.ledger import Entry
from echoframe.data.pack import INDEX, read_index
from echoframe.data.units import size_words
from echoframe.errors import InputError
from echoframe.optional import require_extra
from echoframe.output import atomic_files
from echoframe.progress import ProgressCallback

REST = "rest"  # of clips whose split is not known

CARD = """---
license: {licence}
pretty_name: {title}
task_categories:
- audio-classification
- feature-extraction
tags:
- audio
- video
- embeddings
{tags}- webdataset
{configs}---

# {title}

{n_done:,} of {n_all:,} listed clips ({coverage:.1%}), each ten seconds of picture and sound. Made with
[EchoFrame](https://pypi.org/project/echoframe/).

{coverage_table}

Clips that are missing, and why: {reasons}. `clips.csv` has a line for every listed clip.
{embeddings}{tars}
{terms}"""

VGGSOUND_TERMS = """## Licences

The list of clips and labels is VGGSound's (CC BY 4.0). The videos belong to their uploaders, who keep every right in them,
and may take them down. Use them for research, where your law allows it. The embeddings were computed from them.

## Citation

```bibtex
@inproceedings{chen2020vggsound,
  title = {VGGSound: A Large-Scale Audio-Visual Dataset},
  author = {Chen, Honglie and Xie, Weidi and Vedaldi, Andrea and Zisserman, Andrew},
  booktitle = {ICASSP},
  year = {2020}
}
```
"""

OWN_TERMS = """## Licences

The clips belong to those who made them; whoever publishes this set writes here under which terms. The embeddings were
computed from them.
"""

EMBEDDINGS = """
## Embeddings

| part | encoder | source | numbers |
|---|---|---|---|
{encoders}

`visual` holds {n_frames} frames ({spec}), `mask` says which of them are of the video and not its last frame held, `audio`
is the embedding of the sound.

```python
from datasets import load_dataset

clips = load_dataset("{repo}", split="{split}")
clips[0]["label"], len(clips[0]["visual"]), len(clips[0]["audio"])
```
"""

TARS = """
## Films

{n_tars} WebDataset tars of {n_clips:,} clips ({size}), each `KEY.mp4` with `KEY.json` beside it;
`clips/shards.json` has their sha256.

```python
import webdataset as wds

for clip in wds.WebDataset("clips/{tar}", shardshuffle=False):
    clip["__key__"], clip["json"], len(clip["mp4"])
```
"""


def write_dataset(
    out: Path,
    entries: Iterable[Entry],
    *,
    repo: str,
    title: str = "",
    embeddings: Path | None = None,
    tars: Path | None = None,
    progress: ProgressCallback | None = None,
) -> list[Path]:
    """Writes the folder of a dataset repository; returns its files, relative to `out`.

    title: of the card; the name in `repo` if there is none.
    embeddings: what `extract` wrote; its shards are written again, one file for each split. tars: what `pack` wrote;
    hard-linked where the disk allows it. Files are whole or not there; what is there already stays. Raises InputError if
    a folder holds none of these.
    """
    out.mkdir(parents=True, exist_ok=True)
    listed = list(entries)
    if not listed:
        raise InputError(f"{out}: nothing to publish, the ledger lists no clip; fill it with echoframe data download")
    splits = _write_embeddings(embeddings, out, progress) if embeddings else []
    packed = _link_tars(tars, out, progress) if tars else None
    _write_text(out / "clips.csv", _clips_csv(listed))
    about = read_manifest(embeddings) if embeddings else None
    _write_text(out / "README.md", _card(listed, repo, title or repo.rpartition("/")[2], splits, about, packed))
    return sorted(path.relative_to(out) for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))


def _write_embeddings(source: Path, out: Path, progress: ProgressCallback | None) -> list[str]:
    """The embedding shards, one Parquet file for each shard and split; the splits there are."""
    parquet, compute = require_extra("pyarrow.parquet"), require_extra("pyarrow.compute")
    shards = sorted(source.glob("*.parquet"))
    if not shards or not (source / MANIFEST).is_file():
        raise InputError(f"{source}: no embeddings here; give the folder that echoframe extract wrote")
    found = set()
    for n, shard in enumerate(shards):
        table = parquet.read_table(shard)
        for split in (*SPLITS, REST):
            part = table.filter(compute.equal(table["split"], "" if split == REST else split))
            if part.num_rows == 0:
                continue
            found.add(split)
            path = out / "embeddings" / f"{split}-{n:05d}.parquet"
            if path.exists() and parquet.read_metadata(path).num_rows == part.num_rows:
                continue
            path.parent.mkdir(exist_ok=True)
            with atomic_files([path]) as (partial,):
                parquet.write_table(part, partial)
        if progress is not None:
            progress(n + 1, len(shards), shard.name)
    _write_text(out / "embeddings" / MANIFEST, (source / MANIFEST).read_text())
    return [split for split in (*SPLITS, REST) if split in found]


def _link_tars(source: Path, out: Path, progress: ProgressCallback | None) -> list[Path]:
    index = source / INDEX
    if not index.is_file():
        raise InputError(f"{source}: no {INDEX} here; give the folder that echoframe data pack wrote")
    (out / "clips").mkdir(exist_ok=True)
    tars = [source / shard.name for shard in read_index(source)]
    files = [*tars, index]
    for n, tar in enumerate(files, start=1):
        target = out / "clips" / tar.name
        if target.exists() and target.stat().st_size == tar.stat().st_size and tar is not index:
            continue
        with atomic_files([target]) as (partial,):
            try:
                os.link(tar, partial)
            except OSError:  # another disk
                shutil.copyfile(tar, partial)
        if progress is not None:
            progress(n, len(files), tar.name)
    return tars


def _write_text(path: Path, text: str) -> None:
    with atomic_files([path]) as (partial,):
        partial.write_text(text, encoding="utf-8")


def _clips_csv(entries: Sequence[Entry]) -> str:
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(("key", "youtube_id", "start_s", "label", "split", "state", "reason", "sha256"))
    for e in entries:
        row = e.row
        rows.writerow(
            (row.key, row.youtube_id, row.start_s, row.label, row.split, e.state, e.reason, e.facts.get("sha256", ""))
        )
    return text.getvalue()


def _card(
    entries: Sequence[Entry],
    repo: str,
    title: str,
    splits: Sequence[str],
    about: SetManifest | None,
    tars: Sequence[Path] | None,
) -> str:
    done = [e for e in entries if e.state == "done"]
    lost: dict[str, int] = {}
    for e in entries:
        if e.state != "done":
            lost[e.reason or "not fetched yet"] = lost.get(e.reason or "not fetched yet", 0) + 1
    rows = ["| split | listed | here | labels |", "|---|---|---|---|"]
    for split in (*SPLITS, ""):
        of_split = [e for e in entries if e.row.split == split]
        here = [e for e in of_split if e.state == "done"]
        if of_split:
            rows.append(f"| {split or REST} | {len(of_split)} | {len(here)} | {len({e.row.label for e in here})} |")
    is_vggsound = _is_vggsound(entries)
    return CARD.format(
        licence="other",
        tags="- vggsound\n" if is_vggsound else "",
        terms=VGGSOUND_TERMS if is_vggsound else OWN_TERMS,
        title=title,
        configs=_configs(splits),
        n_done=len(done),
        n_all=len(entries),
        coverage=len(done) / len(entries),
        coverage_table="\n".join(rows),
        reasons=", ".join(f"{n} {why}" for why, n in sorted(lost.items(), key=lambda x: -x[1])) or "none",
        embeddings=_embeddings_text(repo, splits, about) if about else "",
        tars=_tars_text(tars, done) if tars else "",
    )


def _is_vggsound(entries: Sequence[Entry]) -> bool:
    """Whether all clips have the names and labels of VGGSound's, and one at least is labelled."""
    known = {name for name, _ in vggsound_labels()}
    labels = {e.row.label for e in entries} - {""}
    return bool(labels) and labels <= known and all(e.row.youtube_id for e in entries)


def _configs(splits: Sequence[str]) -> str:
    if not splits:
        return ""
    files = "".join(f"  - split: {split}\n    path: embeddings/{split}-*.parquet\n" for split in splits)
    return f"configs:\n- config_name: embeddings\n  default: true\n  data_files:\n{files}"


def _tars_text(tars: Sequence[Path], done: Sequence[Entry]) -> str:
    size = sum(tar.stat().st_size for tar in tars)
    return TARS.format(n_tars=len(tars), n_clips=len(done), size=size_words(size), tar=tars[0].name if tars else "")


def _embeddings_text(repo: str, splits: Sequence[str], about: SetManifest) -> str:
    rows = [
        f"| `{name.removesuffix('_encoder')}` | {e.kind} | {e.source} | {e.dim} |" for name, e in about.encoders.items()
    ]
    clip = about.clip
    spec = (
        f"{clip.sampling} over {clip.duration_s:g} s"
        if clip.sampling == "uniform"
        else f"at {clip.frame_rate:g} per second from the start"
    )
    return EMBEDDINGS.format(
        encoders="\n".join(rows), n_frames=clip.n_frames, spec=spec, repo=repo, split=splits[0] if splits else REST
    )
