"""The flow's network without the rest of the package: where only torch, numpy and safetensors are installed.

`echoframe.generators` brings audio files and spectrograms with it. What training needs of it (denoiser, layout, flow,
weights) does not, so that here the packages are named without being run, and jaxtyping's shapes are left unread.
"""

import importlib.util
import sys
import types
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "echoframe"
HEAVY = ("soundfile", "soxr", "jaxtyping")  # what the package's own import would need


class Unread:
    """`Float[Tensor, "batch"]` where jaxtyping is not: a note that nobody reads."""

    def __class_getitem__(cls, item: object) -> type:
        return object


def prepare() -> None:
    """Makes `import echoframe.generators.denoiser` work here; does nothing where the whole package can be imported."""
    whole = all(importlib.util.find_spec(name) for name in HEAVY)
    if "echoframe" in sys.modules or (whole and importlib.util.find_spec("echoframe")):
        return
    for name, folder in (("echoframe", SOURCE), ("echoframe.generators", SOURCE / "generators")):
        package = types.ModuleType(name)
        package.__path__ = [str(folder)]
        sys.modules[name] = package
    if not importlib.util.find_spec("jaxtyping"):
        shapes = types.ModuleType("jaxtyping")
        for kind in ("Float", "Int", "Bool", "Shaped"):
            setattr(shapes, kind, Unread)
        sys.modules["jaxtyping"] = shapes
