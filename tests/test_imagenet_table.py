"""recipes/mini's tables: which ImageNet class belongs to which sound label, and the kind of every label."""

import csv
from collections import defaultdict
from pathlib import Path

import pytest

MINI = Path(__file__).parents[1] / "recipes" / "mini"
KINDS = {"animal", "vehicle", "music", "nature", "water", "people", "tools", "home", "weapons"}


def read_rows(name: str, columns: list[str]) -> list[dict[str, str]]:
    """The rows of one of the recipe's tables, without its comments; its columns must be exactly these."""
    with (MINI / name).open(newline="", encoding="utf-8") as lines:
        table = csv.DictReader((line for line in lines if not line.startswith("#")), strict=True)
        rows = list(table)
    assert table.fieldnames == columns
    # DictReader files what does not fit under None
    assert not [row for row in rows if None in row or None in row.values()]
    return rows


@pytest.fixture(scope="module")
def classes() -> list[list[str]]:
    """WordNet's words for each of the 1000 classes."""
    return [line.split(", ") for line in (MINI / "imagenet_classes.txt").read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def kinds() -> dict[str, str]:
    rows = read_rows("labels.csv", ["label", "kind"])
    kinds = {row["label"]: row["kind"] for row in rows}
    assert len(kinds) == len(rows)
    return kinds


@pytest.fixture(scope="module")
def sounds() -> dict[int, dict[str, float]]:
    """index -> label -> weight."""
    sounds: dict[int, dict[str, float]] = defaultdict(dict)
    for row in read_rows("imagenet_sounds.csv", ["index", "imagenet_class", "label", "weight"]):
        assert row["label"] not in sounds[int(row["index"])], f"{row} stands there twice"
        sounds[int(row["index"])][row["label"]] = float(row["weight"])
    return sounds


@pytest.mark.parametrize(
    ("index", "name"),
    [
        (0, "tench"), (7, "cock"), (8, "hen"), (30, "bullfrog"), (151, "Chihuahua"), (268, "Mexican hairless"),
        (281, "tabby"), (285, "Egyptian cat"), (291, "lion"), (309, "bee"), (401, "accordion"), (486, "cello"),
        (491, "chain saw"), (497, "church"), (508, "computer keyboard"), (751, "racer"), (820, "steam locomotive"),
        (889, "violin"), (897, "washer"), (978, "seashore"), (999, "toilet tissue"),
    ],
)  # fmt: skip
def test_classes_stand_in_the_order_of_the_classifier(classes: list[list[str]], index: int, name: str) -> None:
    assert classes[index][0] == name


def test_there_are_1000_classes_and_two_cranes(classes: list[list[str]]) -> None:
    assert len(classes) == 1000
    # the bird (134) and the machine (517) share their one word; no other two classes share all of theirs
    assert classes[134] == classes[517] == ["crane"]
    assert len({tuple(words) for words in classes}) == 999


def test_every_row_names_the_class_of_its_index(classes: list[list[str]]) -> None:
    rows = read_rows("imagenet_sounds.csv", ["index", "imagenet_class", "label", "weight"])
    wrong = [row for row in rows if row["imagenet_class"] not in classes[int(row["index"])]]
    assert not wrong
    assert min(int(row["index"]) for row in rows) >= 0


def test_weights_are_shares(sounds: dict[int, dict[str, float]]) -> None:
    for index, labels in sounds.items():
        assert all(0.0 < weight <= 1.0 for weight in labels.values()), f"class {index}: {labels}"
        assert sum(labels.values()) <= 1.0 + 1e-9, f"class {index}: {labels}"


def test_only_known_labels_stand_in_the_table(sounds: dict[int, dict[str, float]], kinds: dict[str, str]) -> None:
    assert {label for labels in sounds.values() for label in labels} <= set(kinds)


def test_every_label_has_a_known_kind(kinds: dict[str, str]) -> None:
    assert len(kinds) == 229
    assert set(kinds.values()) == KINDS


@pytest.mark.parametrize(
    ("indices", "label"),
    [
        (range(151, 269), "dog barking"), (range(281, 286), "cat meowing"), ([7], "rooster crowing, cock-a-doodle"),
        ([8], "chicken clucking"), ([308, 309], "bee, wasp, etc. buzzing"), ([401], "playing accordion"),
        ([404], "airplane flyby"), ([407], "ambulance siren"), ([420], "playing banjo"), ([486], "playing cello"),
        ([491], "chainsawing trees"), ([508], "typing on computer keyboard"), ([555], "fire truck siren"),
        ([579, 881], "playing piano"), ([594], "playing harp"), ([751], "race car, auto racing"),
        ([565, 820], "railroad car, train wagon"), ([889], "playing violin, fiddle"), ([978], "sea waves"),
    ],
)  # fmt: skip
def test_what_nobody_would_dispute(sounds: dict[int, dict[str, float]], indices: list[int], label: str) -> None:
    for index in indices:
        labels = sounds[index]
        assert max(labels, key=lambda name: labels[name]) == label, f"class {index}: {labels}"
