"""Bundles: what is saved is what is loaded; every damaged, foreign or misfit part is refused by name."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from echoframe.bundles.bundle import (
    EMBEDDED,
    Bundle,
    find_bundle,
    load_bundle,
    save_bundle,
)
from echoframe.bundles.check import check_bundle
from echoframe.bundles.labels import load_labels
from echoframe.bundles.manifest import Part, Space, check_fit, read_manifest, strictest_licence
from echoframe.bundles.spaces import check_same_space
from echoframe.device import resolve_device, resolve_dtype
from echoframe.errors import BundleError, DeviceError
from echoframe.generators.mel_flow import MelFlowGenerator
from echoframe.mappers.networks import load_mapper, save_mapper
from echoframe.mappers.zero_shot import ZeroShotBridge
from tiny_bundles import CLIP, DIM, EARS, FAST, HEARD, write_tiny_clip_clap, write_tiny_mini


@pytest.fixture(scope="module")
def mini(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "mini"
    write_tiny_mini(path)
    return path


@pytest.fixture(scope="module")
def clip_clap(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundles") / "clip_clap"
    write_tiny_clip_clap(path)
    return path


@pytest.fixture
def copy(mini, tmp_path) -> Path:
    return Path(shutil.copytree(mini, tmp_path / "copy"))


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_part(directory: Path, part: str, **changes) -> None:
    parts = json.loads((directory / "bundle.json").read_text())["parts"]
    edit(directory / "bundle.json", parts=parts | {part: parts[part] | changes})


def whole_cascade(bundle: Bundle) -> torch.Tensor:
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 48, 3), dtype=np.uint8)
    visual = bundle.visual_encoder(frames)
    target = bundle.mapper(visual[None], torch.ones(1, 3, dtype=torch.bool))
    return bundle.generator.generate(target, duration_s=0.3, seeds=[0], options=bundle.manifest.defaults)


def test_saved_and_loaded(mini):
    bundle = load_bundle(mini, device="cpu")
    assert (bundle.name, bundle.path, bundle.clip_spec, bundle.manifest.defaults) == ("tiny-mini", mini, CLIP, FAST)
    assert (bundle.visual_encoder.dim, bundle.generator.dim, bundle.generator.sample_rate) == (1000, DIM, 16_000)
    assert bundle.audio_encoder is not None
    assert bundle.audio_encoder.dim == DIM
    assert bundle.labels is not None
    assert bundle.labels.names == load_labels(mini / "labels").names
    assert (bundle.device, bundle.dtype) == (torch.device("cpu"), torch.float32)
    assert len(bundle.sha256) == 64
    sound = whole_cascade(bundle)
    assert sound.shape == (1, 4800)
    assert sound.abs().max() > 1e-3


def test_float16_weights_are_cast_up(mini):
    bundle = load_bundle(mini, device="cpu")
    for part in (bundle.visual_encoder, bundle.mapper, bundle.audio_encoder):
        assert isinstance(part, torch.nn.Module)
        assert {w.dtype for w in part.state_dict().values() if w.is_floating_point()} == {torch.float32}


def test_dtype_goes_to_every_part_but_the_mapper(mini):
    bundle = load_bundle(mini, device="cpu", dtype="bfloat16")
    assert isinstance(bundle.visual_encoder, torch.nn.Module)
    assert next(bundle.visual_encoder.parameters()).dtype == torch.bfloat16
    assert isinstance(bundle.generator, MelFlowGenerator)
    assert next(bundle.generator.denoiser.parameters()).dtype == torch.bfloat16
    assert isinstance(bundle.mapper, torch.nn.Module)
    assert next(bundle.mapper.parameters()).dtype == torch.float32


def test_clip_clap_and_audioldm_sound_by_the_bridge(clip_clap):
    bundle = load_bundle(str(clip_clap), device="cpu")
    assert isinstance(bundle.mapper, ZeroShotBridge)
    assert (bundle.mapper.config.visual_space, bundle.mapper.config.audio_space) == ("tiny-clip", "tiny-clap")
    assert bundle.labels is not None
    assert len(bundle.labels.names) == 309
    torch.testing.assert_close(bundle.labels.vectors, bundle.mapper.audio_text)
    assert whole_cascade(bundle).shape == (1, 4800)


def test_bridge_takes_claps_words_where_the_generator_has_none(clip_clap, tmp_path):
    path = Path(shutil.copytree(clip_clap, tmp_path / "copy"))
    for name in ("text_encoder", "tokenizer"):
        shutil.rmtree(path / "generator" / name)
    save_bundle(path, read_manifest(path))
    with_own, without = load_bundle(clip_clap, device="cpu").mapper, load_bundle(path, device="cpu").mapper
    assert isinstance(with_own, ZeroShotBridge)
    assert isinstance(without, ZeroShotBridge)
    torch.testing.assert_close(without.audio_text, with_own.audio_text, atol=1e-5, rtol=0)


def test_check_says_what_is_right(mini, clip_clap):
    assert check_bundle(mini, device="cpu") == [
        "visual_encoder: efficientnet_lite, 2 files with the right size and sha256",
        "audio_encoder: aisfx, 2 files with the right size and sha256",
        "mapper: residual_mlp, 2 files with the right size and sha256",
        "generator: mel_flow, 5 files with the right size and sha256",
        "labels: labels, 2 files with the right size and sha256",
        "spaces: efficientnet-lite0-probabilities to aisfx-centred, dimensions agree",
    ]
    assert check_bundle(clip_clap, device="cpu")[-1] == (
        "text towers of generator and audio_encoder: cosine 1.0000 or more over 8 texts"
    )


def test_text_towers_of_two_spaces_are_refused(clip_clap, tmp_path):
    path, other = Path(shutil.copytree(clip_clap, tmp_path / "copy")), tmp_path / "other"
    write_tiny_clip_clap(other, seed=1)
    shutil.rmtree(path / "generator" / "text_encoder")
    shutil.copytree(other / "generator" / "text_encoder", path / "generator" / "text_encoder")
    save_bundle(path, read_manifest(path))
    with pytest.raises(
        BundleError, match=r"generator \(tiny AudioLDM\) and audio_encoder \(tiny CLAP\) embed the same text with"
    ):
        check_bundle(path, device="cpu")


def test_text_towers_of_other_sizes_are_refused():
    with pytest.raises(BundleError, match="one embeds texts in 3 numbers, two in 4: not the same audio space"):
        check_same_space(lambda t: torch.ones(len(t), 3), lambda t: torch.ones(len(t), 4), names=("one", "two"))


FILES = (
    "visual_encoder/model.safetensors",
    "mapper/config.json",
    "generator/denoiser/config.json",
    "labels/labels.json",
)


@pytest.mark.parametrize("name", FILES)
def test_missing_file_is_refused(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=rf"{name}: missing, expected \d+ bytes; fetch the bundle again"):
        load_bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_resized_file_is_refused(copy, name):
    size = (copy / name).stat().st_size
    (copy / name).write_bytes((copy / name).read_bytes()[:-1])
    with pytest.raises(BundleError, match=rf"{name}: {size - 1} bytes, expected {size}; fetch the bundle again"):
        load_bundle(copy)


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_refused(copy, name):
    data = bytearray((copy / name).read_bytes())
    data[len(data) // 2] ^= 1
    (copy / name).write_bytes(data)
    with pytest.raises(BundleError, match=rf"{name}: altered: sha256 \w+\.\.\., expected \w+\.\.\.; fetch"):
        load_bundle(copy)


def test_large_bundles_are_hashed_by_check_only(copy, monkeypatch):
    monkeypatch.setattr("echoframe.bundles.bundle.HASHED_UP_TO", 0)
    path = copy / "labels" / "labels.json"
    path.write_text(path.read_text().replace("rain", "rein"))
    labels = load_bundle(copy, device="cpu").labels
    assert labels is not None
    assert "rein" in labels.names
    with pytest.raises(BundleError, match="labels.json: altered"):
        check_bundle(copy)


def test_mapper_for_another_space_is_refused(copy):
    edit_part(copy, "mapper", takes={"name": "openai/clip-vit-large-patch14", "dim": 768})
    with pytest.raises(
        BundleError,
        match=r'mapper takes "openai/clip-vit-large-patch14" \(768\), visual_encoder gives '
        r'"efficientnet-lite0-probabilities" \(1000\); both have to be the same space',
    ):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("part", "way", "message"),
    [
        ("mapper", "gives", r'generator takes "aisfx-centred" \(32\), mapper gives "tiny-clap" \(32\)'),
        ("audio_encoder", "gives", 'generator takes "aisfx-centred" .*, audio_encoder gives "tiny-clap"'),
        ("labels", "gives", 'generator takes "aisfx-centred" .*, labels gives "tiny-clap"'),
        ("generator", "takes", 'generator takes "tiny-clap" .*, mapper gives "aisfx-centred"'),
    ],
)
def test_parts_of_two_spaces_are_refused(mini, part, way, message):
    manifest = read_manifest(mini)
    changed = replace(manifest.parts[part], **{way: HEARD})
    with pytest.raises(BundleError, match=message):
        check_fit(replace(manifest, parts=manifest.parts | {part: changed}))


def test_unnamed_spaces_are_refused(mini):
    manifest = read_manifest(mini)
    nameless = {"mapper": replace(manifest.parts["mapper"], gives=None)}
    nameless["generator"] = replace(manifest.parts["generator"], takes=None)
    with pytest.raises(BundleError, match="generator takes no named space, mapper gives no named space"):
        check_fit(replace(manifest, parts=manifest.parts | nameless))


def test_mapper_that_is_not_the_manifests_is_refused(copy):
    mapper = load_mapper(copy / "mapper")
    mapper.config = replace(mapper.config, audio_space="clap")
    save_mapper(mapper, copy / "mapper")
    save_bundle(copy, read_manifest(copy))
    with pytest.raises(BundleError, match=r'mapper gives "clap" \(32\), its bundle.json says "aisfx-centred" \(32\)'):
        load_bundle(copy)


def test_no_mapper_and_no_words_for_a_bridge_is_refused(copy):
    manifest = read_manifest(copy)
    save_bundle(copy, replace(manifest, parts={n: part for n, part in manifest.parts.items() if n != "mapper"}))
    with pytest.raises(BundleError, match="tiny-mini: no mapper, and no zero-shot bridge without a CLIP"):
        load_bundle(copy)


def test_dimensions_that_are_not_the_manifests_are_refused(copy):
    manifest, wide = read_manifest(copy), Space(name=EARS.name, dim=64)
    parts = {
        name: replace(
            part, takes=wide if part.takes == EARS else part.takes, gives=wide if part.gives == EARS else part.gives
        )
        for name, part in manifest.parts.items()
    }
    save_bundle(copy, replace(manifest, parts=parts))
    with pytest.raises(BundleError, match=r'mapper gives "aisfx-centred" \(32\), its bundle.json says .* \(64\)'):
        load_bundle(copy)


def test_another_sample_rate_is_refused(copy):
    edit(copy / "bundle.json", sample_rate=44_100)
    with pytest.raises(BundleError, match="the generator gives 16000 Hz, bundle.json says 44100 Hz"):
        load_bundle(copy)


def test_kind_of_another_part_is_refused(copy):
    edit_part(copy, "mapper", kind="clip")
    with pytest.raises(BundleError, match='mapper of kind "clip", expected one of mlp, residual_mlp, bilstm, transf'):
        load_bundle(copy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "bundle.json: not a bundle of format 1; update echoframe"),
        ({"parts": {}}, "bundle.json: found no parts, expected visual_encoder, audio_encoder, mapper"),
        ({"licence": "MIT"}, "licence MIT, but the strictest of its parts is CC-BY-4.0"),
        ({"clip": {"n_frames": 0}}, "not a bundle's manifest .*all three have to be positive"),
        ({"version": None}, "not a bundle's manifest"),
        ({"weights": 1}, "unknown key weights; known keys are name, version"),
    ],
)
def test_other_manifests_are_refused(copy, changes, message):
    edit(copy / "bundle.json", **changes)
    with pytest.raises(BundleError, match=message):
        load_bundle(copy)


@pytest.mark.parametrize("path", ["../secret", "/etc/passwd", "a\\b"])
def test_files_outside_the_bundle_are_refused(copy, path):
    edit_part(copy, "labels", files=[{"path": path, "sha256": "0", "size": 1}])
    with pytest.raises(BundleError, match="lies outside the part; do not use this bundle"):
        load_bundle(copy)


def test_unknown_and_missing_parts_are_refused(mini):
    manifest = read_manifest(mini)
    with pytest.raises(
        BundleError, match="found parts visual_encoder; expected visual_encoder, generator and optionally"
    ):
        check_fit(replace(manifest, parts={"visual_encoder": manifest.parts["visual_encoder"]}))
    with pytest.raises(BundleError, match="found parts .*nose; expected"):
        check_fit(replace(manifest, parts=manifest.parts | {"nose": Part(kind="x", licence="MIT")}))


def test_part_that_was_not_written_cannot_be_saved(copy):
    shutil.rmtree(copy / "labels")
    with pytest.raises(BundleError, match="labels: no files; write the part before the bundle is saved"):
        save_bundle(copy, read_manifest(copy))


def test_directory_without_a_manifest_is_refused(tmp_path):
    with pytest.raises(BundleError, match="bundle.json: cannot be read"):
        load_bundle(tmp_path)


@pytest.mark.parametrize("name", ["maxi", Path("nowhere/at/all"), "./nowhere"])
def test_unknown_name_lists_the_known(name):
    with pytest.raises(BundleError, match="no such model or directory; known models are mini, audioldm-s, audio"):
        load_bundle(name)


def test_embedded_model_is_found_by_name(mini, monkeypatch):
    monkeypatch.setitem(EMBEDDED, "mini", mini)
    located = find_bundle("mini")
    assert (located.path, located.manifest.licence) == (mini, "CC-BY-4.0")


def test_unknown_licence_is_the_strictest():
    assert strictest_licence(["CC-BY-NC-SA-4.0", "unstated, research use", "MIT"]) == "unstated, research use"


def test_devices_and_number_formats(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device("auto") == torch.device("cuda")
    assert resolve_device("cuda:1") == torch.device("cuda:1")
    assert resolve_dtype("auto", torch.device("cuda")) == torch.float16
    assert resolve_dtype("auto", torch.device("cpu")) == torch.float32
    assert resolve_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16
    with pytest.raises(DeviceError, match=r'device "cuda:2" is not there'):
        resolve_device("cuda:2")
    with pytest.raises(DeviceError, match='dtype "int8" is not known; choose auto, float32, float16, bfloat16'):
        resolve_dtype("int8", torch.device("cpu"))
    with pytest.raises(DeviceError, match='device "warp" is not known; choose auto, cpu, cuda'):
        resolve_device("warp")


def test_cuda_that_is_not_there_is_refused(mini, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto") == torch.device("cpu")
    with pytest.raises(DeviceError, match=r'device "cuda" is not there \(usable here: cpu\)'):
        load_bundle(mini, device="cuda")
