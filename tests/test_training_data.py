"""Embedding sets as training reads them: their numbers, their splits, their batches, what is refused."""

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow
import pytest
import torch
from pyarrow import parquet

from echoframe.data.embedding_reader import EmbeddingSets
from echoframe.errors import InputError
from echoframe.training import batches
from echoframe.training.batches import Batches, free_bytes
from planted_embeddings import LABELS, linear_set, unit, write_set


@pytest.fixture
def numbered(tmp_path):
    """A set in which every clip says its own number."""
    n = 250
    visual = np.repeat(np.arange(n, dtype=np.float32)[:, None, None], 3, axis=1) * np.ones(2, dtype=np.float32)
    audio = unit(np.stack([np.cos(np.arange(n) / n), np.sin(np.arange(n) / n)], axis=1))
    mask = np.ones((n, 3), dtype=bool)
    mask[::7, 2] = False
    return write_set(tmp_path / "set", visual, audio, mask=mask, shard_clips=60), visual, audio, mask


def test_numbers_come_back_as_they_were_written(numbered):
    folder, visual, audio, mask = numbered
    sets = EmbeddingSets([folder])
    assert (sets.n_frames, sets.encoders.visual.dim, sets.encoders.audio.name) == (3, 2, "heard")
    rows = np.array([249, 3, 60, 59, 3])  # of several shards, not in order, one twice
    clips = sets.load(rows)
    assert clips.visual.dtype == torch.float16
    assert clips.audio.dtype == torch.float32
    np.testing.assert_array_equal(clips.visual.numpy(), visual[rows])
    np.testing.assert_array_equal(clips.mask.numpy(), mask[rows])
    np.testing.assert_array_equal(clips.audio.numpy(), audio[rows])
    assert sets.keys[60] == "film0000060_000010"
    assert list(sets.labels[:4]) == list(LABELS)


def test_two_sets_are_read_as_one(tmp_path):
    one = linear_set(tmp_path / "one", n=30)
    other = linear_set(tmp_path / "other", n=20, seed=5, first=30)
    both = EmbeddingSets([one, other])
    assert len(both.keys) == 50
    torch.testing.assert_close(both.load(np.array([30])).audio, EmbeddingSets([other]).load(np.array([0])).audio)
    assert both.sha256 != EmbeddingSets([one]).sha256
    assert both.sha256 == EmbeddingSets([one, other]).sha256


def test_the_splits_of_the_set_and_one_that_is_held_out_by_film(tmp_path):
    given = EmbeddingSets([linear_set(tmp_path / "given", n=100)])
    assert len(given.rows("val")) == 20
    assert set(given.splits[given.rows("train")]) == {"train"}
    none = EmbeddingSets([linear_set(tmp_path / "none", n=400, splits=("train", "", "test"))])
    val, train = none.rows("val", val_share=0.2), none.rows("train", val_share=0.2)
    assert not set(val) & set(train)
    assert len(val) + len(train) == 400 - len(none.rows("test"))
    assert 0.1 < len(val) / (len(val) + len(train)) < 0.3
    # the film decides: another set of the same films holds out the same ones
    half = EmbeddingSets([linear_set(tmp_path / "half", n=200, splits=("train", "", "test"))])
    assert set(none.films[val]) & set(half.films) == set(half.films[half.rows("val", val_share=0.2)])


def seen(stream, n):
    return [tuple(int(x) for x in next(stream).visual[:, 0, 0]) for _ in range(n)]


@pytest.mark.parametrize(("resident", "ahead"), [(True, False), (False, False), (False, True)])
def test_every_clip_once_an_epoch_and_the_same_from_any_step(numbered, resident, ahead, monkeypatch):
    folder, *_ = numbered

    def stream(*given: Any, **more: Any) -> Batches:
        made = Batches(*given, **more)
        made.reads_ahead = ahead  # as for a GPU
        return made

    sets = EmbeddingSets([folder])
    monkeypatch.setattr(batches, "WINDOW_BYTES", 100 * sets.clip_bytes)
    rows = sets.rows("train")
    options: dict[str, Any] = {
        "batch_size": 32,
        "seed": 7,
        "memory": 10**9 if resident else 0,
        "device": torch.device("cpu"),
    }
    found = stream(sets, rows, **options)
    assert (found.resident, found.per_epoch) == (resident, 7)
    whole = seen(found.from_step(0), 20)
    for epoch in range(2):
        assert sorted(sum(whole[7 * epoch : 7 * epoch + 7], ())) == sorted(rows)
    assert whole[:7] != whole[7:14]
    assert whole[0] != tuple(sorted(whole[0]))
    for step in (1, 6, 7, 11):
        assert seen(stream(sets, rows, **options).from_step(step), 4) == whole[step : step + 4]
    # two processes share each batch
    halves = [seen(Batches(sets, rows, **options, rank=rank, world=2).from_step(0), 7) for rank in (0, 1)]
    assert [sorted(a + b) for a, b in zip(*halves, strict=True)] == [sorted(batch) for batch in whole[:7]]
    # a last batch that would leave one of them without a clip is left out
    few = rows[: 2 * 32 + 1]
    halves = [Batches(sets, few, **options, rank=rank, world=2) for rank in (0, 1)]
    assert [half.per_epoch for half in halves] == [2, 2]
    assert [len(batch) for batch in seen(halves[1].from_step(0), 5)] == [16] * 5
    with pytest.raises(
        InputError, match="200 clips in batches of 32 are too few for 33 processes; start fewer processes"
    ):
        Batches(sets, rows, **options, world=33)
    options["seed"] = 8
    assert seen(Batches(sets, rows, **options).from_step(0), 1) != whole[:1]


