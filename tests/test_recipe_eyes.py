"""The recipe's eyes on planted pictures and sounds: variations, features that are not made twice, what is learned."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from echoframe.mappers.label_prior import load_label_prior
from echoframe.weights import write_weights

pytestmark = pytest.mark.usefixtures("recipe")
LABELS = ["dog barking", "cat meowing", "playing harp"]
COLOURS = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]


def photograph(colour, size=(60, 40), seed=0) -> Image.Image:
    noise = np.random.default_rng(seed).integers(-30, 30, (size[1], size[0], 3))
    return Image.fromarray((np.array(colour) + noise).clip(0, 255).astype(np.uint8))


def product_shot(colour) -> Image.Image:
    image = Image.new("RGB", (224, 224), "white")
    image.paste(colour, (80, 60, 150, 170))
    return image


def test_a_product_is_cut_out_and_a_photograph_is_not():
    from vary_pictures import cut_out

    mask = cut_out(product_shot((20, 20, 20)))
    assert mask is not None
    pixels = np.asarray(mask) > 127
    assert pixels[100, 100]
    assert not pixels[10, 10]
    assert abs(int(pixels.sum()) - 70 * 110) < 500
    scattered = Image.fromarray(np.random.default_rng(0).integers(0, 255, (224, 224, 3), dtype=np.uint8))
    assert cut_out(scattered) is None


@pytest.mark.parametrize(
    "picture", [photograph((90, 90, 90)), product_shot((20, 20, 20)), photograph((9, 9, 9), (300, 80))]
)
def test_variations_are_224_px_differ_and_come_again(picture):
    from vary_pictures import vary

    def varied(seed):
        return vary(picture, lambda: photograph((250, 250, 0), seed=9), np.random.default_rng(seed))

    images = [np.asarray(varied(seed)) for seed in range(12)]
    assert {image.shape for image in images} == {(224, 224, 3)}
    assert {image.dtype for image in images} == {np.dtype(np.uint8)}
    assert all(np.abs(a.astype(int) - b).mean() > 1 for a, b in zip(images, images[1:], strict=False))
    assert np.array_equal(images[3], np.asarray(varied(3)))


def write_pictures(folder: Path) -> Path:
    folder.mkdir()
    rows = []
    for n, (label, colour) in enumerate(zip(LABELS, COLOURS, strict=True)):
        for k, split in enumerate(["train", "train", "val", "test"]):
            photograph(colour, seed=10 * n + k).save(folder / f"{n}{k}.png")
            rows.append({"file": f"{n}{k}.png", "label": label, "split": split})
    with (folder / "manifest.csv").open("w", newline="") as lines:
        writer = csv.DictWriter(lines, ["file", "label", "split"])
        writer.writeheader()
        writer.writerows(rows)
    return folder / "manifest.csv"


class ColourEncoder:
    """Features that tell the colour of a frame's centre."""

    def __call__(self, frames):
        mean = torch.from_numpy(frames[:, 16:-16, 16:-16].astype(np.float32).mean(axis=(1, 2))) / 50
        return torch.cat([mean, torch.zeros(len(frames), 1277)], dim=1)


def test_features_of_pictures(tmp_path, monkeypatch, capsys):
    import pictures

    manifest = write_pictures(tmp_path / "photos")
    monkeypatch.setattr(pictures, "read_features", lambda folder: ColourEncoder())
    command = ["pictures", "--manifest", str(manifest), "--work", str(tmp_path), "--rounds", "5"]
    monkeypatch.setattr(sys, "argv", command)
    pictures.main()
    assert capsys.readouterr().out.count("round") == 5
    found = [np.load(tmp_path / "pictures" / f"{n:02d}.npz") for n in range(5)]
    assert [len(part["row"]) for part in found] == [12, 9, 9, 9, 6]
    assert found[0]["features"][0, 0] > found[0]["features"][0, 1]
    assert np.abs(found[1]["features"][:3] - found[2]["features"][:3]).max() > 0.1
    pictures.main()
    assert capsys.readouterr().out == ""


