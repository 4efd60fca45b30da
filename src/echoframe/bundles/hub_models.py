"""The models of the Hugging Face hub that have a name here: their repositories, pinned to commits where one is known."""

import re
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Repo:
    """A hub repository. revision: a commit, or "main". weights: folders in it that have to hold some."""

    id: str
    licence: str
    revision: str = "main"
    weights: tuple[str, ...] = (".",)


@dataclass(frozen=True, kw_only=True, slots=True)
class HubModel:
    """repos: part name to repository. Without a mapper the zero-shot bridge is built when the model is loaded.

    likely_clap: what becomes the audio_encoder once it is proven to be the generator's (`likely_clap.py`).
    """

    name: str
    about: str
    repos: dict[str, Repo]
    likely_clap: Repo | None = None

    def repo(self, part: str) -> Repo:
        """The repository of a part that this model has."""
        if part == "audio_encoder" and part not in self.repos and self.likely_clap:
            return self.likely_clap
        return self.repos[part]


# On the hub's main branch ViT-B/32 and CLAP are pickles only: these commits add the same weights as safetensors.
CLIP_LARGE = Repo(
    id="openai/clip-vit-large-patch14", licence="MIT", revision="32bd64288804d66eefd0ccbe215aa642df71cc41"
)
CLIP_BASE = Repo(id="openai/clip-vit-base-patch32", licence="MIT", revision="c237dc49a33fc61debc9276459120b7eac67e7ef")
CLAP = Repo(id="laion/clap-htsat-unfused", licence="Apache-2.0", revision="79b58ed25fc00386262a2bea4b19fd21dc4310a0")
LARGER_CLAP = Repo(id="laion/larger_clap_general", licence="Apache-2.0")
_GENERATORS = {"s": "cvssp/audioldm-s-full-v2", "m": "cvssp/audioldm-m-full", "l": "cvssp/audioldm-l-full"}
# the commits that are known; main, where none is
_REVISIONS = {"s": "c6d8a04dee624d59d834519ff2f34d3f16391605"}
_GENERATOR_WEIGHTS = ("unet", "vae", "vocoder", "text_encoder")
# repository: file: sha256. The pickles of audioldm-s-full-v2, and what its safetensors are later on
PINNED_WEIGHTS: dict[str, dict[str, str]] = {
    "cvssp/audioldm-s-full-v2": {
        "unet/diffusion_pytorch_model.bin": "d30778d539a99dd15d24e922116a0303ba4c81ffb49f392b69d47cb6e1f7aee6",
        "unet/diffusion_pytorch_model.safetensors": "fc30d5b5a3bb8d08672736efb1fff10755ba7024dace39b2dcb579a105aa2a5a",
        "vae/diffusion_pytorch_model.bin": "e3fc8ccecb1849c8a23cd4f9dd959eb7aaa203cc010386288418dbc551cdaaf7",
        "vocoder/pytorch_model.bin": "f9fbefc2b31c85d1dabe98e53d09ac88039af411162a7e641040a9c2b5f62364",
        "text_encoder/pytorch_model.bin": "0292e65e99024f2d21f0a59b718f0e4914546e4287e2dabdd2d7e4a95c169f7b",
    }
}


def _audioldm(size: str, clip: Repo, suffix: str) -> HubModel:
    generator = Repo(
        id=_GENERATORS[size],
        licence="CC-BY-NC-SA-4.0",
        revision=_REVISIONS.get(size, "main"),
        weights=_GENERATOR_WEIGHTS,
    )
    repos = {"visual_encoder": clip, "generator": generator}
    if size != "m":
        repos["audio_encoder"] = CLAP
    likely = LARGER_CLAP if size == "m" else None  # m was trained with HTSAT-base, and this CLAP has that
    about = f"{generator.id} seen through {clip.id}, by the zero-shot bridge"
    return HubModel(name=f"audioldm-{size}{suffix}", about=about, repos=repos, likely_clap=likely)


HUB_MODELS: dict[str, HubModel] = {
    model.name: model
    for size in _GENERATORS
    for model in (_audioldm(size, CLIP_LARGE, ""), _audioldm(size, CLIP_BASE, "-vitb32"))
}


def is_repo_id(name: str) -> bool:
    """Whether `name` could be a hub repository: "organisation/name".

    >>> is_repo_id("someone/my-bundle"), is_repo_id("mini"), is_repo_id("./here/mine")
    (True, False, False)
    """
    return re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", name) is not None
