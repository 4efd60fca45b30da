"""Judges by name, and where their weights are."""

from collections.abc import Callable
from pathlib import Path

import torch

from echoframe.device import resolve_device
from echoframe.errors import InputError
from echoframe.evaluation.judges import Judge
from echoframe.evaluation.judges.aisfx import AisfxJudge
from echoframe.evaluation.judges.clap import ClapJudge
from echoframe.evaluation.judges.fetch import find_weights
from echoframe.evaluation.judges.melception import MelceptionJudge
from echoframe.evaluation.judges.panns import PannsJudge
from echoframe.evaluation.judges.passt import PasstJudge
from echoframe.evaluation.judges.vggish import VggishJudge
from echoframe.evaluation.judges.yamnet import YamnetJudge

JUDGES: dict[str, tuple[str, Callable[..., Judge]]] = {
    "aisfx": ("", AisfxJudge),
    "vggish": (VggishJudge.source, VggishJudge),
    "panns-16k": (PannsJudge.source, PannsJudge),
    "passt": (PasstJudge.source, PasstJudge),
    "melception": (MelceptionJudge.source, MelceptionJudge),
    "clap": (ClapJudge.source, ClapJudge),
    "yamnet": (YamnetJudge.source, YamnetJudge),
}


def load_judge(name: str, *, weights: Path | None = None, device: str | torch.device = "auto") -> Judge:
    """The judge of that name. weights: its file, or its folder, or none for those that were fetched with `echoframe evaluate
    pull`; aiSFX ships with mini and needs none.

    Raises InputError for a name that is not known, or weights that are needed and not given.
    """
    if name not in JUDGES:
        raise InputError(f'"{name}": no such judge; the judges are {", ".join(JUDGES)}')
    source, make = JUDGES[name]
    if weights is None and source:
        weights = find_weights(name)
    if weights is None and source:
        raise InputError(
            f"{name}: its weights are not part of EchoFrame ({source}); give them as --weights {name}=FILE"
        )
    return make(weights, device=resolve_device(str(device)))
