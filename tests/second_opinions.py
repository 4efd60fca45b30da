"""Where the packages lie whose networks are the second opinion on ours (installed without their dependencies)."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import echoframe

LITE_FILE = "models/efficientnet-lite0-57934424.pth"


def package_folder(name: str) -> Path:
    """The folder of an installed package, found without importing it; skips the test where it is not installed."""
    found = importlib.util.find_spec(name)
    if found is None or found.origin is None:
        pytest.skip(f"{name} is not installed; pip install --no-deps it")
    return Path(found.origin).parent


def module_from_file(path: Path) -> ModuleType:
    """One file of a package, without the rest of it: aisfx's __init__ imports libraries that clash with ours."""
    found = importlib.util.spec_from_file_location(f"peer_{path.stem}", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def bundled(part: str) -> Path | None:
    """A part of the bundle that ships with the package, if it is there."""
    folder = Path(echoframe.__file__).parent / "bundles" / "mini" / part
    return folder if (folder / "model.safetensors").is_file() else None
