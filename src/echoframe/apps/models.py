"""`echoframe models list`, `info`, `pull` and `check`. All work is in `bundles/`."""

import argparse
from pathlib import Path

from echoframe.bundles.bundle import EMBEDDED, find_bundle
from echoframe.bundles.check import check_bundle, pull_model
from echoframe.bundles.hub_models import HUB_MODELS
from echoframe.errors import EchoFrameError
from echoframe.generators.attention_heads import told_heads

OK = 0


def list_(_: argparse.Namespace) -> int:
    about = dict.fromkeys(EMBEDDED, "the embedded model: small, needs no network")
    about |= {name: model.about for name, model in HUB_MODELS.items()}
    for name, text in about.items():
        try:
            find_bundle(name)
            state = "here"
        except EchoFrameError:
            state = "pull"
        print(f"{name:20} {state:5} {text}")
    return OK


def info(args: argparse.Namespace) -> int:
    located = find_bundle(args.model)
    manifest = located.manifest
    print(f"{manifest.name} {manifest.version}, {manifest.sample_rate} Hz, licence {manifest.licence}")
    for name, part in manifest.parts.items():
        spaces = " -> ".join(str(space) for space in (part.takes, part.gives) if space)
        print(f"  {name:15} {part.kind:20} {part.licence:24} {spaces}")
        print(f"  {'':15} {part.source}")
        heads = told_heads(located.folders[name]) if part.kind == "audioldm" else ""
        if heads:
            print(f"  {'':15} {heads}")
    options = manifest.defaults
    print(f"  by default {options.steps} steps of {options.scheduler}, guidance {options.guidance:g}")
    print(f"  revision {located.revision or 'none'}, sha256 {located.sha256}")
    return OK


def pull(args: argparse.Namespace) -> int:
    if args.model in EMBEDDED:
        print(f"{args.model} comes with the package: nothing to fetch")
        return OK
    for name, folder in pull_model(args.model, tell=print).items():
        print(f"{name:15} {folder}")
    return OK


def check(args: argparse.Namespace) -> int:
    sounds = [Path(path) for path in args.sounds]
    for line in check_bundle(args.model, sounds=sounds, schedulers=args.schedulers, device="cpu"):
        print(line)
    return OK
