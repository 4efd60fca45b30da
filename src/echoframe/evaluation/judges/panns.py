"""PANNs Cnn14: AudioSet's 527 classes, the judge of FD, KL and IS in AudioLDM's and MMAudio's tables.

*Conventions* (qiuqiangkong/audioset_tagging_cnn, MIT, pytorch/models.py; PyPI panns-inference 0.1.1, torchlibrosa
0.1.0, audioldm_eval 0.0.3, feature_extractors/panns/models.py; Kong et al. 2020): Cnn14_16k, the one that both tables
use: 16 kHz, windows of 512 samples, hop 160, centred, ends mirrored; 64 bands of the power; 10 log10 of at least
1e-10. Fourier kernels and bands are weights of the file, and are used as they stand there. The embedding is the 2048
numbers after the last ReLU; logits are those before the sigmoid. A sound of less than 2 s is filled with zeros to
that, as in audioldm_eval.
"""

from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echoframe.encoders import FrozenModule, check_waveform, use_channels_last
from echoframe.evaluation.judges import Heard
from echoframe.evaluation.judges.checkpoint import Published, read_checkpoint
from echoframe.weights import load_weights

PUBLISHED = Published(
    what="PANNs Cnn14_16k",
    file="Cnn14_16k_mAP=0.438.pth",
    url="https://zenodo.org/records/3987831/files/Cnn14_16k_mAP=0.438.pth",
    digest="e2ee543a27919542c2ea03eabaa70b24dcd4e6c8e05621de6b67a94e4c5058e6",
    key="model",
)
SAMPLE_RATE = 16_000  # Hz
N_FFT, HOP, BANDS = 512, 160, 64
CLASSES = 527
FLOOR = 1e-10
SHORTEST = 2 * SAMPLE_RATE
SOUNDS_AT_ONCE = 4  # memory stays flat in the batch's size
MULTIPLES = (1, 2, 4, 8, 16, 32)  # channels of the blocks in units of the first one's


class _Fourier(nn.Module):
    """Kernels as torchlibrosa keeps them, (257, 1, 512) each."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_real = nn.Conv1d(1, N_FFT // 2 + 1, N_FFT, HOP, bias=False)
        self.conv_imag = nn.Conv1d(1, N_FFT // 2 + 1, N_FFT, HOP, bias=False)

    def forward(self, samples: Tensor) -> Tensor:
        """(B, 1, S) -> power, (B, 257, T)."""
        return self.conv_real(samples) ** 2 + self.conv_imag(samples) ** 2


class _Block(nn.Module):
    """Twice convolution, batch norm, ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu_(self.bn2(self.conv2(torch.relu_(self.bn1(self.conv1(x))))))


class Cnn14Network(nn.Module):
    """Samples to embeddings and logits; its weights are named as the authors'. width: channels of the first block."""

    def __init__(self, *, width: int = 64) -> None:
        super().__init__()
        self.dim = MULTIPLES[-1] * width
        self.spectrogram_extractor = nn.ModuleDict({"stft": _Fourier()})
        self.logmel_extractor = nn.ParameterDict({"melW": torch.zeros(N_FFT // 2 + 1, BANDS)})
        self.bn0 = nn.BatchNorm2d(BANDS)
        channels = (1, *(width * multiple for multiple in MULTIPLES))
        for n in range(1, len(channels)):
            self.add_module(f"conv_block{n}", _Block(channels[n - 1], channels[n]))
        self.fc1 = nn.Linear(self.dim, self.dim)
        self.fc_audioset = nn.Linear(self.dim, CLASSES)

    def log_mel(self, samples: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames 64"]:
        """Levels of the bands in dB, as the file's own kernels give them."""
        mirrored = nn.functional.pad(samples[:, None], (N_FFT // 2, N_FFT // 2), mode="reflect")
        power = self.spectrogram_extractor["stft"](mirrored)
        return 10.0 * torch.log10(torch.clamp(power.transpose(1, 2) @ self.logmel_extractor["melW"], min=FLOOR))

    def forward(self, samples: Float[Tensor, "batch samples"]) -> tuple[Tensor, Tensor]:
        """(B, S) -> embeddings (B, 32 x width), logits (B, 527)."""
        x = self.bn0(self.log_mel(samples).transpose(1, 2)[..., None])  # (B, 64, T, 1): each band has its own norm
        x = x.permute(0, 3, 2, 1)
        for n in range(1, len(MULTIPLES) + 1):
            x = self.get_submodule(f"conv_block{n}")(x)
            if n < len(MULTIPLES):
                x = nn.functional.avg_pool2d(x, 2)
        x = x.mean(dim=3)
        x = torch.relu_(self.fc1(x.amax(dim=2) + x.mean(dim=2)))
        return x, self.fc_audioset(x)


class PannsJudge(FrozenModule):
    """Hears a sound as a whole: one embedding of 2048 numbers, >= 0, and 527 logits."""

    name = "panns-16k"
    sample_rate = SAMPLE_RATE
    classes = CLASSES
    source = f"PANNs, Kong et al. 2020, CC BY 4.0: {PUBLISHED.url}"

    def __init__(self, path: Path, *, device: str | torch.device = "cpu", width: int = 64) -> None:
        """path: the authors' file, or its weights as safetensors under the same names. width: of a smaller relative.

        Raises BundleError if the file is missing, is not what its name says, or holds anything else.
        """
        super().__init__()
        weights, self.sha256 = read_checkpoint(path, PUBLISHED)
        self.network = Cnn14Network(width=width)
        load_weights(self.network, path, weights=weights)
        use_channels_last(self.network, device)
        self.dim = self.network.dim
        self.to(device)
        self.freeze()

    @torch.no_grad()
    def __call__(self, waveform: Float[Tensor, "batch samples"]) -> Heard:
        """(B, S) in [-1, 1] at 16 kHz -> embeddings (B, 1, 2048), logits (B, 527). Raises AudioError if not finite."""
        check_waveform(waveform)
        filled = nn.functional.pad(waveform, (0, max(SHORTEST - waveform.shape[1], 0)))
        samples = filled.to(next(self.network.parameters()).device, torch.float32)
        heard = [self.network(some) for some in samples.split(SOUNDS_AT_ONCE)]
        embeddings, logits = (torch.cat(parts) for parts in zip(*heard, strict=True))
        return Heard(embeddings=embeddings[:, None], logits=logits)
