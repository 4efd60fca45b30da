"""VGGish, the judge of FAD: AudioSet's embedding of 0.96-s patches, from the weights of harritaylor/torchvggish.

*Conventions* (PyPI torchvggish 0.2: mel_features.py, vggish_input.py, torchvggish.py; Hershey et al. 2017): 16 kHz;
magnitudes of a 512-point FFT over 25 ms, hop 10 ms, periodic Hann, frames not centred; 64 mel bands of 125-7500 Hz whose
triangles are straight in mel; log(x + 0.01); patches of 96 frames, one after the other, an incomplete one left out. As in
frechet_audio_distance and av-benchmark the last ReLU and the PCA are left out. A sound shorter than a patch is filled with
zeros to one, where torchvggish gives nothing.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from echoframe.encoders import FrozenModule, check_waveform
from echoframe.evaluation.judges import Heard
from echoframe.evaluation.judges.checkpoint import Published, read_checkpoint
from echoframe.weights import load_weights

PUBLISHED = Published(
    what="VGGish",
    file="vggish-10086976.pth",
    url="https://github.com/harritaylor/torchvggish/releases/download/v0.1/vggish-10086976.pth",
    digest="10086976",  # torch.hub's way to name a file
)
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
    source = f"harritaylor/torchvggish, Apache-2.0: {PUBLISHED.url}"

    def __init__(self, path: Path, *, device: str | torch.device = "cpu", network: VggishNetwork | None = None) -> None:
        """path: torchvggish's file, or its weights as safetensors under the same names. network: a smaller relative.

        Raises BundleError if the file is missing, is not what its name says, or holds anything else.
        """
        super().__init__()
        weights, self.sha256 = read_checkpoint(path, PUBLISHED)
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
