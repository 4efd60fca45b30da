"""A trained mapper joined with encoders and a generator into a bundle that `echoframe generate --model` takes."""

import shutil
from dataclasses import replace
from pathlib import Path

from echoframe.bundles.bundle import Located, find_bundle, save_bundle
from echoframe.bundles.check import one_space
from echoframe.bundles.manifest import MANIFEST, Manifest, Part, Space, check_files, check_fit
from echoframe.bundles.trained import check_encoders
from echoframe.config import from_dict
from echoframe.errors import InputError
from echoframe.mappers.networks import save_mapper
from echoframe.output import atomic_folder, make_folder
from echoframe.spec import ClipSpec
from echoframe.training.card import CARD
from echoframe.training.compare import load
from echoframe.training.run_folder import MAPPER, RUN, is_whole, read_about, read_result

MODEL_CARD = "MODEL_CARD.md"
UNSTATED = "LicenseRef-unstated"

_CARD = """# {name}

A cascade of {visual_source}, a {kind} mapper and {generator_source}, joined by EchoFrame. Its licence is the strictest of
its parts', {licence}:

| part | kind | source | licence |
|---|---|---|---|
{parts}

```sh
echoframe generate clip.mp4 --model {name}
```

The mapper's own card, with its data and figures, is [mapper/{card}](mapper/{card}).
"""


def write_bundle(
    run: Path,
    out: Path,
    *,
    generator: str,
    encoders: str | None = None,
    name: str | None = None,
    licence: str = UNSTATED,
) -> Manifest:
    """Writes the bundle `out` of the mapper of a finished run, and the parts of two models, whole or not at all.

    generator: whose generator and labels. encoders: whose encoders, the same model's unless given. name: of the folder
    unless given. licence: SPDX name of the mapper's. An `out` that is the same bundle stays as it is. Raises InputError if
    `out` is anything else, BundleError if spaces differ.
    """
    if out.exists() and not (out / MANIFEST).is_file():
        raise InputError(f"{out}: exists already and is not a bundle; choose another folder, or remove it")
    make_folder(out.parent)
    result = read_result(run)
    if not is_whole(run):
        raise InputError(
            f"{run / MAPPER}: is incomplete; continue with echoframe train --resume, which writes it again"
        )
    about = read_about(run)
    sounding, seeing = find_bundle(generator), find_bundle(encoders or generator)
    found = _chosen(seeing, ("visual_encoder", "audio_encoder")) | _chosen(sounding, ("generator", "labels"))
    mapper = load(run)
    visual, audio = (
        Space(name=about["encoders"][part]["space"], dim=about["encoders"][part]["dim"])
        for part in ("visual_encoder", "audio_encoder")
    )
    parts = {key: part for key, (part, _) in found.items()}
    parts["mapper"] = Part(
        kind=mapper.config.kind, licence=licence, source="echoframe train", takes=visual, gives=audio
    )
    manifest = Manifest(
        name=name or out.name,
        version="1",
        sample_rate=sounding.manifest.sample_rate,
        parts=parts,
        clip=from_dict(ClipSpec, about["clip"], name=str(run / RUN)),
        defaults=sounding.manifest.defaults,
        metrics={"mapper": result.figures.values()},
    )
    check_fit(manifest)
    one_space(parts, {key: folder for key, (_, folder) in found.items()}, device="cpu")
    check_encoders(seeing.manifest, about["encoders"], run)
    with atomic_folder(out) as partial:
        for key, (_, folder) in found.items():
            shutil.copytree(folder, partial / key)
        save_mapper(mapper, partial / MAPPER)
        shutil.copy(run / MAPPER / CARD, partial / MAPPER / CARD)
        (partial / MODEL_CARD).write_text(_card(manifest), encoding="utf-8")
        complete = save_bundle(partial, manifest)
        if out.exists():
            if (out / MANIFEST).read_bytes() != (partial / MANIFEST).read_bytes():
                raise InputError(f"{out}: exists already and is another bundle; choose another folder, or remove it")
            check_files(out, complete, hashes=True)  # made before, to be pushed now
            shutil.rmtree(partial)
    return complete


def _chosen(located: Located, names: tuple[str, ...]) -> dict[str, tuple[Part, Path]]:
    parts = {name: part for name, part in located.manifest.parts.items() if name in names}
    if located.path is not None:
        check_files(located.path, replace(located.manifest, parts=parts), hashes=True)
    return {name: (replace(part, files=()), located.folders[name]) for name, part in parts.items()}


def _card(manifest: Manifest) -> str:
    parts = manifest.parts
    return _CARD.format(
        name=manifest.name,
        visual_source=parts["visual_encoder"].source or parts["visual_encoder"].kind,
        kind=parts["mapper"].kind,
        generator_source=parts["generator"].source or parts["generator"].kind,
        licence=manifest.licence,
        parts="\n".join(f"| {key} | {part.kind} | {part.source} | {part.licence} |" for key, part in parts.items()),
        card=CARD,
    )