def write_work(tmp_path: Path) -> tuple[Path, list[str]]:
    """A work folder with features of three well separated labels, and sounds of four. Gives the command's arguments."""
    manifest = write_pictures(tmp_path / "photos")
    random = np.random.default_rng(0)
    (tmp_path / "pictures").mkdir()
    for n in range(2):
        rows = np.array([row for row in range(12) if n == 0 or row % 4 < 3])
        features = np.zeros((len(rows), 1280))
        features[np.arange(len(rows)), rows // 4] += 5
        np.savez(tmp_path / "pictures" / f"{n:02d}.npz", row=rows, features=features.astype(np.float16))
    (tmp_path / "visual_encoder").mkdir()
    classifier = {"classifier.weight": torch.zeros(1000, 1280), "classifier.bias": torch.zeros(1000)}
    write_weights(tmp_path / "visual_encoder" / "model.safetensors", classifier)
    sounds = (
        [("dog bow-wow", "train")] * 6
        + [(label, "train") for label in LABELS[1:]]
        + [("raining", "train"), ("raining", "val")]
    )
    with (tmp_path / "sounds.csv").open("w", newline="") as lines:
        writer = csv.writer(lines)
        writer.writerows([("label", "split"), *sounds])
    blocks = random.uniform(0, 1, (2 * len(sounds), 512)).astype(np.float16)
    np.savez(
        tmp_path / "sounds.npz",
        blocks=blocks,
        starts=2 * np.arange(len(sounds) + 1),
        mean=np.full(512, 0.5, np.float32),
    )
    (tmp_path / "few.toml").write_text(
        "[eyes]\nsteps = 120\nbatch_size = 32\nper_label = 5\nlearned_share = 0.9\nlearning_rate = 0.05\n"
    )
    return tmp_path, [
        "eyes", "--config", str(tmp_path / "few.toml"), "--work", str(tmp_path), "--pictures", str(manifest),
        "--manifest", str(tmp_path / "sounds.csv"), "--blocks", str(tmp_path / "sounds.npz"),
    ]  # fmt: skip


def test_the_mapper_learns_from_pictures(tmp_path, monkeypatch, capsys):
    import eyes

    work, command = write_work(tmp_path)
    monkeypatch.setattr(sys, "argv", command)
    eyes.main()
    assert "4 labels, val {'right': 1.0" in capsys.readouterr().out
    prior = load_label_prior(work / "eyes" / "final")
    assert prior.config.labels == ("cat meowing", "dog barking", "playing harp", "raining")  # two names are one
    assert prior.counts.tolist() == [1, 4, 1, 1]  # at least four; the val recording is not among them
    features = torch.zeros(1, 3, 1280)
    features[..., 2] = 5.0
    frames = torch.cat([features, torch.full((1, 3, 1000), 1e-3)], dim=2)
    seen = prior.probabilities(frames, torch.ones(1, 3, dtype=torch.bool))[0]
    assert seen.argmax() == 2
    scores = prior.scores(frames).softmax(dim=2)
    assert scores[..., 3].max() < 1e-9  # no picture shows rain: the layer says nothing of it
    assert json.loads((work / "eyes" / "config.json").read_text())["steps"] == 120


def test_blocks_of_other_sounds_and_no_pictures_are_refused(tmp_path, monkeypatch):
    import eyes

    work, command = write_work(tmp_path)
    monkeypatch.setattr(sys, "argv", command)
    np.savez(work / "sounds.npz", blocks=np.zeros((2, 512), np.float16), starts=np.arange(3), mean=np.zeros(512))
    with pytest.raises(SystemExit, match=r"sounds.npz: 2 recordings, .*sounds.csv has 10; make it again"):
        eyes.main()
    with pytest.raises(SystemExit, match=r"no train picture of a known label; run pictures.py"):
        eyes.Pictures(work / "photos" / "manifest.csv", work, ["raining"], "train")


def test_the_table_says_which_classes_have_a_sound():
    import eyes

    table = eyes.read_table(["dog barking", "a sound that nothing makes"])
    assert table[0, 151:269].all()  # dogs
    assert not table[0, 281:286].any()  # cats
    assert not table[1].any()


def test_typical_recordings_come_first():
    import eyes

    centre = torch.nn.functional.normalize(torch.ones(1, 8), dim=1)
    noise = torch.randn(20, 8, generator=torch.Generator().manual_seed(0))
    embeddings = torch.nn.functional.normalize(centre + torch.linspace(0, 1, 20)[:, None] * noise, dim=1)
    found = eyes.typical(embeddings, 16, 0.5)
    assert found.shape == (10, 8)
    assert (found @ centre.T).mean() > (embeddings @ centre.T).mean()
    assert len(eyes.typical(embeddings, 3, 0.5)) == 3
    assert len(eyes.typical(embeddings[:5], 16, 0.1)) == 4
    assert len(eyes.typical(embeddings[:2], 16, 0.5)) == 2
