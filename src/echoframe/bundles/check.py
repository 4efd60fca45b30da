"""What `echoframe models check` looks at: files, spaces, text towers, and the attention of AudioLDM's UNet."""

from collections.abc import Sequence
from pathlib import Path

import torch

from echoframe.bundles.bundle import find_bundle, load_parts
from echoframe.bundles.hub import check_blobs
from echoframe.bundles.manifest import check_files, check_fit
from echoframe.bundles.spaces import PROBES, check_same_space
from echoframe.device import resolve_device
from echoframe.encoders import load_text_encoder


def check_bundle(
    name_or_path: str | Path, *, sounds: Sequence[Path] = (), device: str = "auto", cache_dir: Path | None = None
) -> list[str]:
    """Checks all that can be: every file's sha256, sizes, spaces, dimensions, text towers, and AudioLDM's attention.

    sounds: recordings, by which the heads of the attention are proven (`generators/attention_heads.py`). Returns one
    line for each thing that was found right. Raises BundleError at the first that is not.
    """
    located = find_bundle(name_or_path, cache_dir=cache_dir)
    lines = []
    if located.path is not None:
        check_files(located.path, located.manifest, hashes=True)
        for name, part in located.manifest.parts.items():
            lines.append(f"{name}: {part.kind}, {len(part.files)} files with the right size and sha256")
    else:
        for name, folder in located.folders.items():
            lines.append(f"{name}: {check_blobs(folder)} files with the right hash in {folder}")
    check_fit(located.manifest)
    on = resolve_device(device)
    bundle = load_parts(located, on, torch.float32)
    lines.append(f"spaces: {bundle.mapper.config.visual_space} to {bundle.mapper.config.audio_space}, dimensions agree")
    parts = located.manifest.parts
    if bundle.generator.text_folder and "audio_encoder" in parts and parts["audio_encoder"].kind == "clap":
        clap_text = load_text_encoder(located.folders["audio_encoder"], device=on)
        names = (f"generator ({parts['generator'].source})", f"audio_encoder ({parts['audio_encoder'].source})")
        cosine = check_same_space(bundle.generator.embed_text, clap_text, names=names)
        lines.append(
            f"text towers of generator and audio_encoder: cosine {cosine:.4f} or more over {len(PROBES)} texts"
        )
    if parts["generator"].kind == "audioldm":
        from echoframe.generators.attention_heads import prove_heads

        heads = prove_heads(bundle.generator, sounds)  # type: ignore[arg-type]
        lines += [f"generator: {heads}"] if heads else []
    return lines
