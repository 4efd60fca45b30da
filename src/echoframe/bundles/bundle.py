"""Everything a cascade needs, from one name: the embedded model, a directory, or repositories of the model hub.

One way in for all of them: find the folders and the manifest, check that files and spaces are right, load each part by
its kind. A hub model has no bundle.json: its manifest is made from the definition and the configs that were fetched.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from echoframe.bundles.hub_models import HUB_MODELS, is_repo_id
from echoframe.bundles.kept_bridge import kept_bridge
from echoframe.bundles.labels import LabelBank, load_labels, vggsound_labels
from echoframe.bundles.manifest import (
    MANIFEST,
    Manifest,
    Part,
    Space,
    check_files,
    check_fit,
    read_manifest,
    with_files,
    write_manifest,
)
from echoframe.device import resolve_device, resolve_dtype
from echoframe.encoders import AudioEncoder, VisualEncoder, load_audio_encoder, load_text_encoder, load_visual_encoder
from echoframe.errors import BundleError
from echoframe.generators import LatentGenerator, load_generator
from echoframe.mappers import Mapper
from echoframe.mappers.label_prior import LABEL_PRIOR_KIND, load_label_prior
from echoframe.mappers.networks import load_mapper
from echoframe.mappers.prior import PRIOR_KIND, load_prior
from echoframe.mappers.zero_shot import BRIDGE_KIND, ZeroShotBridge, build_bridge, load_bridge
from echoframe.output import file_sha256
from echoframe.spec import ClipSpec

EMBEDDED = {"mini": Path(__file__).parent / "mini"}
HASHED_UP_TO = 200_000_000  # bytes: 0.1 s for mini; what is larger is hashed by `check_bundle` only


@dataclass(frozen=True, kw_only=True)
class Located:
    """Where the parts lie. folders: part name to directory. revision: commits, for what came from the hub.

    path: the bundle's directory, or none for a model of several repositories. sha256: of bundle.json, or of revision.
    cache: where what is computed of these very revisions may be kept; none for a bundle's directory.
    """

    manifest: Manifest
    folders: dict[str, Path]
    path: Path | None
    revision: str
    sha256: str
    cache: Path | None = None


@dataclass(frozen=True, kw_only=True)
class Bundle:
    """A loaded model: what `EchoFrame` is made of, on one device. path, revision, sha256 as in `Located`."""

    name: str
    manifest: Manifest
    clip_spec: ClipSpec
    visual_encoder: VisualEncoder
    mapper: Mapper
    generator: LatentGenerator
    audio_encoder: AudioEncoder | None
    labels: LabelBank | None
    device: torch.device
    dtype: torch.dtype
    path: Path | None
    revision: str
    sha256: str


Loader = Callable[[Path, torch.device, torch.dtype], Any]


def _with_dtype(load: Callable[..., Any]) -> Loader:
    return lambda folder, device, dtype: load(folder, device=device, dtype=dtype)


def _in_float32(load: Callable[..., Any]) -> Loader:
    return lambda folder, device, _: load(folder, device=device)


# mappers, bridges and label vectors stay float32: they are small, and the target is what everything hangs on
LOADERS: dict[str, tuple[str, Loader]] = {
    "efficientnet_lite": ("visual_encoder", _with_dtype(load_visual_encoder)),
    "clip": ("visual_encoder", _with_dtype(load_visual_encoder)),
    "aisfx": ("audio_encoder", _with_dtype(load_audio_encoder)),
    "clap": ("audio_encoder", _with_dtype(load_audio_encoder)),
    "mlp": ("mapper", _in_float32(load_mapper)),
    "residual_mlp": ("mapper", _in_float32(load_mapper)),
    "bilstm": ("mapper", _in_float32(load_mapper)),
    "transformer": ("mapper", _in_float32(load_mapper)),
    PRIOR_KIND: ("mapper", _in_float32(load_prior)),
    LABEL_PRIOR_KIND: ("mapper", _in_float32(load_label_prior)),
    BRIDGE_KIND: ("mapper", _in_float32(load_bridge)),
    "audioldm": ("generator", _with_dtype(partial(load_generator, "audioldm"))),
    "mel_flow": ("generator", _with_dtype(partial(load_generator, "mel_flow"))),
    "labels": ("labels", _in_float32(load_labels)),
}


def load_bundle(
    name_or_path: str | Path, *, device: str = "auto", dtype: str = "auto", cache_dir: Path | None = None
) -> Bundle:
    """The model of that name ("mini", a hub model), directory, or hub repository "org/name", ready to use.

    device: "auto" is cuda, else mps, else cpu. dtype: "auto" is float16 on cuda, else float32. cache_dir: the model
    hub's cache, where it is not in its usual place. Raises BundleError or DeviceError.
    """
    on = resolve_device(device)
    numbers = resolve_dtype(dtype, on)
    located = find_bundle(name_or_path, cache_dir=cache_dir)
    manifest, path = located.manifest, located.path
    if path is not None:
        size = sum(file.size for part in manifest.parts.values() for file in part.files)
        check_files(path, manifest, hashes=size < HASHED_UP_TO)
    check_fit(manifest)
    return load_parts(located, on, numbers)


def available_models() -> tuple[str, ...]:
    """The names that `load` knows.

    Returns:
        The embedded model's name first ("mini"), then those of the models that `echoframe models pull NAME` fetches from
        the Hugging Face hub. `load` also takes a bundle's folder and a hub repository, which have no place in this list.
    """
    return (*EMBEDDED, *HUB_MODELS)


def find_bundle(name_or_path: str | Path, *, cache_dir: Path | None = None) -> Located:
    """Where a model lies and what it says of itself; nothing is loaded, no file is checked. Raises BundleError."""
    name, path = str(name_or_path), Path(name_or_path)
    is_name = not isinstance(name_or_path, Path)
    if is_name and name in EMBEDDED:
        return _in_directory(EMBEDDED[name])
    if is_name and name in HUB_MODELS:
        return _pulled(name, cache_dir)
    if path.is_dir():
        return _in_directory(path)
    if is_name and is_repo_id(name):
        from echoframe.bundles.hub import locate

        folder = locate(name, cache_dir=cache_dir)["bundle"]
        return _in_directory(folder, revision=f"{name}@{folder.name}")
    known = ", ".join([*EMBEDDED, *HUB_MODELS])
    raise BundleError(f'"{name}": no such model or directory; known models are {known}, or give a bundle\'s directory')


def _pulled(name: str, cache_dir: Path | None) -> Located:
    """A hub model, where its parts were pulled to. The hub's client is imported here: mini needs none."""
    from echoframe.bundles.hub import cache_folder, hub_manifest, locate
    from echoframe.bundles.likely_clap import proven_clap

    folders = locate(name, cache_dir=cache_dir)
    folders |= proven_clap(name, folders, cache_dir=cache_dir)
    manifest, revision = hub_manifest(name, folders, cache_dir=cache_dir)
    return Located(
        manifest=manifest,
        folders=folders,
        path=None,
        revision=revision,
        sha256=hashlib.sha256(revision.encode()).hexdigest(),
        cache=cache_folder(cache_dir),
    )


