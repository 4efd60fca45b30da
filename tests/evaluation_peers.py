"""The files of other evaluation packages that hold their arithmetic, without what these packages need to hear a sound."""

import importlib.util
import sys
from types import ModuleType
from unittest.mock import MagicMock

import pytest

from second_opinions import package_folder

HEAVY = ("hypy_utils", "torchaudio", "resampy", "laion_clap", "encodec")


def peer(monkeypatch: pytest.MonkeyPatch, package: str, name: str) -> ModuleType:
    """One file of a package, with stand-ins for what it imports but its arithmetic does not use."""
    folder = package_folder(package)
    found = importlib.util.spec_from_file_location(f"{package}.{name}", folder / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    others = ["model_loader", "emb_loader", "utils", "models", "models.pann"]
    ours = [f"{package}.{other}" for other in others]
    hypy = [f"hypy_utils.{other}" for other in ("tqdm_utils", "logging_utils")]
    for stand_in in (package, *ours, *HEAVY, *hypy):
        monkeypatch.setitem(sys.modules, stand_in, MagicMock(__all__=["PathLike"], __path__=[]))
    monkeypatch.setattr(sys.modules["hypy_utils.tqdm_utils"], "tq", lambda some, **_: some)  # a progress bar
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module
