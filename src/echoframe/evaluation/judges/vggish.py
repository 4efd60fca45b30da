"""VGGish, the judge of FAD: AudioSet's embedding of 0.96-s patches, from the weights of harritaylor/torchvggish.

*Conventions* (PyPI torchvggish 0.2: mel_features.py, vggish_input.py, torchvggish.py; Hershey et al. 2017): 16 kHz;
magnitudes of a 512-point FFT over 25 ms, hop 10 ms, periodic Hann, frames not centred; 64 mel bands of 125-7500 Hz whose
triangles are straight in mel; log(x + 0.01); patches of 96 frames, one after the other, an incomplete one left out. As in
frechet_audio_distance and av-benchmark the last ReLU and the PCA are left out. A sound shorter than a patch is filled with
zeros to one, where torchvggish gives nothing.
"""

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from echoframe.encoders import FrozenModule, check_waveform
from echoframe.errors import BundleError
from echoframe.evaluation.judges import Heard
from echoframe.weights import load_weights, read_weights

FILE = "vggish-10086976.pth"
URL = f"https://github.com/harritaylor/torchvggish/releases/download/v0.1/{FILE}"
SHA256_BEGINS = "10086976"  # torch.hub's way to name a file
SAMPLE_RATE = 16_000  # Hz
WINDOW, HOP, N_FFT = 400, 160, 512  # samples
BANDS, F_MIN, F_MAX = 64, 125.0, 7500.0
FRAMES = 96  # 0.96 s
SHORTEST = (FRAMES - 1) * HOP + WINDOW
PATCHES_AT_ONCE = 32
LAYERS = (1, "pool", 2, "pool", 4, 4, "pool", 8, 8, "pool")  # channels in units of the first layer's


class VggishNetwork(nn.Module):
    """Log-mel patches to embeddings. width: channels of the first layer, hidden: of the two dense ones."""

    def __init__(self, *, width: int = 64, hidden: int = 4096, dim: int = 128) -> None:
        super().__init__()
        self.dim = dim
        layers: list[nn.Module] = []
        channels = 1
        for layer in LAYERS:
            if isinstance(layer, str):
                layers.append(nn.MaxPool2d(2))
            else:
                layers += [nn.Conv2d(channels, layer * width, 3, padding=1), nn.ReLU()]
                channels = layer * width
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(
            nn.Linear(channels * 6 * 4, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU(), nn.Linear(hidden, dim)
        )

    def forward(self, patches: Float[Tensor, "patches 96 64"]) -> Float[Tensor, "patches dim"]:
        """(P, 96, 64) -> (P, 128)."""
        seen = self.features(patches[:, None])  # (P, C, 6, 4)
        return self.embeddings(seen.permute(0, 2, 3, 1).flatten(1))  # TensorFlow's order: time, bands, channels


@lru_cache(maxsize=4)
def _basis(device: str) -> tuple[Tensor, Tensor]:
    def mel(hz: np.ndarray) -> np.ndarray:
        return 1127.0 * np.log(1.0 + hz / 700.0)

    bins = mel(np.linspace(0.0, SAMPLE_RATE / 2, N_FFT // 2 + 1))[:, None]
    lowest, highest = mel(np.array([F_MIN, F_MAX])).tolist()
    edges = np.linspace(lowest, highest, BANDS + 2)
    rising = (bins - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - bins) / np.diff(edges)[1:]
    weights = np.maximum(0.0, np.minimum(rising, falling))
    weights[0] = 0.0  # HTK leaves out the constant
    return torch.from_numpy(weights).to(device), torch.hann_window(WINDOW, dtype=torch.float64, device=device)


def log_mel_patches(waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch patches 96 64"]:
    """What the network sees of sounds at 16 kHz: (B, S) -> (B, P, 96, 64), computed in float64 as the original."""
    weights, window = _basis(str(waveform.device))
    samples = nn.functional.pad(waveform.double(), (0, max(SHORTEST - waveform.shape[1], 0)))
    spectrum = torch.fft.rfft(samples.unfold(1, WINDOW, HOP) * window, N_FFT).abs()  # (B, T, 257)
    frames = torch.log(spectrum @ weights + 0.01)
    return frames.unfold(1, FRAMES, FRAMES).transpose(2, 3).float()


class VggishJudge(FrozenModule):
    """Hears patches of 0.96 s as windows. No classes."""

    name = "vggish"
    sample_rate = SAMPLE_RATE
    classes = 0
    source = f"harritaylor/torchvggish, Apache-2.0: {URL}"

    def __init__(self, path: Path, *, device: str | torch.device = "cpu", network: VggishNetwork | None = None) -> None:
        """path: torchvggish's file, or its weights as safetensors under the same names. network: a smaller relative.

        Raises BundleError if the file is missing, is not what its name says, or holds anything else.
        """
        super().__init__()
        weights, self.sha256 = _read(path)
        self.network = network or VggishNetwork()
        load_weights(self.network, path, weights=weights)
        self.dim = self.network.dim
        self.to(device)
        self.freeze()

    @torch.no_grad()
    def __call__(self, waveform: Float[Tensor, "batch samples"]) -> Heard:
        """(B, S) in [-1, 1] at 16 kHz -> embeddings (B, P, 128). Raises AudioError if a sample is not finite."""
        check_waveform(waveform)
        patches = log_mel_patches(waveform.to(next(self.network.parameters()).device))
        outputs = [self.network(some) for some in patches.flatten(0, 1).split(PATCHES_AT_ONCE)]
        return Heard(embeddings=torch.cat(outputs).unflatten(0, patches.shape[:2]))


def _read(path: Path) -> tuple[dict[str, Tensor], str]:
    if not path.is_file():
        raise BundleError(f"{path}: no such file, expected VGGish's weights; fetch {URL}")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if path.name == FILE and not digest.startswith(SHA256_BEGINS):
        raise BundleError(f"{path}: sha256 {digest[:8]}..., its name says {SHA256_BEGINS}...; fetch {URL} again")
    if path.suffix == ".safetensors":
        return read_weights(path), digest
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle raises nearly anything
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BundleError(f"{path}: not readable as VGGish's weights ({reason}); fetch {URL} again") from error
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise BundleError(f"{path}: holds no weights by name; expected {FILE} from {URL}")
    return content, digest
