"""Repositories that hold only pickles: pulled once, converted, and from then on safetensors like any other."""

import json
import logging
import os
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from safetensors.torch import load, load_file, save_file
from transformers import ClapTextModelWithProjection

from echoframe.bundles import convert_hub, hub
from echoframe.bundles.bundle import find_bundle, load_bundle, save_bundle
from echoframe.bundles.check import check_bundle
from echoframe.bundles.convert_hub import check_converted, convert_snapshot, is_converted
from echoframe.bundles.hub import locate, pull
from echoframe.bundles.hub_models import HUB_MODELS
from echoframe.errors import BundleError
from echoframe.mappers.zero_shot import ZeroShotBridge
from echoframe.pretrained import load_part
from tiny_bundles import COMMIT, lay_in_cache, write_fake_hub

NAME, REPO = "audioldm-l", "cvssp/audioldm-l-full"
PARTS = ["unet", "vae", "vocoder", "text_encoder"]
BIN = {
    "diffusion_pytorch_model.safetensors": "diffusion_pytorch_model.bin",
    "model.safetensors": "pytorch_model.bin",
}
OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
COUNTED = ("text_model.embeddings.position_ids", "text_model.embeddings.token_type_ids")


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """made/<part>: all parts as safetensors. pickles/: the generator, its weights as they were saved in 2023."""
    path = tmp_path_factory.mktemp("hub")
    write_fake_hub(path, NAME)
    shutil.copytree(path / "made" / "generator", path / "pickles")
    for weights in sorted(path.glob("pickles/*/*.safetensors")):
        tensors = load_file(weights)
        weights.unlink()
        if weights.parent.name == "vae":  # diffusers' names for attention until 0.15
            tensors = {old_name(name): tensor for name, tensor in tensors.items()}
        if weights.parent.name == "text_encoder":  # AudioLDM's own checkpoint has none, nor had older transformers
            del tensors["text_model.embeddings.token_type_ids"]
        is_zip = weights.parent.name != "vocoder"  # the other format that torch.save has written
        torch.save(tensors, weights.with_name(BIN[weights.name]), _use_new_zipfile_serialization=is_zip)
    return path


def old_name(name: str) -> str:
    for new, old in OLD_NAMES.items():
        name = name.replace(new, old) if "attentions" in name else name
    return name


class FakeHub:
    """Lays what is asked for into the cache, as the hub's client would; remembers what that was."""

    def __init__(self, generator: Path, made: Path, cache: Path, monkeypatch) -> None:
        self.asked: list[tuple[str, list[str]]] = []
        folders = {repo.id: made / "made" / part for part, repo in HUB_MODELS[NAME].repos.items()}
        folders[REPO] = generator
        real: Any = hub.snapshot_download

        def download(repo_id: str, **wanted) -> str:
            if not wanted.get("local_files_only"):
                self.asked.append((repo_id, wanted["allow_patterns"]))
                lay(folders[repo_id], cache, repo_id, wanted["revision"], wanted["allow_patterns"])
            return real(repo_id, **wanted | {"local_files_only": True})

        monkeypatch.setattr(hub, "snapshot_download", download)
        monkeypatch.setattr(hub.HfApi, "model_info", lambda *_, **__: SimpleNamespace(sha=COMMIT))


def lay(folder: Path, cache: Path, repo_id: str, commit: str, patterns: list[str]) -> None:
    wanted, snapshot = cache / "wanted", cache / f"models--{repo_id.replace('/', '--')}" / "snapshots" / commit
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder)
        asked_for = any(name.as_posix() == pattern or name.match(pattern) for pattern in patterns)
        if asked_for and not (snapshot / name).exists():
            (wanted / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, wanted / name)
    lay_in_cache(wanted, cache, repo_id=repo_id, commit=commit)
    shutil.rmtree(wanted, ignore_errors=True)


@pytest.fixture
def pickles(made, tmp_path) -> Path:
    """A copy of the generator with pickles, to alter."""
    return Path(shutil.copytree(made / "pickles", tmp_path / "pickles"))


@pytest.fixture
def cache(made, tmp_path) -> Path:
    """CLIP and CLAP are there already, the generator is not."""
    for part in ("visual_encoder", "audio_encoder"):
        repo = HUB_MODELS[NAME].repos[part]
        lay_in_cache(made / "made" / part, tmp_path / "cache", repo_id=repo.id, commit=repo.revision)
    return tmp_path / "cache"


@pytest.fixture
def fake(pickles, made, cache, monkeypatch) -> FakeHub:
    return FakeHub(pickles, made, cache, monkeypatch)


@pytest.fixture(scope="module")
def converted(made, tmp_path_factory) -> Path:
    return convert_snapshot(made / "pickles", tmp_path_factory.mktemp("converted") / COMMIT, parts=PARTS)


