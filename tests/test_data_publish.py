"""The folder of a dataset repository, read again by the libraries that people read it with; a mirror, played."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from echoframe.data import mirror, publish
from echoframe.data.clip_list import ClipRow
from echoframe.data.ledger import open_ledger
from echoframe.data.mirror import RECORD, fetch_mirror
from echoframe.data.pack import pack
from echoframe.data.publish import write_dataset
from echoframe.errors import InputError
from test_data_pack import fill

N_FRAMES, SEEN, HEARD = 4, 8, 6
ABOUT = {
    "encoders": {
        "visual_encoder": {"kind": "clip", "source": "tiny CLIP", "licence": "MIT", "space": "seen", "dim": SEEN},
        "audio_encoder": {"kind": "clap", "source": "tiny CLAP", "licence": "MIT", "space": "heard", "dim": HEARD},
    },
    "clip": {"n_frames": N_FRAMES, "frame_rate": 8.0, "duration_s": 10.0, "sampling": "uniform"},
    "source": {"kind": "folder", "clips": 10, "sha256": ""},
    "shard_clips": 7,
}


@pytest.fixture
def clips(tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    with open_ledger(folder) as ledger:
        rows = fill(folder, ledger)
        ledger.add([ClipRow(youtube_id="c" * 11, start_s=1, label="dog barking", split="train")])
        ledger.lost(f"{'c' * 11}_000001", reason="removed", detail="gone")
        pack(folder, tmp_path / "tars", ledger)
        write_embeddings(tmp_path / "embeddings", rows)
        yield folder, ledger, rows


def write_embeddings(folder: Path, rows: list[ClipRow]) -> None:
    import numpy as np
    import pyarrow
    from pyarrow import parquet

    folder.mkdir()
    values = np.arange(SEEN * N_FRAMES, dtype=np.float16).reshape(N_FRAMES, SEEN)
    for n, part in enumerate((rows[:7], rows[7:])):
        frame = pyarrow.list_(pyarrow.float16(), SEEN)
        schema = pyarrow.schema(
            {
                "key": pyarrow.string(),
                "label": pyarrow.string(),
                "split": pyarrow.string(),
                "visual": pyarrow.list_(frame, N_FRAMES),
                "audio": pyarrow.list_(pyarrow.float32(), HEARD),
            }
        )
        table = pyarrow.table(
            {
                "key": [row.key for row in part],
                "label": [row.label for row in part],
                "split": [row.split for row in part],
                "visual": [values.tolist() for _ in part],
                "audio": [[float(row.start_s)] * HEARD for row in part],
            },
            schema=schema,
        )
        parquet.write_table(table, folder / f"shard-{n:05d}.parquet")
    (folder / "manifest.json").write_text(json.dumps(ABOUT))


def published(clips, tmp_path) -> Path:
    _, ledger, _ = clips
    out = tmp_path / "out"
    said: list[str] = []
    files = write_dataset(
        out,
        ledger.entries(),
        repo="someone/vggsound",
        title="Twelve clips",
        embeddings=tmp_path / "embeddings",
        tars=tmp_path / "tars",
        progress=lambda done, total, what: said.append(what),
    )
    assert Path("README.md") in files
    assert said
    return out


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
def test_datasets_and_webdataset_read_it(clips, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    import datasets
    import webdataset

    out = published(clips, tmp_path)
    loaded = datasets.load_dataset(str(out), cache_dir=str(tmp_path / "cache"))
    rows = clips[2]
    assert {split: set(part["key"]) for split, part in loaded.items()} == {
        name: {row.key for row in rows if row.split == split}
        for name, split in (("train", "train"), ("test", "test"), ("rest", ""))
    }
    one = loaded["train"][0]
    assert (len(one["visual"]), len(one["visual"][0]), len(one["audio"])) == (N_FRAMES, SEEN, HEARD)
    assert one["visual"][1][0] == SEEN
    keys = {
        sample["__key__"]
        for tar in (out / "clips").glob("*.tar")
        for sample in webdataset.WebDataset(str(tar), shardshuffle=False)  # type: ignore[attr-defined]
    }
    assert keys == {row.key for row in rows}


def test_the_card_says_what_there_is(clips, tmp_path):
    card = (published(clips, tmp_path) / "README.md").read_text()
    assert "12 of 13 listed clips (92.3%)" in card
    assert "why: 1 removed." in card
    assert "| `visual` | clip | tiny CLIP | 8 |" in card
    assert "uniform over 10 s" in card
    assert 'load_dataset("someone/vggsound", split="train")' in card
    assert "path: embeddings/test-*.parquet" in card
    lines = (tmp_path / "out" / "clips.csv").read_text().splitlines()
    assert lines[0] == "key,youtube_id,start_s,label,split,state,reason,sha256"
    assert len(lines) == 14
    assert f"{'c' * 11}_000001,{'c' * 11},1,dog barking,train,lost,removed," in lines


def test_again_writes_the_same(clips, tmp_path):
    out = published(clips, tmp_path)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    published(clips, tmp_path)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_without_links_tars_are_copied(clips, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(publish.os, "link", refuse)
    out = published(clips, tmp_path)
    assert {path.name for path in (out / "clips").glob("*.tar")} == {p.name for p in (tmp_path / "tars").glob("*.tar")}


def test_nothing_but_the_list(clips, tmp_path):
    files = write_dataset(tmp_path / "out", clips[1].entries(), repo="a/b", title="x")
    assert [str(path) for path in files] == ["README.md", "clips.csv"]
    assert "configs:" not in (tmp_path / "out" / "README.md").read_text()


def test_folders_that_hold_none_of_it(clips, tmp_path):
    _, ledger, _ = clips
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="nothing to publish, the ledger lists no clip"):
        write_dataset(tmp_path / "out", [], repo="a/b", title="x")
    with pytest.raises(InputError, match="no embeddings here; give the folder that echoframe extract wrote"):
        write_dataset(tmp_path / "out", ledger.entries(), repo="a/b", title="x", embeddings=tmp_path / "empty")
    with pytest.raises(InputError, match="no shards.json here; give the folder that echoframe data pack wrote"):
        write_dataset(tmp_path / "out", ledger.entries(), repo="a/b", title="x", tars=tmp_path / "empty")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A dataset repository whose files lie in a folder; fetched: what was asked for."""
    remote = tmp_path / "remote"
    shutil.copytree(tmp_path / "tars", remote)
    fetched: list[str] = []

    def download(repo: str, name: str, *, repo_type: str, revision: str, local_dir: Path) -> str:
        fetched.append(name)
        local_dir.mkdir(parents=True, exist_ok=True)
        return str(shutil.copy(remote / name, local_dir / name))

    api = SimpleNamespace(
        dataset_info=lambda repo: SimpleNamespace(sha="0123"),
        list_repo_files=lambda repo, **_: sorted(path.name for path in remote.iterdir()),
    )
    monkeypatch.setattr(mirror, "HfApi", lambda: api)
    monkeypatch.setattr(mirror, "hf_hub_download", download)
    return SimpleNamespace(remote=remote, fetched=fetched, api=api)


