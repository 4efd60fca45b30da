"""Splits without a film on two sides."""

import random
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from echoframe.data.clip_list import ClipRow, read_clip_list
from echoframe.data.split import FILMS_FOR_VAL, split_rows, write_split
from echoframe.errors import InputError

SHARED = Path(__file__).parents[2] / "shared" / "vggsound"
LABELS = ("dog barking", "cat purring", "playing harp", "rope skipping")


def some_rows(seed: int, n: int = 400) -> list[ClipRow]:
    """Clips of about half as many films, some with several labels, and with clips in test."""
    draw = random.Random(seed)
    rows = {}
    for _ in range(n):
        row = ClipRow(
            youtube_id=f"{draw.randrange(n // 2):011d}",
            start_s=draw.randrange(300),
            label=draw.choice(LABELS[: 1 + draw.randrange(4)]),
            split="test" if draw.random() < 0.1 else "train",
        )
        rows[row.key] = row
    return list(rows.values())


@pytest.mark.parametrize("seed", range(5))
def test_no_film_on_two_sides(seed):
    rows = some_rows(seed)
    found = split_rows(rows, val_share=0.1)
    sides: dict[str, set[str]] = {}
    for row in found:
        if row.split:
            sides.setdefault(row.youtube_id, set()).add(row.split)
    assert all(len(of_film) == 1 for of_film in sides.values())
    assert [row.key for row in found] == [row.key for row in rows]
    assert {row.key for row in found if row.split == "test"} == {row.key for row in rows if row.split == "test"}
    left_out = [row for row in found if not row.split]
    assert left_out
    assert all(sides.get(row.youtube_id) == {"test"} for row in left_out)


def test_every_label_has_its_share_in_val():
    rows = [ClipRow(youtube_id=f"{n:011d}", start_s=0, label=LABELS[n % 3], split="train") for n in range(300)]
    rows += [ClipRow(youtube_id=f"b{n:010d}", start_s=0, label=LABELS[3], split="train") for n in range(FILMS_FOR_VAL)]
    counts = Counter(row.label for row in split_rows(rows, val_share=0.05) if row.split == "val")
    assert counts == dict.fromkeys(LABELS[:3], 5) | {LABELS[3]: 1}
    assert not [row for row in split_rows(rows, val_share=0.0) if row.split == "val"]


def test_the_order_does_not_matter_and_the_seed_does():
    rows = some_rows(1)
    again = random.Random(2).sample(rows, len(rows))
    assert set(split_rows(rows)) == set(split_rows(again))
    assert set(split_rows(rows)) != set(split_rows(rows, seed=1))


@pytest.mark.parametrize("share", [-0.1, 1.0])
def test_shares_that_are_none(share):
    with pytest.raises(InputError, match=f"val share {share}; expected 0 or more and less than 1"):
        split_rows(some_rows(0), val_share=share)


def test_written_and_read(tmp_path):
    found = split_rows(some_rows(3))
    write_split(found, tmp_path / "split.csv")
    assert list(read_clip_list(tmp_path / "split.csv").rows) == [row for row in found if row.split]


def test_what_has_no_split_yet_is_drawn_too():
    rows = [ClipRow(youtube_id=f"{n:011d}", start_s=0, label=LABELS[0], split=("", "val")[n % 2]) for n in range(20)]
    assert Counter(row.split for row in split_rows(rows)) == {"train": 19, "val": 1}
    assert split_rows([]) == []


def test_a_film_of_two_labels_counts_for_both():
    """Ten films of two clips each, one per label: one film in val is enough for either label."""
    rows = [
        ClipRow(youtube_id=f"{n:011d}", start_s=k, label=LABELS[k], split="train") for n in range(10) for k in range(2)
    ]
    val = [row for row in split_rows(rows) if row.split == "val"]
    assert {row.label for row in val} == set(LABELS[:2])
    assert len({row.youtube_id for row in val}) == 1


LISTS = ("test.csv", "vgg-test.tsv", "vgg-val.tsv")


@pytest.fixture(scope="module")
def shared_lists():
    return {name: read_clip_list(SHARED / name).rows for name in LISTS}


@pytest.mark.skipif(not SHARED.exists(), reason="VGGSound's lists are not here")
@pytest.mark.parametrize("test_list", LISTS[:2])
def test_vggsounds_own_test_list_stays(shared_lists, test_list):
    rows = [replace(row, split="test") for row in shared_lists[test_list]]
    keys = {row.key for row in rows}
    others = {row.key: row for name in LISTS if name != test_list for row in shared_lists[name]}
    rest = [replace(row, split="train") for key, row in others.items() if key not in keys]
    found = split_rows([*rows, *rest])
    assert found[: len(rows)] == rows
    drawn = [row for row in found if row.split == "val"]
    in_test, in_val = ({row.youtube_id for row in found if row.split == side} for side in ("test", "val"))
    assert not in_test & in_val
    assert not {row.youtube_id for row in found if row.split == "train"} & (in_test | in_val)
    many = Counter(
        label for label, _ in {(row.label, row.youtube_id) for row in found if row.split in ("train", "val")}
    )
    assert {label for label, n in many.items() if n >= FILMS_FOR_VAL} <= {row.label for row in drawn}