def test_pull_converts_and_the_model_sounds_as_its_safetensors_do(fake, made, cache, caplog):
    with caplog.at_level(logging.INFO, logger="echoframe"):
        folders = pull(NAME, cache_dir=cache)
    generator = cache / "echoframe-converted" / "cvssp--audioldm-l-full" / COMMIT
    assert folders["generator"] == generator
    assert not [*generator.rglob("*.bin")]
    assert [record.getMessage().split(":")[:2] for record in caplog.records] == [
        ["cvssp--audioldm-l-full", f" {part}"] for part in PARTS
    ]
    # offline from here on, and what the hub's client keeps of the repository may go
    shutil.rmtree(cache / "models--cvssp--audioldm-l-full")
    assert locate(NAME, cache_dir=cache) == folders
    bundle = load_bundle(NAME, device="cpu", cache_dir=cache)
    assert isinstance(bundle.mapper, ZeroShotBridge)
    assert f"{REPO}@{COMMIT}" in bundle.revision
    sounds = [sound(load) for load in (bundle, load_bundle(NAME, device="cpu", cache_dir=made))]
    assert sounds[0].shape == (1, 4800)
    assert sounds[0].abs().max() > 1e-3
    assert torch.equal(*sounds)


def test_pickles_that_were_fetched_to_be_converted_go_and_another_programs_stay(fake, cache):
    told: list[str] = []
    pull(NAME, cache_dir=cache, tell=told.append)
    store = cache / "models--cvssp--audioldm-l-full"
    assert not [*store.rglob("*.bin")]
    assert all(link.exists() for link in store.glob("snapshots/*/**/*.json"))  # nothing else went
    assert told == []


def test_pickles_of_another_program_stay_and_their_size_is_said(fake, pickles, cache):
    lay(pickles, cache, REPO, COMMIT, ["*.bin"])
    size = sum(path.stat().st_size for path in pickles.rglob("*.bin"))
    told: list[str] = []
    pull(NAME, cache_dir=cache, tell=told.append)
    assert len([*(cache / "models--cvssp--audioldm-l-full").rglob("*.bin")]) == len(PARTS)
    (line,) = told
    assert line.startswith(f"{REPO}: {size / 1e9:.2f} GB of pickles in ")
    assert "another program fetched them, so they stay" in line


def sound(bundle) -> torch.Tensor:
    frames = np.random.default_rng(0).integers(0, 255, (3, 40, 48, 3), dtype=np.uint8)
    target = bundle.mapper(bundle.visual_encoder(frames)[None], torch.ones(1, 3, dtype=torch.bool))
    options = bundle.manifest.defaults.__class__(steps=2)
    return bundle.generator.generate(target, duration_s=0.3, seeds=[0], options=options)


def test_pickles_are_fetched_only_where_there_are_no_safetensors(fake, pickles, made, cache):
    for part in ("unet", "vae"):
        shutil.copy(made / "made" / "generator" / part / "diffusion_pytorch_model.safetensors", pickles / part)
    folders = pull(NAME, cache_dir=cache)
    assert [repo for repo, _ in fake.asked] == [REPO, REPO, "openai/clip-vit-large-patch14", "laion/clap-htsat-unfused"]
    assert fake.asked[0][1] == ["*.safetensors", "*.json", "*.txt"]
    assert fake.asked[1][1] == [f"{part}/{name}" for part in PARTS[2:] for name in sorted(BIN.values())]
    for part in ("unet", "vae"):
        one, other = folders["generator"] / part, made / "made" / "generator" / part
        assert (one / "diffusion_pytorch_model.safetensors").read_bytes() == (
            other / "diffusion_pytorch_model.safetensors"
        ).read_bytes()
    fake.asked.clear()
    pull(NAME, cache_dir=cache)
    assert REPO not in [repo for repo, _ in fake.asked]


def test_without_hard_links_safetensors_are_copied(pickles, made, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("no links here")

    shutil.copy(made / "made" / "generator" / "vae" / "diffusion_pytorch_model.safetensors", pickles / "vae")
    monkeypatch.setattr(os, "link", refuse)
    out = convert_snapshot(pickles, tmp_path / "out", parts=["unet", "vocoder", "text_encoder"])
    assert check_converted(out) == len([path for path in made.glob("made/generator/**/*") if path.is_file()])


def test_every_dtype_is_kept_and_shared_memory_parted(tmp_path):
    (tmp_path / "in").mkdir()
    whole = torch.randn(4, 6)
    tensors = {"tied": whole, "again": whole, "part": whole[:, ::2], "turned": whole.T, "count": torch.tensor(3)}
    tensors |= {"half": whole.half(), "parameter": torch.nn.Parameter(whole * 2)}
    torch.save(tensors, tmp_path / "in" / "pytorch_model.bin")
    convert_snapshot(tmp_path / "in", tmp_path / "out", parts=["."])
    found = load_file(tmp_path / "out" / "model.safetensors")
    assert found.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)


