"""Files of echoframe 0.4.0 load: each test makes one as that version wrote it, with the names that things had then."""

import json
import re
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from echoframe.bundles import manifest as manifests
from echoframe.bundles.bundle import load_bundle, save_bundle
from echoframe.bundles.manifest import MANIFEST, Manifest, read_manifest, write_manifest
from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.mappers.networks import MapperConfig, save_mapper
from echoframe.mappers.prior import PriorConfig, build_prior, load_prior
from echoframe.provenance import read_provenance
from echoframe.training.checkpoint import CHECKPOINT
from echoframe.training.compare import load
from echoframe.training.config import MapperChoice, PriorChoice, TrainConfig
from echoframe.training.train import train
from planted_embeddings import linear_set
from tiny_bundles import write_tiny_mini

OLD_NAMES = {"proj_in": "enter", "proj_out": "leave", "fc1": "wide", "fc2": "narrow", "regressor": "mapper"}
OLD_RECORD = """{
  "input": {"path": "/films/a.mp4", "sha256": "aa"},
  "bundle": {"source": "mini", "name": "mini", "version": "0.4.0", "revision": "", "sha256": "bb"},
  "settings": {
    "seed": 7, "duration_s": 2.5, "steps": 20, "guidance": 2.5, "scheduler": "dpm++2m", "candidates": 2,
    "loudness_lufs": -23.0
  },
  "machine": {"device": "cpu", "dtype": "float32", "python": "3.11.9", "versions": {"torch": "2.13.0"}},
  "result": {
    "sample_rate": 16000, "n_samples": 40000, "samples_sha256": "cc", "candidate_scores": [[0.1, 0.2]],
    "nearest": {"rain": 0.5}
  },
  "original_level_db": null,
  "outputs": {"a.wav": "dd"},
  "format": "echoframe-provenance/1"
}
"""


def renamed_back(path: Path) -> None:
    """Gives the weights of a prior or denoiser, or of a checkpoint of one, their old names."""
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    swapped = re.compile(rf"(?<=[./])({'|'.join(OLD_NAMES)})(?=\.)")
    tensors = {swapped.sub(lambda m: OLD_NAMES[m[1]], f"/{name}")[1:]: w for name, w in load_file(path).items()}
    assert any("wide" in name.split(".") for name in tensors)
    save_file(tensors, path, metadata=metadata)


def rewritten(path: Path, change) -> None:
    values = json.loads(path.read_text(encoding="utf-8"))
    change(values)
    path.write_text(json.dumps(values), encoding="utf-8")


def called_mapper(config: dict) -> None:
    config["mapper"] = config.pop("regressor")


def run_of(folder: Path, name: str, **more) -> TrainConfig:
    return TrainConfig(
        data=(str(folder / "set"),),
        out=str(folder / name),
        mapper=MapperChoice(hidden_dim=16, depth=1, dropout=0.2),
        prior=PriorChoice(components=4, hidden_dim=16, depth=1),
        batch_size=32,
        steps=12,
        eval_every=4,
        device="cpu",
        **more,
    )


class Stopped(Exception):
    pass


@pytest.fixture
def stopped(tmp_path):
    """A folder with a data set, and a run of a prior that was stopped, in the files of 0.4.0."""
    linear_set(tmp_path / "set", n=100)

    def stop(values):
        if values["step"] >= 8 and "val_loss" in values:
            raise Stopped

    with pytest.raises(Stopped):
        train(run_of(tmp_path, "old"), tell=stop)
    renamed_back(tmp_path / "old" / CHECKPOINT)
    rewritten(tmp_path / "old" / "run.json", lambda about: called_mapper(about["mapper"]))
    return tmp_path


def test_an_old_run_goes_on_to_the_same_weights(stopped):
    train(run_of(stopped, "old"), resume=True)
    train(run_of(stopped, "new"))
    found, expected = (load_file(stopped / name / "mapper" / "model.safetensors") for name in ("old", "new"))
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in found)


def test_settings_that_an_old_run_did_not_know_have_their_defaults(stopped):
    rewritten(
        stopped / "old" / "run.json",
        lambda about: [about["config"].pop("ema"), about["config"]["prior"].pop("guidance")],
    )
    with pytest.raises(InputError, match=r"old: was started with ema 0\.\d+, but this config has 0\.5; change it back"):
        train(run_of(stopped, "old", ema=0.5), resume=True)
    train(run_of(stopped, "old"), resume=True)
    assert (stopped / "old" / "result.json").is_file()


