"""The two encoders of a model, without the rest of it: what they are, and a decoded clip through both."""

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from echoframe.bundles.bundle import EMBEDDED, LOADERS, Located, find_bundle
from echoframe.bundles.hub_models import HUB_MODELS
from echoframe.bundles.manifest import Part, Space, check_files
from echoframe.data.decode import Clip
from echoframe.data.embedding_manifest import EncoderFacts
from echoframe.data.embedding_set import Row, Shape
from echoframe.device import resolve_device, resolve_dtype
from echoframe.encoders import encoder_kind
from echoframe.errors import BundleError
from echoframe.media.audio import resample
from echoframe.output import file_sha256

_HASHED = ("config.json", "preprocessor_config.json", "model.safetensors")


@dataclass(frozen=True, kw_only=True, slots=True)
class EncoderChoice:
    """Which encoders, and on what they run. model: as in `bundle.find_bundle`. device, dtype: as in `load_bundle`."""

    model: str | Path
    device: str = "auto"
    dtype: str = "auto"
    cache_dir: Path | None = None

    def find(self) -> Located:
        """Where the encoders lie. Raises BundleError for another file than the bundle says, or a space without a name."""
        located = find_bundle(self.model, cache_dir=self.cache_dir)
        manifest = located.manifest
        parts = {name: part for name, part in manifest.parts.items() if name in ("visual_encoder", "audio_encoder")}
        if located.path is not None:
            check_files(located.path, replace(manifest, parts=parts), hashes=True)
        for name, part in parts.items():
            if part.gives is None:
                raise BundleError(f"{manifest.name}: {name} gives no named space; save the bundle again with one")
        return replace(located, manifest=replace(manifest, parts=parts))

    def sound_rate(self) -> int:
        """Hz that a sound is brought to before the audio encoder hears it; 0: it hears sounds as they are.

        AudioLDM's conditions were made of 16-kHz sounds (haoheliu/AudioLDM, `audioldm/clap/encoders.py`, sampling_rate), so
        CLAP has to hear the same band for a target of its space.
        """
        manifest = find_bundle(self.model, cache_dir=self.cache_dir).manifest
        kinds = {name: part.kind for name, part in manifest.parts.items()}
        of_audioldm = (kinds.get("generator"), kinds.get("audio_encoder")) == ("audioldm", "clap")
        return manifest.sample_rate if of_audioldm else 0


def from_anywhere(model: str | Path) -> str | Path:
    """`model` as a process in another folder finds it: names as they are, directories absolute."""
    if isinstance(model, str) and (model in EMBEDDED or model in HUB_MODELS):
        return model
    return Path(model).resolve() if Path(model).is_dir() else model


def load_encoders(choice: EncoderChoice, names: Collection[str]) -> dict[str, Any]:
    """Those of the encoders called `names` that the model has, on the device of the choice."""
    device = resolve_device(choice.device)
    dtype = resolve_dtype(choice.dtype, device)
    located = choice.find()
    parts = {name: part for name, part in located.manifest.parts.items() if name in names}
    return {name: LOADERS[part.kind][1](located.folders[name], device, dtype) for name, part in parts.items()}


class ClipEncoder:
    """Decoded clips to embeddings. One clip at a time: its frames are a batch, and no other clip changes its numbers."""

    def __init__(self, choice: EncoderChoice) -> None:
        loaded = load_encoders(choice, ("visual_encoder", "audio_encoder"))
        self.visual, self.audio = loaded["visual_encoder"], loaded.get("audio_encoder")
        self._sound_rate = choice.sound_rate()

    def __call__(self, clip: Clip) -> Row:
        """The clip's embeddings. Raises AudioError for a sound with NaN or infinite samples."""
        visual = self.visual(clip.images).cpu().numpy().astype(np.float16)
        audio = np.zeros(0, dtype=np.float32)
        if self.audio is not None:
            # into torch's own memory: a sum can depend on where its numbers are aligned
            sound, rate = torch.tensor(clip.sound)[None], clip.sample_rate
            if self._sound_rate:
                sound, rate = resample(sound, rate, self._sound_rate), self._sound_rate
            audio = self.audio(sound, rate)[0].cpu().numpy()
        return Row(visual=visual, mask=clip.mask, audio=audio, duration_s=clip.duration_s)


def shape_of(located: Located) -> Shape:
    """The numbers of every row."""
    spaces = {name: part.gives or Space(name="", dim=0) for name, part in located.manifest.parts.items()}
    audio = spaces.get("audio_encoder")
    return Shape(
        n_frames=located.manifest.clip.n_frames,
        visual_dim=spaces["visual_encoder"].dim,
        audio_dim=audio.dim if audio else 0,
    )


def short_side_of(folder: Path) -> int:
    """The pixels at which the visual encoder in `folder` looks at a frame, from its configs: no weights are read."""
    if encoder_kind(folder) == "efficientnet_lite":
        from echoframe.encoders.efficientnet_lite import EfficientNetLiteEncoder

        return EfficientNetLiteEncoder.short_side
    from echoframe.encoders.clip import ClipPixels

    return ClipPixels.from_directory(folder).short_side


def describe(located: Located) -> dict[str, EncoderFacts]:
    """What a manifest of embeddings says of their encoders: kind, source, licence, space, and sha256 of every file."""
    parts = located.manifest.parts
    return {name: _described(parts[name], located.folders[name]) for name in sorted(parts, reverse=True)}


def _described(part: Part, folder: Path) -> EncoderFacts:
    # a hub model has no list of files: its manifest was made from its configs
    files = {file.path: file.sha256 for file in part.files} or {
        name: file_sha256(folder / name) for name in _HASHED if (folder / name).is_file()
    }
    space = part.gives or Space(name="", dim=0)
    return EncoderFacts(
        kind=part.kind, source=part.source, licence=part.licence, space=space.name, dim=space.dim, files=files
    )
