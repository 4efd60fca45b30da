"""A CLAP that may be the one a hub model was trained with: used from the pull on that proves it, and never before.

Which CLAP AudioLDM-M was trained with is not written anywhere. If the text tower of the likely one says what the
generator's own says, they are one audio space; if not, or if it could not be fetched, the model goes without.
"""

from collections.abc import Callable, Mapping
from pathlib import Path

from echoframe.bundles.hub import cache_folder, fetch_repo, find_repo
from echoframe.bundles.hub_models import HUB_MODELS, Repo
from echoframe.bundles.spaces import SAME_SPACE, keep_cosine, known_cosine, lowest_cosine, refuse_other_space
from echoframe.encoders import load_text_encoder
from echoframe.errors import BundleError


def proven_clap(name: str, folders: Mapping[str, Path], *, cache_dir: Path | None = None) -> dict[str, Path]:
    """The likely CLAP's folder as the model's audio_encoder, if `try_clap` proved it; else nothing. No network.

    folders: where the model's own parts lie.
    """
    clap = HUB_MODELS[name].likely_clap
    folder = find_repo(clap, cache_dir=cache_dir) if clap else None
    if clap is None or folder is None:
        return {}
    cosine = known_cosine(*_sources(name, clap, folders["generator"], folder), cache_folder(cache_dir))
    return {"audio_encoder": folder} if cosine is not None and cosine > SAME_SPACE else {}


def try_clap(
    name: str, folders: Mapping[str, Path], *, cache_dir: Path | None = None, tell: Callable[[str], None]
) -> dict[str, Path]:
    """Fetches the likely CLAP, compares its text tower with the generator's, and keeps what was found for later loads.

    Returns its folder as the model's audio_encoder, or nothing if it is another space, could not be had, or if there is
    none to try. tell: of which it was, in a line.
    """
    clap = HUB_MODELS[name].likely_clap
    if clap is None:
        return {}
    try:
        folder = fetch_repo(clap, cache_dir=cache_dir, tell=tell)
        sources = _sources(name, clap, folders["generator"], folder)
        cosine = known_cosine(*sources, cache_folder(cache_dir))
        names = (f"generator ({sources[0]})", f"audio_encoder ({sources[1]})")
        if cosine is None:
            from echoframe.generators.audioldm import TextTower

            cosine = lowest_cosine(TextTower(folders["generator"]).embed, load_text_encoder(folder), names=names)
            keep_cosine(*sources, cosine, cache_folder(cache_dir))
        refuse_other_space(cosine, names)
    except BundleError as error:
        tell(f"{error}; {name} goes without a CLAP: candidates are not ranked, and nothing is extracted with it")
        return {}
    tell(f"one audio space: {clap.id} is {name}'s CLAP; the text towers have a cosine of {cosine:.4f} or more")
    return {"audio_encoder": folder}


def _sources(name: str, clap: Repo, generator: Path, folder: Path) -> tuple[str, str]:
    """Both repositories and commits, as "org/name@commit"."""
    return f"{HUB_MODELS[name].repos['generator'].id}@{generator.name}", f"{clap.id}@{folder.name}"