def test_a_mirror_is_fetched_tar_by_tar(clips, hub, tmp_path):
    folder = tmp_path / "mirrored"
    folder.mkdir()
    damaged = sorted(hub.remote.glob("*.tar"))[0]
    damaged.write_bytes(damaged.read_bytes()[:700])
    said: list[str] = []
    with open_ledger(folder) as ledger:
        counts = fetch_mirror("someone/vggsound", folder, ledger, progress=lambda done, total, what: said.append(what))
        assert counts["damaged-tars"] == 1
        assert 0 < counts["unpacked"] == ledger.counts()["done"] < 12
        assert len(hub.fetched) == len(said) == 3
        assert fetch_mirror("someone/vggsound", folder, ledger) == counts
        assert len(hub.fetched) == 3
    assert json.loads((folder / RECORD).read_text())["source"] == "someone/vggsound@0123"
    assert not [path for path in (folder / ".mirror").glob("*.tar")]


def test_a_mirror_that_is_none(clips, hub, tmp_path):
    with open_ledger(tmp_path) as ledger:
        hub.api.list_repo_files = lambda repo, **_: ["README.md"]
        with pytest.raises(InputError, match="no tar among its 1 files; expected a dataset repository"):
            fetch_mirror("someone/x", tmp_path, ledger)

        def refuse(repo):
            raise OSError("offline")

        hub.api.dataset_info = refuse
        with pytest.raises(InputError, match="cannot be fetched from the hub .offline.; check the name"):
            fetch_mirror("someone/x", tmp_path, ledger)


def test_a_set_of_ones_own_has_its_own_name_and_none_of_vggsounds_words(tmp_path):
    with open_ledger(tmp_path) as ledger:
        ledger.add([ClipRow(name="door", label="creaking")])
        write_dataset(tmp_path / "own", ledger.entries(), repo="me/doors")
        ledger.lost("door", reason="broken", detail="gone")
    card = (tmp_path / "own" / "README.md").read_text()
    assert "pretty_name: doors" in card
    assert "# doors\n" in card
    assert "VGGSound" not in card.replace("vggsound", "VGGSound")
    assert "whoever publishes this set writes here under which terms" in card


def test_vggsounds_clips_keep_its_licence_and_citation(clips, tmp_path):
    card = (published(clips, tmp_path) / "README.md").read_text()
    assert "VGGSound's (CC BY 4.0)" in card
    assert "- vggsound\n- webdataset" in card
    assert "@inproceedings{chen2020vggsound," in card
