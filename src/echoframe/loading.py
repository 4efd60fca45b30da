"""Models ready to use: from a bundle to a cascade, and from a record to the same samples again."""

from pathlib import Path

from echoframe.bundles.bundle import Bundle, load_bundle
from echoframe.bundles.trained import load_trained
from echoframe.media.frame_array import Clip, NoPicture
from echoframe.media.video import VideoInfo, probe
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback
from echoframe.provenance import (
    OLD_FORMAT,
    BundleId,
    Provenance,
    check_from_file,
    check_same_bundle,
    check_same_input,
    check_same_mapper,
)
from echoframe.sound import Sound
from echoframe.sound.rendering import N_DRAWS


def load(
    name_or_path: str | Path = "mini",
    *,
    mapper: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    cache_dir: Path | None = None,
) -> EchoFrame:
    """Loads a model. It uses no network: `echoframe models pull NAME` fetches the models that are not in the package.

    Args:
        name_or_path: a name from `available_models()`, the folder of a bundle, or a repository of the Hugging Face hub.
        mapper: the folder of a finished run of `echoframe train`, or a mapper's own folder: it is used in the place of
            the model's own mapper, and sees the frames that it was trained on.
        device: "auto" takes a GPU if there is one; or "cpu", "cuda", "cuda:1", "mps".
        dtype: "auto", "float32", "float16" or "bfloat16": the numbers that the networks compute with.
        cache_dir: where models of the hub lie; the default is the hub's own cache.

    Returns:
        The cascade, ready to `generate`.

    Raises:
        BundleError: the model is not known or not here, a file is missing or altered, or its parts do not fit together.
        DeviceError: the device or the number format is not there.
    """
    bundle = load_bundle(name_or_path, device=device, dtype=dtype, cache_dir=cache_dir)
    model = from_bundle(bundle, source=str(name_or_path))
    if mapper is not None:
        trained = load_trained(Path(mapper), bundle.manifest, device=bundle.device)
        model.use_mapper(trained.mapper, source=str(Path(mapper).resolve()))
        model.clip_spec = trained.clip_spec or model.clip_spec
    return model


def from_bundle(bundle: Bundle, *, source: str = "") -> EchoFrame:
    """The cascade of a loaded bundle. source: what it was asked for as, so that a result can be made again."""
    identity = BundleId(
        source=source or bundle.name,
        name=bundle.name,
        version=bundle.manifest.version,
        revision=bundle.revision,
        sha256=bundle.sha256,
    )
    return EchoFrame(
        bundle.visual_encoder,
        bundle.mapper,
        bundle.generator,
        audio_encoder=bundle.audio_encoder,
        labels=bundle.labels,
        clip_spec=bundle.clip_spec,
        defaults=bundle.manifest.defaults,
        identity=identity,
        device=str(bundle.device),
        dtype=str(bundle.dtype).removeprefix("torch."),
    )


def remake(
    model: EchoFrame, provenance: Provenance, *, info: Clip | None = None, progress: ProgressCallback | None = None
) -> Sound:
    """Makes the same samples again.

    Args:
        model: the model that made the sound.
        provenance: the record beside the sound, from `read_provenance`.
        info: what `echoframe.media.video.probe` found in the clip, if it lies elsewhere now.
        progress: as in `EchoFrame.generate`.

    Returns:
        The sound. On the same device with the same versions its samples are the same to the last bit.

    Raises:
        InputError: the clip or the example has changed, or the clip was an array in memory.
        BundleError: the sound was made with another bundle, or with another mapper.
    """
    check_from_file(provenance)
    check_same_bundle(provenance, model.identity)
    check_same_mapper(provenance, model.mapper_id)
    clip: Clip = info or (probe(Path(provenance.input.path)) if provenance.input.path else NoPicture())
    if isinstance(clip, VideoInfo):
        check_same_input(provenance.input, clip.path)
    if provenance.example:
        check_same_input(provenance.example, Path(provenance.settings.like))
    own_chance = provenance.format != OLD_FORMAT
    n_draws = N_DRAWS if provenance.result.redrawn else 1
    return model.render(clip, provenance.settings, own_chance=own_chance, n_draws=n_draws, progress=progress)
