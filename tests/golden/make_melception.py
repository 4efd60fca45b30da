"""Writes melception.npz: what torchvision's Inception3 and librosa say, the second opinions on our Melception.

Needs librosa and one file of torchvision. Neither may be installed where the tests run (torchvision pulls a torch of its
own, and one that does not fit breaks transformers), so:

    pip download --no-deps --dest /tmp torchvision && unzip -d /tmp/torchvision /tmp/torchvision-*.whl
    pip install --target /tmp/librosa librosa
    PYTHONPATH=/tmp/librosa python tests/golden/make_melception.py /tmp/torchvision/torchvision/models/inception.py
"""

import importlib.util
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

FILE = Path(__file__).with_name("melception.npz")
SHORT, FULL = 96, 848  # frames
SAMPLES_KEPT = 48  # of a layer's output


def planted_weights(shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """Weights that keep a signal alive through all layers, each drawn in the order of the names."""
    random = np.random.RandomState(0)  # numpy promises never to change what it draws
    weights: dict[str, Tensor] = {}
    for name in sorted(shapes):
        shape = tuple(shapes[name])
        if name.endswith("num_batches_tracked"):
            weights[name] = torch.tensor(1)
        elif len(shape) > 1:
            spread = (2 / np.prod(shape[1:])) ** 0.5
            weights[name] = torch.from_numpy((random.standard_normal(shape) * spread).astype(np.float32))
        else:
            low, high = (-0.2, 0.2) if name.endswith(("bias", "running_mean")) else (0.5, 1.5)
            weights[name] = torch.from_numpy(random.uniform(low, high, shape).astype(np.float32))
    return weights


def planted_spectrogram(frames: int) -> Tensor:
    """(1, 80, frames), standard normal."""
    return torch.from_numpy(np.random.RandomState(1).standard_normal((1, 80, frames)).astype(np.float32))


def planted_waveform(samples: int) -> np.ndarray:
    """(samples,) float32 at 22.05 kHz: a rising tone, and noise that comes and goes."""
    seconds = np.arange(samples) / 22_050
    noise = np.random.RandomState(2).standard_normal(samples) * 0.2 * np.sin(np.pi * seconds) ** 8
    return (0.3 * np.sin(2 * np.pi * (200 + 300 * seconds) * seconds) + noise).astype(np.float32)


def kept(output: Tensor) -> np.ndarray:
    """Numbers from all over an output, mean and standard deviation behind them."""
    flat = output.double().flatten()
    places = torch.linspace(0, len(flat) - 1, SAMPLES_KEPT, dtype=torch.float64).long()
    return torch.cat([flat[places], flat.mean()[None], flat.std()[None]]).numpy()


def watch(network: nn.Module, names: Iterable[str], heard: dict[str, np.ndarray]) -> None:
    """Puts what is kept of those layers' outputs into `heard`, as "layer NAME", whenever the network runs."""
    for name in names:

        def keep(_: nn.Module, __: object, output: Tensor, name: str = name) -> None:
            heard[f"layer {name}"] = kept(output)

        network.get_submodule(name).register_forward_hook(keep)


def torchvisions_network(path: Path) -> nn.Module:
    """Inception3 of the file at `path`, without the rest of torchvision, changed as Melception changes it."""
    theirs = _module(path)
    network = theirs.Inception3(num_classes=309, init_weights=False)
    network.Conv2d_1a_3x3 = theirs.BasicConv2d(1, 32, kernel_size=3, stride=2)
    network.maxpool1, network.maxpool2 = nn.Identity(), nn.Identity()
    return network.eval()


def _module(path: Path) -> ModuleType:
    """The file as a module of a made-up package, in which all that a network does not need is a stub."""

    def ignore(*_: Any, **__: Any) -> Any:
        return lambda function: function

    stubs: dict[str, dict[str, object]] = {
        "": {},
        ".models": {},
        ".transforms": {},
        ".transforms._presets": {"ImageClassification": ignore},
        ".utils": {"_log_api_usage_once": ignore},
        ".models._api": {"register_model": ignore, "Weights": ignore, "WeightsEnum": object},
        ".models._meta": {"_IMAGENET_CATEGORIES": []},
        ".models._utils": {"_ovewrite_named_param": ignore, "handle_legacy_interface": ignore},
    }
    for name, contents in stubs.items():
        stub = ModuleType(f"peer_vision{name}")
        stub.__path__ = []
        vars(stub).update(contents)
        sys.modules[stub.__name__] = stub
    spec = importlib.util.spec_from_file_location("peer_vision.models.inception", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def librosas_frames(waveform: np.ndarray) -> np.ndarray:
    """SpecVQGAN's spectrogram, (80, 848): the middle frames of 860."""
    import librosa  # pyright: ignore[reportMissingImports]

    padded = np.zeros(220_500, np.float32)
    padded[: len(waveform)] = waveform[:220_500]
    # librosa 0.8.0, theirs, mirrors the ends by default; later ones do not
    magnitude = np.abs(librosa.stft(padded, n_fft=1024, hop_length=256, pad_mode="reflect"))
    mel = librosa.filters.mel(sr=22_050, n_fft=1024, fmin=125, fmax=7600, n_mels=80) @ magnitude
    scaled = (np.log10(np.maximum(mel, 1e-5)) * 20 - 20 + 100) / 100
    return np.clip(scaled, 0, 1)[:, :860][:, 6:854]


def main(inception: Path) -> None:
    network = torchvisions_network(inception)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    network.load_state_dict(planted_weights(shapes), strict=True)
    arrays: dict[str, np.ndarray] = {
        "names": np.array(list(shapes)),
        "shapes": np.array([" ".join(map(str, shape)) for shape in shapes.values()]),
    }
    unwatched = ("AuxLogits", "maxpool1", "maxpool2", "avgpool", "dropout", "fc")
    watch(network, [name for name, _ in network.named_children() if name not in unwatched], arrays)
    network.get_submodule("avgpool").register_forward_hook(
        lambda _, __, output: arrays.update({"embeddings": output.flatten().numpy()})
    )
    with torch.no_grad():
        for frames in (FULL, SHORT):  # of the layers, the short one's stay
            logits = network(planted_spectrogram(frames)[:, None])[0].numpy()
            arrays |= {f"logits {frames}": logits, f"embeddings {frames}": arrays.pop("embeddings")}
    for seconds in (3, 10, 12):
        arrays[f"mel {seconds}"] = librosas_frames(planted_waveform(seconds * 22_050))[:, ::24].astype(np.float32)
    np.savez_compressed(FILE, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
