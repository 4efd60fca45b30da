"""Which recordings become mini's memory."""

import sys
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

RECIPE = Path(__file__).parents[1] / "recipes" / "mini"


@pytest.fixture(autouse=True)
def recipe(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(RECIPE))
    yield
    for name in set(sys.modules) - before:
        if str(RECIPE) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def row(label: str, recording: str, *, split: str = "train", free: str = "y") -> dict[str, str]:
    return {"label": label, "recording": recording, "split": split, "may_be_remembered": free}


def test_the_typical_one_comes_first_and_then_the_furthest():
    from remember import spread_out

    points = normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [1.0, -0.1], [0.0, 1.0], [0.9, -0.2]]), dim=1)
    assert spread_out([0, 1, 2, 3, 4], points, 2) == [0, 3]
    assert spread_out([1, 2], points, 5) == [1, 2] or spread_out([1, 2], points, 5) == [2, 1]


def test_only_train_recordings_that_may_be_passed_on_are_remembered_each_once_before_its_other_pieces():
    from remember import choose

    rows = [
        row("dog", "a"),
        row("dog", "a"),
        row("dog", "b"),
        row("dog", "c", free="n"),
        row("dog", "d", split="val"),
        row("bell", "e"),
    ]
    embeddings = normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    assert choose(rows, embeddings, 2) == [0, 2, 5]
    assert choose(rows, embeddings, 3) == [0, 1, 2, 5]