def test_old_attention_names_are_understood(made, converted):
    stored = load_file(converted / "vae" / "diffusion_pytorch_model.safetensors")
    assert "decoder.mid_block.attentions.0.proj_attn.weight" in stored  # the converter renames nothing
    new = AutoencoderKL.from_pretrained(made / "made" / "generator" / "vae").state_dict()
    old = load_part(AutoencoderKL, converted / "vae").state_dict()
    assert old.keys() == new.keys()
    assert all(torch.equal(old[name], new[name]) for name in new)


@pytest.mark.parametrize("has", [(), COUNTED[:1], COUNTED[1:], COUNTED])
def test_text_tower_loads_with_and_without_its_counted_buffers(made, tmp_path, has):
    folder = Path(shutil.copytree(made / "made" / "generator" / "text_encoder", tmp_path / "text_encoder"))
    tensors = load((folder / "model.safetensors").read_bytes())  # what `load_file` gives would change with the file
    kept = {name: tensor for name, tensor in tensors.items() if name in has or name not in COUNTED}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    state = load_part(ClapTextModelWithProjection, folder).state_dict()
    assert all(torch.equal(state[as_loaded(name)], tensors[name]) for name in tensors)


def as_loaded(name: str) -> str:
    """A weight's name in the network; transformers 5.0 writes TensorFlow's old ones."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


@pytest.mark.parametrize("change", ["drop", "add"])
def test_other_weights_have_to_match(made, tmp_path, change):
    folder = Path(shutil.copytree(made / "made" / "generator" / "text_encoder", tmp_path / "text_encoder"))
    tensors = load((folder / "model.safetensors").read_bytes())  # what `load_file` gives would change with the file
    if change == "drop":
        del tensors["text_projection.linear2.bias"]
    else:
        tensors["text_projection.linear3.bias"] = torch.zeros(2)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BundleError, match=r"text_encoder: 1 weights do not match its config \(text_projection\.linear"):
        load_part(ClapTextModelWithProjection, folder)


def test_check_reads_every_converted_file(fake, cache):
    pull(NAME, cache_dir=cache)
    generator = locate(NAME, cache_dir=cache)["generator"]
    lines = check_bundle(NAME, device="cpu", cache_dir=cache)
    n_files = len([path for path in generator.rglob("*") if path.is_file()]) - 1  # the list itself
    assert f"generator: {n_files} files with the right hash in {generator}" in lines
    path = generator / "unet" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(
        BundleError,
        match=r"unet/diff.*: altered: sha256 \w+\.\.\., expected \w+\.\.\.; delete .* and pull the model again",
    ):
        check_bundle(NAME, cache_dir=cache)


def test_saved_as_a_bundle(fake, cache, tmp_path):
    pull(NAME, cache_dir=cache)
    found = find_bundle(NAME, cache_dir=cache)
    for part, folder in found.folders.items():
        shutil.copytree(folder, tmp_path / "saved" / part)
    save_bundle(tmp_path / "saved", found.manifest)
    lines = check_bundle(tmp_path / "saved", device="cpu")
    assert lines[-1].startswith("text towers of generator and audio_encoder: cosine 1.0000")
    sounds = [sound(load_bundle(name, device="cpu", cache_dir=cache)) for name in (tmp_path / "saved", NAME)]
    assert torch.equal(*sounds)


class Payload:
    """What a pickle may not do: it would create a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("is_zip", [True, False])
def test_code_in_a_pickle_is_not_run(fake, pickles, cache, tmp_path, is_zip):
    weights = {"conv_pre.weight": torch.zeros(2), "more": Payload(tmp_path / "ran")}
    torch.save(weights, pickles / "vocoder" / "pytorch_model.bin", _use_new_zipfile_serialization=is_zip)
    with pytest.raises(BundleError, match=r"vocoder/pytorch_model\.bin: not a checkpoint of plain tensors .*") as got:
        pull(NAME, cache_dir=cache)
    assert "\n" not in str(got.value)
    assert not (tmp_path / "ran").exists()
    assert_nothing_left(cache)


def assert_nothing_left(cache: Path) -> None:
    assert [*(cache / "echoframe-converted" / "cvssp--audioldm-l-full").iterdir()] == []
    assert not (cache / "echoframe.lock.json").exists()
    with pytest.raises(
        BundleError,
        match=f'{REPO}: no safetensors in unet, vae, vocoder, text_encoder .*"echoframe models pull {NAME}" converts',
    ):
        load_bundle(NAME, cache_dir=cache)


