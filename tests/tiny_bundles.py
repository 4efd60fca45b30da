"""Tiny bundles with random weights: in mini's layout, with CLIP and CLAP, and as a cache of the model hub."""

import hashlib
import shutil
from pathlib import Path

import torch
from transformers import ClapTextModelWithProjection

from echoframe.bundles.bundle import save_bundle
from echoframe.bundles.hub_models import HUB_MODELS
from echoframe.bundles.labels import LabelBank, save_labels
from echoframe.bundles.manifest import Manifest, Part, Space
from echoframe.encoders.aisfx import AisfxConfig, AisfxNetwork
from echoframe.encoders.efficientnet_lite import EfficientNetLite
from echoframe.mappers.networks import MapperConfig, build_mapper, save_mapper
from echoframe.options import SampleOptions
from echoframe.pretrained import quiet
from echoframe.spec import ClipSpec
from echoframe.weights import save_part
from tiny_audioldm import write_tiny_audioldm
from tiny_mel_flow import write_tiny_mel_flow
from tiny_models import write_tiny_clap, write_tiny_clip

DIM = 32  # of the audio space
FACES = Space(name="efficientnet-lite0-probabilities", dim=1000)
EARS = Space(name="aisfx-centred", dim=DIM)
SEEN = Space(name="tiny-clip", dim=16)
HEARD = Space(name="tiny-clap", dim=DIM)
CLIP = ClipSpec(n_frames=4)
FAST = SampleOptions(steps=2, guidance=2.0, scheduler="dpm++2m")
TOKENIZER_FILES = ("merges.txt", "vocab.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")
COMMIT = "0123456789abcdef0123456789abcdef01234567"  # of every repository that is not pinned


def write_tiny_mini(path: Path, *, seed: int = 0) -> Manifest:
    """A bundle in mini's layout: EfficientNet-Lite0 (its only size), a tiny aiSFX, mapper, generator and labels."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network, aisfx = EfficientNetLite(), AisfxNetwork(AisfxConfig(width=DIM // 8))
    weights = {name: w.half() for name, w in network.state_dict().items()}
    save_part(path / "visual_encoder", {"kind": "efficientnet_lite", "output": "probabilities"}, weights)
    tensors = {f"network.{name}": w for name, w in aisfx.state_dict().items()} | {"mean": torch.zeros(DIM)}
    save_part(path / "audio_encoder", {"kind": "aisfx", "width": DIM // 8}, tensors)
    config = MapperConfig(
        visual_dim=FACES.dim,
        audio_dim=DIM,
        hidden_dim=16,
        depth=1,
        input="log_probability",
        visual_space=FACES.name,
        audio_space=EARS.name,
    )
    save_mapper(build_mapper(config, seed=seed), path / "mapper", dtype=torch.float16)
    write_tiny_mel_flow(path / "generator", seed=seed, dim=DIM)
    vectors = torch.randn(3, DIM, generator=torch.Generator().manual_seed(seed))
    bank = LabelBank(names=("dog barking", "rain", "violin"), kinds=("animals", "nature", "music"), vectors=vectors)
    save_labels(bank, path / "labels")
    parts = {
        "visual_encoder": Part(kind="efficientnet_lite", licence="Apache-2.0", gives=FACES),
        "audio_encoder": Part(kind="aisfx", licence="CC-BY-4.0", gives=EARS),
        "mapper": Part(kind="residual_mlp", licence="MIT", takes=FACES, gives=EARS),
        "generator": Part(kind="mel_flow", licence="MIT", takes=EARS),
        "labels": Part(kind="labels", licence="MIT", gives=EARS),
    }
    manifest = Manifest(name="tiny-mini", version="0.1", sample_rate=16_000, parts=parts, clip=CLIP, defaults=FAST)
    return save_bundle(path, manifest)


def write_tiny_clip_clap(path: Path, *, seed: int = 0) -> Manifest:
    """A bundle of CLIP, CLAP and AudioLDM without a mapper, each as transformers and diffusers save them."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        write_tiny_clip(path / "visual_encoder", seed=seed)
        write_tiny_clap(path / "audio_encoder", seed=seed)
    write_tiny_audioldm(path / "generator", seed=seed, dim=DIM)
    share_text_tower(path / "audio_encoder", path / "generator")
    parts = {
        "visual_encoder": Part(kind="clip", licence="MIT", source="tiny CLIP", gives=SEEN),
        "audio_encoder": Part(kind="clap", licence="Apache-2.0", source="tiny CLAP", gives=HEARD),
        "generator": Part(kind="audioldm", licence="CC-BY-NC-SA-4.0", source="tiny AudioLDM", takes=HEARD),
    }
    manifest = Manifest(name="tiny-clap", version="0.1", sample_rate=16_000, parts=parts, clip=CLIP, defaults=FAST)
    return save_bundle(path, manifest)


def share_text_tower(clap: Path, generator: Path) -> None:
    """Gives the generator CLAP's own text tower and tokenizer, as AudioLDM has it."""
    with quiet():
        ClapTextModelWithProjection.from_pretrained(clap).save_pretrained(generator / "text_encoder")
    shutil.rmtree(generator / "tokenizer")
    (generator / "tokenizer").mkdir()
    for name in TOKENIZER_FILES:
        shutil.copy(clap / name, generator / "tokenizer" / name)


def write_fake_hub(cache_dir: Path, name: str, *, seed: int = 0) -> Path:
    """The hub's cache as it is after pulling the hub model `name`, with tiny parts: models--org--name/{blobs,...}."""
    repos = HUB_MODELS[name].repos
    made = cache_dir / "made"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        write_tiny_clip(made / "visual_encoder", seed=seed)
        write_tiny_clap(made / "clap", seed=seed)
    write_tiny_audioldm(made / "generator", seed=seed, dim=DIM)
    share_text_tower(made / "clap", made / "generator")
    (made / "clap").rename(made / "audio_encoder")
    for part, repo in repos.items():
        commit = repo.revision if repo.revision != "main" else COMMIT
        lay_in_cache(made / part, cache_dir, repo_id=repo.id, commit=commit)
    return cache_dir


def lay_in_cache(folder: Path, cache_dir: Path, *, repo_id: str, commit: str) -> Path:
    """Copies `folder` into a hub cache: blobs under their hash, links in snapshots/<commit>, and refs/main."""
    store = cache_dir / f"models--{repo_id.replace('/', '--')}"
    snapshot = store / "snapshots" / commit
    (store / "blobs").mkdir(parents=True, exist_ok=True)
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        data = path.read_bytes()
        if path.suffix == ".safetensors":  # git LFS files go by their sha256, the others by their git hash
            blob = store / "blobs" / hashlib.sha256(data).hexdigest()
        else:
            blob = store / "blobs" / hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        blob.write_bytes(data)
        link = snapshot / path.relative_to(folder)
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(blob)
    (store / "refs").mkdir(exist_ok=True)
    (store / "refs" / "main").write_text(commit)
    return snapshot
