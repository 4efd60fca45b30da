"""EchoFrame gives silent video its sound.

>>> from echoframe import load
>>> load("mini").generate("clip.mp4", seed=0).save("clip.wav")  # doctest: +SKIP

Names are imported when first used, so that `import echoframe` alone loads no torch.
"""

TYPE_CHECKING = False  # typing's own constant would cost a third of python's start
if TYPE_CHECKING:
    from echoframe.bundles.bundle import available_models
    from echoframe.errors import (
        AudioError,
        BundleError,
        ConfigError,
        DeviceError,
        EchoFrameError,
        InputError,
        OutputError,
        VideoError,
    )
    from echoframe.loading import load, remake
    from echoframe.options import Request, SampleOptions, Spot
    from echoframe.pipeline import EchoFrame
    from echoframe.provenance import Provenance, read_provenance
    from echoframe.sound import Sound
    from echoframe.sound.expected import Expected
    from echoframe.spec import ClipSpec

    __version__: str

_HOMES = {
    "AudioError": "errors",
    "BundleError": "errors",
    "ClipSpec": "spec",
    "ConfigError": "errors",
    "DeviceError": "errors",
    "EchoFrame": "pipeline",
    "EchoFrameError": "errors",
    "Expected": "sound.expected",
    "InputError": "errors",
    "OutputError": "errors",
    "Provenance": "provenance",
    "Request": "options",
    "SampleOptions": "options",
    "Sound": "sound",
    "Spot": "options",
    "VideoError": "errors",
    "available_models": "bundles.bundle",
    "load": "loading",
    "read_provenance": "provenance",
    "remake": "loading",
}
__all__ = [
    "AudioError",
    "BundleError",
    "ClipSpec",
    "ConfigError",
    "DeviceError",
    "EchoFrame",
    "EchoFrameError",
    "Expected",
    "InputError",
    "OutputError",
    "Provenance",
    "Request",
    "SampleOptions",
    "Sound",
    "Spot",
    "VideoError",
    "__version__",
    "available_models",
    "load",
    "read_provenance",
    "remake",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version  # slow to import: four times python's own start

        return version("echoframe")
    if name not in _HOMES:
        raise AttributeError(f"module 'echoframe' has no attribute '{name}'; it has {', '.join(__all__)}")
    from importlib import import_module

    return getattr(import_module(f"echoframe.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
