"""From the recipe's parts to a bundle: what it holds, what its card says, and the flow's own sounds in its memory."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from safetensors.torch import save_file

from echoframe.bundles.labels import load_labels
from echoframe.bundles.manifest import check_files, read_manifest
from echoframe.generators.denoiser import load_denoiser
from echoframe.generators.mel_codec import load_codec
from echoframe.generators.memory import load_memory, save_memory
from echoframe.generators.texture import Texture, TextureConfig, save_texture
from echoframe.mappers.label_prior import LabelPrior, LabelPriorConfig, load_label_prior, save_label_prior
from tiny_packed import DIM, SMALL, make_packed


@pytest.fixture
def packed(recipe, tmp_path, monkeypatch) -> Path:
    return make_packed(tmp_path, monkeypatch)


@pytest.fixture
def parts(packed, tmp_path) -> Path:
    """An untrained flow."""
    from dataclasses import replace

    import train_flow

    trainer = train_flow.Trainer(packed, tmp_path / "flow", replace(train_flow.CONFIGS["cpu"], **SMALL), None)
    trainer.save()
    return tmp_path / "flow" / "parts"


@pytest.fixture
def memory(packed, tmp_path, monkeypatch) -> Path:
    """Remembers "boop" alone."""
    import remember

    rows, _ = remember.read_pack(packed)
    monkeypatch.setattr(remember, "attributions", lambda: {"zoo-data": "the keepers"})
    monkeypatch.setattr(remember, "STEPS", 5)
    every = remember.remember(packed, 8)
    kept = [n for n, entry in enumerate(every.entries) if entry.label == "boop"]
    assert len(kept) > 0
    tokens = [every.tokens[int(every.starts[n]) : int(every.starts[n + 1])] for n in kept]
    every.__init__(
        every.config,
        entries=[every.entries[n] for n in kept],
        embeddings=every.embeddings[kept],
        tokens=torch.cat(tokens),
        starts=torch.tensor([0, *(len(one) for one in tokens)]).cumsum(0),
        steady=every.steady[kept],
        codec=load_codec(packed / "codec"),
        labeller=every.labeller,
    )
    save_memory(every, tmp_path / "memory")
    return tmp_path / "memory"


def test_labels_that_nothing_is_remembered_of_get_the_flows_own_sounds(
    packed, parts, memory, tmp_path, monkeypatch, capsys
):
    import own_sounds

    monkeypatch.setattr(own_sounds, "STEPS", 2)
    command = ["own_sounds.py", *map(str, (packed, parts, memory, tmp_path / "both"))]
    monkeypatch.setattr(sys, "argv", [*command, "--tries", "3", "--steps", "3"])
    own_sounds.main()
    assert "own_sounds: 2 sounds of 1 of 1 labels" in capsys.readouterr().out
    codec = load_codec(packed / "codec")
    before, after = load_memory(memory, codec), load_memory(tmp_path / "both", codec)
    made = after.entries[len(before.entries) :]
    assert [(one.sound, one.label, one.source) for one in made] == [
        (f"beep {n}", "beep", own_sounds.SOURCE) for n in (1, 2)
    ]
    assert {one.licence for one in made} == {"LicenseRef-research-only"}
    assert after.starts.diff()[-2:].tolist() == [own_sounds.TOKENS] * 2
    assert torch.allclose(after.embeddings[: len(before.entries)], before.embeddings)
    assert after.embeddings[-2:].norm(dim=1).allclose(torch.ones(2), atol=1e-3)


def test_the_classifier_learns_what_it_hears(packed):
    import own_sounds
    from packed import Packed

    train = Packed(packed, "train", "cpu")
    classifier = own_sounds.train_classifier(train, ["beep", "boop"], 40)
    scores = classifier(train.scenes(torch.arange(len(train.labels)), 64, torch.Generator().manual_seed(1))[0])
    found = [("beep", "boop")[n] for n in scores.argmax(dim=1).tolist()]
    assert sum(a == b for a, b in zip(found, train.labels, strict=True)) >= 8  # of 9


def work_folder(tmp_path: Path, packed: Path) -> Path:
    work = tmp_path / "work"
    for name in ("visual_encoder", "audio_encoder"):
        (work / name).mkdir(parents=True)
        (work / name / "config.json").write_text("{}")
        save_file({"weight": torch.zeros(2)}, work / name / "model.safetensors")
    shutil.copytree(packed / "codec", work / "codec" / "final")
    save_texture(Texture(TextureConfig(frames=8, n_mels=64)), work / "texture" / "final")
    for name in ("packed", "flow", "memory"):
        shutil.copytree(tmp_path / name, work / name)
    prior = LabelPrior(LabelPriorConfig(visual_dim=12, n_classes=4, audio_dim=DIM, labels=("beep", "boop")))
    prior.vectors[:, 0, 0] = 1.0
    save_label_prior(prior, work / "eyes" / "final")
    return work


def test_the_parts_are_joined_and_the_card_says_from_what(packed, parts, memory, tmp_path, monkeypatch, capsys):
    import make_bundle

    (tmp_path / "labels.csv").write_text("# kinds\nlabel,kind\nbeep,machine\nboop,machine\n")
    (tmp_path / "pictures.csv").write_text(
        "file,label,source,licence,split\na.jpg,beep,zoo,CC0,train\nb.jpg,beep,zoo,CC0,test\n"
    )
    monkeypatch.setattr(make_bundle, "HERE", tmp_path)
    monkeypatch.setattr(make_bundle, "attributions", lambda: {"zoo-data": "the keepers"})
    out, log = tmp_path / "bundle", tmp_path / "flow" / "parts" / "log.jsonl"
    log.write_text('{"step": 5, "seconds": 120.0, "loss": 0.5, "val": 0.75}\n')
    work = work_folder(tmp_path, packed)
    command = ["make_bundle.py", "--work", str(work), "--out", str(out), "--pictures", str(tmp_path / "pictures.csv")]
    monkeypatch.setattr(sys, "argv", command)
    make_bundle.main()
    manifest = read_manifest(out)
    check_files(out, manifest, hashes=True)
    assert (manifest.version, manifest.requires_echoframe) == (make_bundle.VERSION, make_bundle.NEEDS)
    generator = out / "generator"
    assert load_denoiser(generator / "denoiser").config.channels == 24
    held = load_memory(generator / "memory", load_codec(generator / "codec"))
    prior = load_label_prior(out / "mapper")
    n = len(held.entries)
    assert prior.counts.tolist() == [1, n]  # what is remembered answers for "boop", the eyes' own for "beep"
    assert torch.allclose(prior.vectors[1, :n], held.embeddings, atol=1e-3)
    assert load_labels(out / "labels").names == ("beep", "boop")
    card = (out / "MODEL_CARD.md").read_text()
    assert f"The generator remembers {n} short sounds of 1 labels" in card
    assert f"| zoo-data | CC0 | the keepers | {n} |" in card
    assert "| somewhere | CC0 |  | 5 |" in card  # train recordings
    assert "| zoo | CC0 | 1 |" in card  # train pictures
    assert "| 1 | 5 | 2 | 0.500 | 0.75 |" in card
    assert "Not measured yet" in card
    marks = "<!-- measured -->\nheard\n<!-- /measured -->"
    (out / "MODEL_CARD.md").write_text(
        card.replace(card[card.index("<!-- m") : card.index("/measured -->") + 13], marks)
    )
    make_bundle.main()
    assert marks in (out / "MODEL_CARD.md").read_text()  # what was measured of this version stays
    monkeypatch.setattr(make_bundle, "MAX_BYTES", 1000)
    with pytest.raises(SystemExit, match="bundle: .* MB, more than the 0 MB a package may weigh"):
        make_bundle.main()
    assert json.loads((out / "bundle.json").read_text())["version"] == make_bundle.VERSION
    assert parts.is_dir()


def test_a_films_rows_are_chosen_by(recipe, tmp_path, monkeypatch, capsys):
    """The table of variations has a row for each, and asks the generator for it."""
    import choose_variation
    from acceptance_bench import Variant
    from ears import Heard

    asked = []

    class Fake:
        model = type("Model", (), {"generator": None})()

        def hear_clip(self, path: Path, seed: int, variant: Variant) -> Heard:
            asked.append((path.name, seed, variant.asked))
            scores = torch.zeros(521).double().numpy() + 0.01
            scores[100 if seed == 0 else slice(200, 210)] = 1.0
            embedding = torch.eye(4)[seed].double().numpy()
            return Heard(scores=scores, embedding=embedding)

    films = [tmp_path / "a.mp4", tmp_path / "b.mp4"]
    real = torch.full((2, 521), 0.01).double()
    real[:, 100] = 1.0
    variant = Variant(name="variation 0.3", variation=0.3, guidance=2.0)
    choose_variation.row(cast(Any, Fake()), films, real.numpy(), variant, 2)
    assert asked == [(film.name, seed, {"variation": 0.3, "guidance": 2.0}) for seed in (0, 1) for film in films]
    cells = [cell.strip() for cell in capsys.readouterr().out.split("|")]
    assert cells[1:4] == ["variation 0.3", "4", "0.500"]
    assert cells[5:7] == ["1.000", ""]