def test_settings_that_are_not_known_any_more_are_refused(stopped):
    rewritten(stopped / "old" / "run.json", lambda about: about["config"].update(momentum=0.9))
    words = r"run\.json: its config: unknown key momentum; .*; start the run again in another folder, or use the"
    with pytest.raises(InputError, match=words):
        train(run_of(stopped, "old"), resume=True)


def test_the_mapper_of_an_old_run_is_read(tmp_path):
    shape = MapperConfig(visual_dim=6, audio_dim=8, hidden_dim=16, depth=1)
    prior = build_prior(PriorConfig(regressor=shape, components=4, hidden_dim=16, depth=1)).eval()
    save_mapper(prior, tmp_path / "mapper")
    renamed_back(tmp_path / "mapper" / "model.safetensors")
    rewritten(tmp_path / "mapper" / "config.json", called_mapper)
    clip = torch.randn(2, 4, 6), torch.ones(2, 4, dtype=torch.bool)
    for found in (load(tmp_path), load_prior(tmp_path / "mapper")):
        torch.testing.assert_close(found(*clip, seeds=[0, 1]), prior(*clip, seeds=[0, 1]))


def test_an_old_bundle_is_read(tmp_path):
    manifest = write_tiny_mini(tmp_path / "tiny")
    new = load_bundle(tmp_path / "tiny", device="cpu").generator
    renamed_back(tmp_path / "tiny" / "generator" / "denoiser" / "model.safetensors")
    save_bundle(tmp_path / "tiny", manifest)
    assert "requires_echoframe" not in json.loads((tmp_path / "tiny" / MANIFEST).read_text())
    old = load_bundle(tmp_path / "tiny", device="cpu").generator
    target = torch.nn.functional.normalize(torch.ones(1, new.dim), dim=1)
    one, other = (g.generate(target, duration_s=0.5, seeds=[3], options=manifest.defaults) for g in (new, old))
    torch.testing.assert_close(one, other)


def test_an_old_record_is_read(tmp_path):
    (tmp_path / "a.json").write_text(OLD_RECORD, encoding="utf-8")
    found = read_provenance(tmp_path / "a.json")
    assert (found.settings.seed, found.settings.steps, found.settings.loudness_lufs) == (7, 20, -23.0)
    assert found.result.nearest == {"rain": 0.5}
    assert found.outputs == {"a.wav": "dd"}


def bundle_that_needs(folder: Path, needed: str) -> Path:
    manifest = write_tiny_mini(folder)
    write_manifest(folder, Manifest(**{**fields_of(manifest), "requires_echoframe": needed}))
    return folder


def fields_of(manifest: Manifest) -> dict:
    return {name: getattr(manifest, name) for name in Manifest.__slots__}


def test_a_bundle_says_which_echoframe_it_needs(tmp_path, monkeypatch):
    folder = bundle_that_needs(tmp_path / "tiny", "1.20.3")
    # what a newer version writes may have keys that this one does not know: the version comes first
    rewritten(folder / MANIFEST, lambda values: values.update(colour="blue"))
    ours = re.escape(version("echoframe"))
    words = rf"needs echoframe 1\.20\.3 or newer, this is {ours}; update it: pip install -U echoframe"
    with pytest.raises(BundleError, match=words):
        load_bundle(folder, device="cpu")
    rewritten(folder / MANIFEST, lambda values: values.pop("colour"))
    for ours in ("1.20.3", "1.20.3.dev1", "1.100", "2"):
        monkeypatch.setattr(manifests, "version", lambda _, ours=ours: ours)
        assert read_manifest(folder).requires_echoframe == "1.20.3"
    for ours in ("1.20.2", "1.3.9", "0.99"):
        monkeypatch.setattr(manifests, "version", lambda _, ours=ours: ours)
        with pytest.raises(BundleError, match="needs echoframe 1.20.3 or newer"):
            read_manifest(folder)


def test_a_needed_version_that_is_none(tmp_path):
    with pytest.raises(ConfigError, match='requires_echoframe "the newest"; expected a version such as'):
        Manifest(name="a", version="1", sample_rate=1, parts={}, requires_echoframe="the newest")