@pytest.mark.parametrize("damage", ["cut", "empty", "foreign"])
def test_damaged_pickle_is_named(fake, pickles, cache, damage):
    path = pickles / "unet" / "diffusion_pytorch_model.bin"
    data = path.read_bytes()
    path.write_bytes({"cut": data[: len(data) // 2], "empty": b"", "foreign": b"\x80\x02}q\x00." * 9}[damage])
    with pytest.raises(BundleError, match=r"unet/diffusion_pytorch_model\.bin: "):
        pull(NAME, cache_dir=cache)


@pytest.mark.parametrize(
    ("weights", "found"),
    [
        ({"a": torch.zeros(1), "step": 3}, "step is a int"),
        ({"state_dict": {"a": torch.zeros(1)}}, "state_dict is a dict"),
        ({3: torch.zeros(1)}, "3 is a float32 tensor, strided, cpu"),
        ({"a": torch.zeros(1, dtype=torch.complex64)}, "a is a complex64 tensor"),
        ({"a": torch.zeros(2, 2).to_sparse()}, "a is a float32 tensor, sparse_coo"),
        ({"a": torch.zeros(2, device="meta")}, "a is a float32 tensor, strided, meta"),
        ({}, "it is empty"),
    ],
)
def test_anything_but_plain_tensors_is_refused(tmp_path, weights, found):
    (tmp_path / "in").mkdir()
    torch.save(weights, tmp_path / "in" / "pytorch_model.bin")
    with pytest.raises(
        BundleError, match=rf"in/pytorch_model\.bin: holds more than plain named .* \({found}.*\); take"
    ):
        convert_snapshot(tmp_path / "in", tmp_path / "out", parts=["."])
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_part_without_any_weights_is_refused(fake, pickles, cache):
    (pickles / "vae" / "diffusion_pytorch_model.bin").rename(pickles / "vae" / "weights.bin")
    with pytest.raises(
        BundleError, match=r"vae hold neither safetensors nor diffusion_pytorch_model\.bin or pytorch_model\.bin; the"
    ):
        pull(NAME, cache_dir=cache)


def test_interrupted_conversion_leaves_nothing_and_the_next_pull_finishes(fake, cache, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(convert_hub, "_hashes", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pull(NAME, cache_dir=cache)
    assert_nothing_left(cache)
    pull(NAME, cache_dir=cache)
    assert is_converted(locate(NAME, cache_dir=cache)["generator"])


def test_what_a_killed_conversion_left_is_swept_a_day_later(made, tmp_path):
    old, new = tmp_path / f".{COMMIT}.0123abcd.tmp", tmp_path / f".{COMMIT}.4567cdef.tmp"
    for left in (old, new):
        (left / "unet").mkdir(parents=True)
    os.utime(old, (0, 0))
    convert_snapshot(made / "pickles", tmp_path / COMMIT, parts=PARTS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, COMMIT]  # another may be at work there


@pytest.mark.parametrize("damage", ["no list", "list cut", "list of nothing", "no weights"])
def test_damaged_conversion_is_made_again(fake, cache, converted, damage):
    generator = pull(NAME, cache_dir=cache)["generator"]
    if damage == "no weights":
        (generator / "unet" / "diffusion_pytorch_model.safetensors").unlink()
    elif damage == "no list":
        (generator / "converted.json").unlink()
    else:
        (generator / "converted.json").write_text('{"fil' if damage == "list cut" else '{"files": []}')
    with pytest.raises(BundleError, match=f'no safetensors in unet, .*"echoframe models pull {NAME}" converts'):
        locate(NAME, cache_dir=cache)
    assert pull(NAME, cache_dir=cache)["generator"] == generator
    assert json.loads((generator / "converted.json").read_text()) == json.loads(
        (converted / "converted.json").read_text()
    )


def test_two_at_once_end_with_one(made, converted, tmp_path, monkeypatch):
    out, real = tmp_path / COMMIT, convert_hub._hashes

    def overtaken(folder: Path) -> dict[str, str]:
        shutil.copytree(converted, out)
        return real(folder)

    monkeypatch.setattr(convert_hub, "_hashes", overtaken)
    convert_snapshot(made / "pickles", out, parts=PARTS)
    assert check_converted(out) > len(PARTS)
    assert [path.name for path in tmp_path.iterdir()] == [COMMIT]


def test_no_room_is_one_line(fake, cache):
    (cache / "echoframe-converted").write_text("in the way")
    with pytest.raises(BundleError, match=f"{COMMIT}: cannot be written .*check the folder, and the disk") as got:
        pull(NAME, cache_dir=cache)
    assert "\n" not in str(got.value)
