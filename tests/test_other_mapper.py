"""A mapper in the place of the model's own: from a folder, or set by hand. The record says which."""

import json
from dataclasses import asdict, replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from echoframe.apps import cli
from echoframe.bundles.bundle import load_bundle
from echoframe.bundles.trained import load_trained
from echoframe.errors import BundleError
from echoframe.loading import load, remake
from echoframe.mappers.hashed import KeptHash, weights_sha256
from echoframe.mappers.networks import MapperConfig, build_mapper, save_mapper
from echoframe.provenance import MapperId, read_provenance
from echoframe.spec import ClipSpec
from fakes import DIM as FAKE_DIM
from fakes import fake_model
from planted_video import write_video
from tiny_bundles import CLIP, DIM, EARS, FACES, write_tiny_mini

SIZES = MapperConfig(visual_dim=FACES.dim, audio_dim=DIM, hidden_dim=8, depth=1)
CONFIG = replace(SIZES, kind="mlp", visual_space=FACES.name, audio_space=EARS.name)


def write_run(folder: Path, *, config: MapperConfig = CONFIG, seed: int = 5, clip: ClipSpec = CLIP) -> Path:
    save_mapper(build_mapper(config, seed=seed), folder / "mapper")
    (folder / "run.json").write_text(json.dumps({"encoders": {}, "clip": asdict(clip)}))
    (folder / "result.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("place")
    write_video(folder / "one.mp4", n_frames=5, rate=Fraction(10))
    write_tiny_mini(folder / "tiny")
    write_run(folder / "run", clip=replace(CLIP, n_frames=3))
    return folder


def run(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def test_a_run_is_used_without_bundling_and_its_hash_is_recorded(place, tmp_path, capsys):
    command = ["generate", place / "one.mp4", "--model", place / "tiny", "--duration", 0.3, "--no-mux", "-o"]
    assert run(*command, tmp_path / "a.wav", "--mapper", place / "run") == 0
    record = read_provenance(tmp_path / "a.wav.json")
    assert record.mapper == MapperId(
        sha256=weights_sha256(build_mapper(CONFIG, seed=5)), source=str((place / "run").resolve())
    )
    assert run("generate", "--from", tmp_path / "a.wav.json", "-o", tmp_path / "b.wav") == 0
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "a.wav").read_bytes()
    assert "the same samples" in capsys.readouterr().out
    assert run(*command, tmp_path / "a.wav") == 2
    assert "a.wav: is an earlier result, made with another mapper; replace it" in capsys.readouterr().err
    assert run(*command, tmp_path / "own.wav") == 0
    assert read_provenance(tmp_path / "own.wav.json").mapper is None
    assert (tmp_path / "own.wav").read_bytes() != (tmp_path / "a.wav").read_bytes()


def test_it_sees_the_frames_it_was_trained_on(place):
    assert load(place / "tiny", mapper=place / "run", device="cpu").clip_spec.n_frames == 3
    assert load(place / "tiny", mapper=place / "run" / "mapper", device="cpu").clip_spec == CLIP


def test_a_mapper_set_by_hand_is_recorded_and_asked_for(place):
    model = fake_model()
    own, still = model.mapper, place / "one.mp4"
    before = model.generate(still, duration_s=1).provenance
    model.mapper = build_mapper(MapperConfig(kind="mlp", visual_dim=3, audio_dim=FAKE_DIM, hidden_dim=8), seed=9)
    made = model.generate(still, duration_s=1).provenance
    assert made.mapper == MapperId(sha256=weights_sha256(model.mapper))
    assert remake(model, made).provenance.result == made.result
    words = r"the mapper, one set by hand \(sha256 .*\), is not what the sound was made with, the model's own; give"
    with pytest.raises(BundleError, match=words):
        remake(model, before)
    model.mapper = own
    assert model.mapper_id is None
    assert remake(model, before).provenance.result == before.result
    assert isinstance(own, torch.nn.Module)
    with torch.no_grad():
        next(own.parameters()).add_(1.0)
    assert model.generate(still, duration_s=1).provenance.mapper == MapperId(sha256=weights_sha256(own))


def test_the_hash_is_of_weights_names_and_kind():
    one = build_mapper(CONFIG, seed=1)
    assert weights_sha256(one) == weights_sha256(build_mapper(CONFIG, seed=1))
    others = (build_mapper(CONFIG, seed=2), build_mapper(replace(CONFIG, dropout=0.2), seed=1), object())
    assert len({weights_sha256(each) for each in (one, *others)}) == 4
    assert weights_sha256(one.to(torch.bfloat16)) != weights_sha256(build_mapper(CONFIG, seed=1))


def test_weights_are_hashed_again_only_when_they_changed(place, monkeypatch):
    hashed = []
    monkeypatch.setattr("echoframe.mappers.hashed.weights_sha256", lambda of: hashed.append(of) or weights_sha256(of))
    model = fake_model()
    own = model.mapper
    assert isinstance(own, torch.nn.Module)
    for seed in (0, 1):
        model.generate(place / "one.mp4", duration_s=1, seed=seed)
    assert hashed == [own]
    with torch.no_grad():
        next(own.parameters()).add_(1.0)
    changed = model.mapper_id
    assert changed == MapperId(sha256=weights_sha256(own))
    assert model.mapper_id == changed
    assert hashed == [own, own]
    own.to(torch.float64)
    assert model.mapper_id == MapperId(sha256=weights_sha256(own)) != changed
    model.mapper = build_mapper(CONFIG, seed=1)
    assert model.mapper_id == MapperId(sha256=weights_sha256(model.mapper))
    assert hashed == [own, own, own, model.mapper]
    with torch.inference_mode():  # such tensors do not count their changes
        uncounted = build_mapper(CONFIG, seed=1)
        kept = KeptHash()
        before = kept.of(uncounted)
        next(uncounted.parameters()).add_(1.0)
        assert kept.of(uncounted) != before


def test_what_is_no_mapper_for_this_model_is_refused(place, tmp_path):
    manifest = load_bundle(place / "tiny", device="cpu").manifest
    with pytest.raises(BundleError, match="tiny.none: holds no mapper; give the folder of a finished run"):
        load_trained(place / "tiny" / "none", manifest)
    with pytest.raises(BundleError, match='config.json: kind "aisfx" is not a mapper\'s; give the folder of a mapper'):
        load_trained(place / "tiny" / "audio_encoder", manifest)
    write_run(tmp_path / "seen", config=replace(CONFIG, visual_space="clip"))
    with pytest.raises(
        BundleError, match=r'seen: the mapper sees "clip" \(1000\), the model tiny-mini needs .*; use the model whose'
    ):
        load_trained(tmp_path / "seen", manifest)
    write_run(tmp_path / "heard", config=replace(CONFIG, audio_dim=8))
    with pytest.raises(BundleError, match=r'the mapper answers in "aisfx-centred" \(8\), the model tiny-mini needs'):
        load_trained(tmp_path / "heard", manifest)
    write_run(tmp_path / "half")
    (tmp_path / "half" / "run.json").write_text('{"clip": {}}')
    with pytest.raises(BundleError, match="run.json: not a run's description .*; train it again"):
        load_trained(tmp_path / "half", manifest)
    (tmp_path / "half" / "result.json").unlink()
    with pytest.raises(BundleError, match="half: this run is not finished; continue with echoframe train --resume"):
        load_trained(tmp_path / "half", manifest)