def test_memory_that_is_free():
    assert 10**7 < free_bytes(torch.device("cpu")) < 10**14


def broken(folder, shard: int = 0, **columns: Callable[[list], None]):
    """Writes a shard again with some cells changed."""
    import pyarrow as pa
    import pyarrow.parquet as parquet

    path = folder / f"shard-{shard:05d}.parquet"
    table = parquet.read_table(path)
    for name, change in columns.items():
        values = table[name].to_pylist()
        change(values)
        table = table.set_column(
            table.schema.get_field_index(name), name, pa.array(values, type=table.schema.field(name).type)
        )
    parquet.write_table(table, path)


def test_numbers_that_are_none(tmp_path):
    def not_a_number(values):
        values[3][1][0] = float("nan")

    def too_large(values):
        values[4][5] = float("inf")

    def all_padding(values):
        values[2] = [False] * len(values[2])

    for name, change, words in (
        ("visual", not_a_number, "clip film0000003_000010 has NaN or infinite visual embeddings; extract it again"),
        ("audio", too_large, "clip film0000004_000010 has NaN or infinite audio embeddings"),
        ("mask", all_padding, "clip film0000002_000010 has no real frame"),
    ):
        folder = linear_set(tmp_path / name, n=20)
        changes: dict[str, Any] = {name: change}
        broken(folder, **changes)
        with pytest.raises(InputError, match=words):
            EmbeddingSets([folder]).load(np.arange(20))


def test_numbers_in_frames_that_are_padding_do_not_matter(tmp_path):
    mask = np.ones((20, 4), dtype=bool)
    mask[:, 3] = False
    visual = np.ones((20, 4, 5), dtype=np.float32)
    visual[:, 3] = np.nan
    folder = write_set(tmp_path / "set", visual, unit(np.ones((20, 3))), mask=mask)
    assert len(EmbeddingSets([folder]).load(np.arange(20))) == 20


def test_a_clip_is_given_once(tmp_path):
    one = linear_set(tmp_path / "one", n=30)
    with pytest.raises(
        InputError, match="shard-00000.parquet: clip film0000000_000010 is in .* too; give each clip once"
    ):
        EmbeddingSets([one, one])


def test_other_labels_splits_or_encoders_are_another_set(tmp_path):
    def sha256(name: str, **more: Any) -> str:
        return EmbeddingSets([linear_set(tmp_path / name / "set", n=30, **more)]).sha256

    same = sha256("a")
    assert same == sha256("b")
    others = [
        sha256("c", labels=("rain", "wind")),
        sha256("d", splits=("train", "val")),
        sha256("e", spaces=("x", "heard")),
    ]
    assert len({same, *others}) == 4


# pyarrow 22 and older cannot read a file with such a row
NO_AUDIO = (
    r"1 clips have no audio; extract it again|broken \(Expected all lists .*; remove it and run echoframe extract again"
)


@pytest.mark.parametrize(
    ("column", "values", "words"),
    [
        ("audio", [[100.0] + [0.0] * 15] * 20, "film0000000_000010 has an audio embedding of length 100, expected 1"),
        ("audio", [None, *[[1.0] + [0.0] * 15] * 19], NO_AUDIO),
    ],
)
def test_embeddings_that_are_none(tmp_path, column, values, words):
    folder = linear_set(tmp_path / "set", n=20)
    path = folder / "shard-00000.parquet"
    table = parquet.read_table(path)
    place = table.schema.get_field_index(column)
    kind = table.schema.field(column).type
    flat = pyarrow.array(np.array([row or [0.0] * 16 for row in values], dtype=np.float32).ravel(), kind.value_type)
    missing = pyarrow.array([row is None for row in values])
    made = pyarrow.FixedSizeListArray.from_arrays(flat, type=kind, mask=missing)
    parquet.write_table(table.set_column(place, column, [made]), path)
    with pytest.raises(InputError, match=words):
        EmbeddingSets([folder]).load(np.arange(20))


