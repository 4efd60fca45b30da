"""What `echoframe models check` looks at: files, spaces, text towers, and the attention of AudioLDM's UNet."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch

from echoframe.bundles.bundle import Bundle, Located, find_bundle, load_parts
from echoframe.bundles.hub import cache_folder, check_blobs, hub_sources, pull
from echoframe.bundles.hub_models import HUB_MODELS
from echoframe.bundles.likely_clap import try_clap
from echoframe.bundles.manifest import Part, check_files, check_fit
from echoframe.bundles.spaces import PROBES, keep_cosine, known_cosine, lowest_cosine, refuse_other_space
from echoframe.device import resolve_device
from echoframe.encoders import load_text_encoder
from echoframe.errors import BundleError, InputError

N_TARGETS = 2  # sounds that schedulers are compared on


def check_bundle(
    name_or_path: str | Path,
    *,
    sounds: Sequence[Path] = (),
    schedulers: bool = False,
    device: str = "auto",
    cache_dir: Path | None = None,
) -> list[str]:
    """Checks all that can be: every file's sha256, sizes, spaces, dimensions, text towers, and AudioLDM's attention.

    sounds: recordings, by which the heads of the attention are proven (`generators/attention_heads.py`). schedulers:
    compares AudioLDM's schedulers too (`generators/nearest_scheduler.py`), which takes minutes. Returns one line for each
    thing that was found right. Raises BundleError at the first that is not.
    """
    located = find_bundle(name_or_path, cache_dir=cache_dir)
    kind = located.manifest.parts["generator"].kind
    if schedulers and kind != "audioldm":
        raise InputError(
            f"{located.manifest.name}: its generator is a {kind}, which has no schedulers to compare; leave out --schedulers"
        )
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
    cosine = one_space_in(located, cache_dir=cache_dir, device=device)
    if cosine is not None:
        lines.append(
            f"text towers of generator and audio_encoder: cosine {cosine:.4f} or more over {len(PROBES)} texts"
        )
    if kind == "audioldm":
        from echoframe.generators.attention_heads import prove_heads

        heads = prove_heads(bundle.generator, sounds)  # type: ignore[arg-type]
        lines += [f"generator: {heads}"] if heads else []
    if schedulers:
        lines.append(f"generator: {_compare_schedulers(bundle)}")
    return lines


def _compare_schedulers(bundle: Bundle) -> str:
    """One line, measured on the points of labels that lie far apart in the list, or on random ones of a model without."""
    from echoframe.generators.nearest_scheduler import distances, told

    generator, defaults = bundle.generator, bundle.manifest.defaults
    random = torch.Generator().manual_seed(0)
    vectors = bundle.labels.vectors if bundle.labels else torch.randn(N_TARGETS, generator.dim, generator=random)
    targets = vectors[torch.linspace(0, len(vectors) - 1, N_TARGETS).long()]
    return told(distances(generator, targets, defaults=defaults), defaults=defaults)


def pull_model(name: str, *, cache_dir: Path | None = None, tell: Callable[[str], None]) -> dict[str, Path]:
    """`hub.pull`, and for a hub model whether its generator and its CLAP are one space: kept for every later load.

    tell: of what a person has to know, a line each. If they are two spaces, the model goes without the CLAP from now on.
    """
    folders = pull(name, cache_dir=cache_dir, tell=tell)
    if name in HUB_MODELS and HUB_MODELS[name].likely_clap:
        return folders | try_clap(name, folders, cache_dir=cache_dir, tell=tell)
    if name in HUB_MODELS:
        located = find_bundle(name, cache_dir=cache_dir)
        try:
            cosine = one_space_in(located, cache_dir=cache_dir, device="cpu")
        except BundleError as error:
            tell(f"{error}; {name} goes without its CLAP: candidates are not ranked, and nothing is extracted with it")
        else:
            if cosine is not None:
                tell(f"one audio space: the text towers of generator and CLAP have a cosine of {cosine:.4f} or more")
    return folders


def one_space_in(located: Located, *, cache_dir: Path | None = None, device: str = "auto") -> float | None:
    """`one_space` of a model's own parts; what was found of a hub model's commits is not computed again."""
    parts, folders = located.manifest.parts, located.folders
    if located.path is not None:
        return one_space(parts, folders, device=device)
    cache, sources = cache_folder(cache_dir), hub_sources(located.manifest.name, folders)
    if "audio_encoder" in sources and "audio_encoder" not in parts:  # it was left out, as it is another space
        found = known_cosine(sources["generator"], sources["audio_encoder"], cache)
        refuse_other_space(found or 0.0, _names(sources["generator"], sources["audio_encoder"]))
    return one_space(parts, folders, cache=cache, device=device)


def one_space(
    parts: Mapping[str, Part], folders: Mapping[str, Path], *, cache: Path | None = None, device: str = "auto"
) -> float | None:
    """The cosine of what the text towers of AudioLDM and of the CLAP beside it say of the same texts: over 0.99.

    None where there are no two towers to compare. cache: where what was found is kept, by the parts' sources. Raises
    BundleError if the two are not one space.
    """
    kinds = tuple(parts[name].kind if name in parts else "" for name in ("generator", "audio_encoder"))
    if kinds != ("audioldm", "clap") or not (folders["generator"] / "text_encoder").is_dir():
        return None
    sources = (parts["generator"].source, parts["audio_encoder"].source)
    cosine = known_cosine(*sources, cache) if cache else None
    if cosine is None:
        from echoframe.generators.audioldm import TextTower

        on = resolve_device(device)
        ours = TextTower(folders["generator"], device=on)
        cosine = lowest_cosine(
            ours.embed, load_text_encoder(folders["audio_encoder"], device=on), names=_names(*sources)
        )
        if cache:
            keep_cosine(*sources, cosine, cache)
    refuse_other_space(cosine, _names(*sources))
    return cosine


def _names(generator: str, clap: str) -> tuple[str, str]:
    return f"generator ({generator})", f"audio_encoder ({clap})"