def save_bundle(directory: Path, manifest: Manifest) -> Manifest:
    """Makes `directory`, where the parts lie already, a bundle: checks, hashes them, writes bundle.json."""
    check_fit(manifest)
    for name, part in manifest.parts.items():
        _loader(manifest.name, name, part)
    complete = with_files(manifest, directory)
    write_manifest(directory, complete)
    return complete


def _in_directory(path: Path, *, revision: str = "") -> Located:
    manifest = read_manifest(path)
    folders = {name: path / name for name in manifest.parts}
    sha256 = file_sha256(path / MANIFEST)
    return Located(manifest=manifest, folders=folders, path=path, revision=revision, sha256=sha256)


def _loader(bundle: str, name: str, part: Part) -> Loader:
    room, loader = LOADERS.get(part.kind, ("", None))
    if loader is None or room != name:
        known = ", ".join(kind for kind, (where, _) in LOADERS.items() if where == name)
        raise BundleError(f'{bundle}: {name} of kind "{part.kind}", expected one of {known}; update echoframe')
    return loader


def load_parts(located: Located, device: torch.device, dtype: torch.dtype) -> Bundle:
    """Every part of a model that was found, by the loader of its kind, joined. Raises BundleError for one that misfits."""
    manifest = located.manifest
    loaded: dict[str, Any] = {
        name: _loader(manifest.name, name, part)(located.folders[name], device, dtype)
        for name, part in manifest.parts.items()
    }
    if "mapper" not in loaded:
        loaded["mapper"] = _bridge(located, loaded["generator"], device, dtype)
        if "labels" not in loaded:
            loaded["labels"] = _labels_of(loaded["mapper"])
    _check_loaded(manifest, loaded)
    return Bundle(
        name=manifest.name,
        manifest=manifest,
        clip_spec=manifest.clip,
        visual_encoder=loaded["visual_encoder"],
        mapper=loaded["mapper"],
        generator=loaded["generator"],
        audio_encoder=loaded.get("audio_encoder"),
        labels=loaded.get("labels"),
        device=device,
        dtype=dtype,
        path=located.path,
        revision=located.revision,
        sha256=located.sha256,
    )


