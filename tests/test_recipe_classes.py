"""The recipe's table of AudioSet classes: every label has some, every class is YAMNet's, none fits everything."""

import csv
import zipfile
from pathlib import Path

import pytest

from echoframe.bundles.labels import vggsound_labels

ROOT = Path(__file__).parents[1]
RECIPE = ROOT / "recipes" / "mini"
TABLE = ROOT / "src" / "echoframe" / "evaluation" / "judges" / "audioset_classes.csv"
SHARED = Path(__file__).parents[2] / "shared"
CLASSES = (Path(__file__).parent / "data" / "yamnet_classes.txt").read_text(encoding="utf-8").splitlines()
# agree.py's GENERIC, written out again as a second opinion
GENERIC = {
    *("Music", "Speech", "Animal", "Inside, small room", "Vehicle", "Outside, rural or natural"),
    *("Outside, urban or manmade", "Wild animals", "Domestic animals, pets", "Musical instrument", "Silence", "Noise"),
}


def rows(path: Path) -> list[dict[str, str]]:
    lines = path.read_text(encoding="utf-8").splitlines()
    return list(csv.DictReader(line for line in lines if not line.startswith("#")))


def table() -> dict[str, list[str]]:
    return {row["label"]: row["classes"].split("|") for row in rows(TABLE)}


def names() -> dict[str, str]:
    return {row["name"]: row["canonical"] for row in rows(RECIPE / "label_names.csv")}


def test_every_class_is_yamnets_and_stands_once_and_is_not_generic():
    assert len(CLASSES) == 521
    assert set(CLASSES) >= GENERIC
    for label, classes in table().items():
        assert set(classes) <= set(CLASSES), label
        assert len(set(classes)) == len(classes), label
        assert not set(classes) & GENERIC, label


def test_every_label_stands_once_and_in_order():
    labels = [row["label"] for row in rows(TABLE)]
    assert labels == sorted(set(labels))


def test_several_names_of_one_sound_have_the_same_classes():
    for name, canonical in names().items():
        assert table()[name] == table()[canonical]
        assert canonical not in names()


def test_the_labels_of_vggsound_and_of_the_recipe_have_classes():
    lists = [RECIPE / name for name in ("labels.csv", "sounds.csv", "imagenet_sounds.csv")]
    known = {label for label, _ in vggsound_labels()} | {row["label"] for path in lists for row in rows(path)}
    assert known <= set(table())


def test_a_label_of_vggsound_keeps_vggsounds_word():
    words = {label for label, _ in vggsound_labels()}
    assert all(canonical in words for canonical in names().values())


@pytest.mark.parametrize(
    "name", ["corpus/manifest.csv", "corpus/more.csv", "pictures/manifest.csv", "films/manifest.csv"]
)
def test_the_labels_of_the_corpus_have_classes(name):
    if not (SHARED / name).is_file():
        pytest.skip(f"{name} is not here")
    known = {row["label"] for row in rows(SHARED / name)} - {""}
    assert known <= set(table())


def test_the_list_of_classes_is_the_one_behind_the_model():
    if not (SHARED / "judges" / "yamnet.tflite").is_file():
        pytest.skip("YAMNet is not here")
    with zipfile.ZipFile(SHARED / "judges" / "yamnet.tflite") as packed:
        assert packed.read(packed.namelist()[0]).decode().strip().split("\n") == CLASSES
