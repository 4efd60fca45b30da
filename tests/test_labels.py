"""Labels: the planted nearest one is found, what is saved is loaded, VGGSound's list is whole."""

import csv
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from echoframe.bundles.labels import LabelBank, load_labels, save_labels, vggsound_labels
from echoframe.errors import BundleError, InputError

BANK = LabelBank(
    names=("dog", "rain", "dog", "violin"),
    kinds=("animals", "nature", "animals", "music"),
    vectors=torch.tensor([[2.0, 0, 0], [0, 3.0, 0], [1.0, 1.0, 0], [0, 0, 0.5]]),
)


def test_nearest_first_with_its_cosine_and_each_name_once():
    nearest = BANK.nearest(torch.tensor([4.0, 3.0, 0.0]), 3)
    assert [(label.name, label.kind) for label in nearest] == [
        ("dog", "animals"),
        ("rain", "nature"),
        ("violin", "music"),
    ]
    assert [label.similarity for label in nearest] == pytest.approx([7 / 5 / 2**0.5, 0.6, 0.0], abs=1e-6)


def test_asking_for_more_than_there_are_gives_all():
    assert len(BANK.nearest(torch.ones(3), 10)) == 3


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_saved_and_loaded(dtype, tmp_path):
    save_labels(BANK, tmp_path, dtype=dtype)
    loaded = load_labels(tmp_path)
    assert (loaded.names, loaded.kinds) == (BANK.names, BANK.kinds)
    assert loaded.vectors.dtype == torch.float32
    torch.testing.assert_close(loaded.vectors, BANK.vectors, atol=1e-3 if dtype else 1e-6, rtol=0)


def test_another_space_is_refused():
    with pytest.raises(InputError, match="the embedding has 4 numbers, the labels' vectors have 3"):
        BANK.nearest(torch.ones(4), 1)


def test_unequal_lists_are_refused():
    with pytest.raises(BundleError, match="1 names, 2 kinds, 1 vectors; expected one of each per label"):
        LabelBank(names=("a",), kinds=("x", "y"), vectors=torch.ones(1, 2))


def test_no_labels_are_refused():
    with pytest.raises(BundleError, match="0 names, 0 kinds, 0 vectors"):
        LabelBank(names=(), kinds=(), vectors=torch.ones(0, 2))


def test_vectors_of_other_labels_are_refused(tmp_path):
    save_labels(BANK, tmp_path)
    save_file({"vectors": torch.ones(3, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(BundleError, match="labels.json: labels: 4 names, 4 kinds, 3 vectors"):
        load_labels(tmp_path)


@pytest.mark.parametrize("damage", ["names", "tensor"])
def test_other_contents_are_refused(damage, tmp_path):
    save_labels(BANK, tmp_path)
    if damage == "names":
        (tmp_path / "labels.json").write_text(json.dumps({"kinds": []}))
    else:
        save_file({"other": torch.ones(4, 3)}, tmp_path / "model.safetensors")
    with pytest.raises(
        BundleError, match="found .* beside weights .*; expected lists names and kinds, and one tensor, vectors"
    ):
        load_labels(tmp_path)


def test_vggsound_has_309_labels_of_9_kinds():
    labels = vggsound_labels()
    assert len({name for name, _ in labels}) == len(labels) == 309
    assert {kind for _, kind in labels} == set("animals home music nature others people sports tools vehicle".split())
    assert ("dog barking", "animals") in labels
    assert ("bird chirping, tweeting", "animals") in labels


def test_vggsound_list_is_the_published_one():
    published = Path(__file__).parents[2] / "shared" / "vggsound" / "stat.csv"
    if not published.exists():
        pytest.skip("VGGSound's stat.csv is not here")
    with published.open(encoding="utf-8") as lines:
        assert sorted((row[0], row[2]) for row in csv.reader(lines)) == vggsound_labels()