def _bridge(located: Located, generator: LatentGenerator, device: torch.device, dtype: torch.dtype) -> ZeroShotBridge:
    parts, folders = located.manifest.parts, located.folders
    has_clap = "audio_encoder" in parts and parts["audio_encoder"].kind == "clap"
    if parts["visual_encoder"].kind != "clip" or not (generator.has_text or has_clap):
        raise BundleError(
            f"{located.manifest.name}: no mapper, and no zero-shot bridge without a CLIP visual encoder and a text "
            "tower of the audio space; add a mapper part"
        )
    takes, gives = parts["generator"].takes, parts["visual_encoder"].gives
    seen, heard = gives.name if gives else "", takes.name if takes else ""
    labels = [label for label, _ in vggsound_labels()]

    def build() -> ZeroShotBridge:
        see = load_text_encoder(folders["visual_encoder"], device=device, dtype=dtype)
        # the generator's own tower first: then the target is in its space for certain
        own = generator.has_text
        hear = generator.embed_text if own else load_text_encoder(folders["audio_encoder"], device=device)
        return build_bridge(see, hear, labels=labels, visual_space=seen, audio_space=heard)

    made_of = (located.revision, str(dtype), seen, heard, *labels)
    return kept_bridge(located.cache, made_of, build).to(device)


def _labels_of(bridge: ZeroShotBridge) -> LabelBank:
    names, kinds = zip(*vggsound_labels(), strict=True)
    return LabelBank(names=names, kinds=kinds, vectors=bridge.audio_text)


def _check_loaded(manifest: Manifest, loaded: dict[str, Any]) -> None:
    """Raises BundleError if a part turns out to be another than the manifest says."""
    config, generator = loaded["mapper"].config, loaded["generator"]
    found: dict[tuple[str, str], Space] = {
        ("mapper", "takes"): Space(name=config.visual_space, dim=config.visual_dim),
        ("mapper", "gives"): Space(name=config.audio_space, dim=config.audio_dim),
    }
    dims = {("visual_encoder", "gives"): loaded["visual_encoder"].dim, ("generator", "takes"): generator.dim}
    if "audio_encoder" in loaded:
        dims["audio_encoder", "gives"] = loaded["audio_encoder"].dim
    if "labels" in loaded:
        vectors: Tensor = loaded["labels"].vectors
        dims["labels", "gives"] = vectors.shape[1]
    for (name, way), dim in dims.items():
        stated = getattr(manifest.parts[name], way) if name in manifest.parts else None
        found[name, way] = Space(name=stated.name if stated else "", dim=dim)
    for (name, way), space in found.items():
        stated = getattr(manifest.parts[name], way) if name in manifest.parts else None
        if name in manifest.parts and space != stated:
            raise BundleError(
                f"{manifest.name}: {name} {way} {space}, its {MANIFEST} says {stated or 'nothing'}; "
                "use the part the bundle was made with"
            )
    if generator.sample_rate != manifest.sample_rate:
        raise BundleError(
            f"{manifest.name}: the generator gives {generator.sample_rate} Hz, {MANIFEST} says "
            f"{manifest.sample_rate} Hz; use the generator the bundle was made with"
        )