def test_numbers_of_another_type(tmp_path):
    folder = linear_set(tmp_path / "set", n=20)
    path = folder / "shard-00000.parquet"
    table = parquet.read_table(path)
    place = table.schema.get_field_index("audio")
    kind = pyarrow.list_(pyarrow.float64(), 16)
    parquet.write_table(table.set_column(place, "audio", [pyarrow.array(table["audio"].to_pylist(), type=kind)]), path)
    with pytest.raises(
        InputError, match="numbers of type double, halffloat, expected float or halffloat; extract it again"
    ):
        EmbeddingSets([folder]).load(np.arange(20))


def test_sets_that_are_refused(tmp_path):
    folder = linear_set(tmp_path / "set", n=20, shard_clips=10)
    with pytest.raises(
        InputError, match="manifest.json: cannot be read .No such file.*give a folder that echoframe extract"
    ):
        EmbeddingSets([tmp_path])
    other = linear_set(tmp_path / "other", n=20, spaces=("seen", "elsewhere"))
    with pytest.raises(
        InputError, match=r"other: audio_encoder of elsewhere, .*set has that of heard; use sets that the same"
    ):
        EmbeddingSets([folder, other])
    wide = linear_set(tmp_path / "wide", n=20, n_frames=8)
    with pytest.raises(
        InputError,
        match=r"wide: frames as {.*'n_frames': 8, .*set has {.*'n_frames': 4, .*; use sets with the same frames",
    ):
        EmbeddingSets([folder, wide])
    low = linear_set(tmp_path / "low", n=20)
    about = json.loads((low / "manifest.json").read_text())
    (low / "manifest.json").write_text(json.dumps(about | {"sound_rate": 16_000}))
    with pytest.raises(
        InputError, match="low: its sounds were heard at 16000 Hz, those of .*set at their own rate; extr"
    ):
        EmbeddingSets([folder, low])
    with pytest.raises(InputError, match=r"no clips of split test \(16 train, 4 val, 0 test\)"):
        EmbeddingSets([folder]).rows("test")
    shard = folder / "shard-00001.parquet"
    shard.write_bytes(shard.read_bytes()[:-50])
    with pytest.raises(InputError, match=r"shard-00001.parquet: broken \(.*remove it and run echoframe extract again"):
        EmbeddingSets([folder])
    shard.unlink()
    with pytest.raises(InputError, match="shard-00001.parquet: missing; run echoframe extract again"):
        EmbeddingSets([folder])


def test_manifests_that_are_refused(tmp_path):
    folder = linear_set(tmp_path / "set", n=20)
    path = folder / "manifest.json"
    good = json.loads(path.read_text())
    for change, words in (
        ({"format": 9}, "embeddings of format 9, expected 1; extract them again"),
        (
            {"counts": good["counts"] | {"left": 3}},
            "3 clips are not embedded yet; run echoframe extract again to its end",
        ),
        ({"counts": {}}, r"not a manifest of embeddings \(manifest \[counts\]: has no done, failed, left; add it"),
        ({"encoders": {"visual_encoder": good["encoders"]["visual_encoder"]}}, "no audio embeddings, the targets"),
        ({"source": good["source"] | {"clips": 0}}, "no clip has embeddings; see its failures.jsonl"),
        ({"shard_clips": 0}, r"not a manifest of embeddings \(manifest: 20 clips in shards of 0; expected 0 or more"),
        ({"source": 3}, "manifest: source is 3; expected a table.*; update echoframe, or extract them into a new"),
        ({"clip": None}, "manifest: clip is None; expected a table"),
        ({"encoders": {"audio_encoder": good["encoders"]["audio_encoder"]}}, "has no visual_encoder, or no counts"),
        ({"flavour": 1}, "manifest: unknown key flavour; known keys are .*; update echoframe, or extract them"),
        ({"clip": good["clip"] | {"zoom": 2}}, r"manifest \[clip\]: unknown key zoom; known keys are duration_s, "),
        (
            {"encoders": {name: {"space": "a", "dim": 2} for name in good["encoders"]}},
            "visual_encoder: has no kind, source, licence; add it",
        ),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(InputError, match=words):
            EmbeddingSets([folder])


def test_sizes_that_are_not_the_manifests(tmp_path):
    folder = linear_set(tmp_path / "set", n=20)
    path = folder / "manifest.json"
    about = json.loads(path.read_text())
    about["encoders"]["audio_encoder"]["dim"] = 512
    path.write_text(json.dumps(about))
    words = r"numbers are \(4, 24, 16\), its manifest says \(4, 24, 512\); extract it again"
    with pytest.raises(InputError, match=words):
        EmbeddingSets([folder]).load(np.arange(20))
    import pyarrow as pa
    import pyarrow.parquet as parquet

    shard = folder / "shard-00000.parquet"
    table = parquet.read_table(shard)
    loose = pa.array(table["visual"].to_pylist(), type=pa.list_(pa.list_(pa.float16())))
    parquet.write_table(table.set_column(table.schema.get_field_index("visual"), "visual", loose), shard)
    with pytest.raises(InputError, match="are lists of no fixed size, its manifest says"):
        EmbeddingSets([folder]).load(np.arange(20))
