"""aiSFX: a 512-number embedding of sound effects (Ma & Lerch, ISMIR 2022; PyPI package `aisfx`, weights CC BY 4.0).

44.1 kHz, n_fft 2048, hop 1024, 96 HTK mel bands 0-22 050 Hz with unit L1 norm, log10(10000 x + 1) / 9.4578 of the
power spectrum, blocks of 100 frames (2.32 s): one post-ReLU vector per block. A sound's embedding here is the mean
over its blocks, less a stored mean (post-ReLU vectors all lie in one orthant), scaled to unit length.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from echoframe.config import from_dict
from echoframe.encoders import FrozenModule, check_waveform, read_encoder, use_channels_last
from echoframe.errors import BundleError, ConfigError
from echoframe.media.audio import mel_filters, resample
from echoframe.weights import load_weights, save_part

SAMPLE_RATE = 44_100  # Hz
N_FFT = 2048
HOP_LENGTH = 1024
BLOCK_FRAMES = 100  # 2.32 s
BLOCK_HOP = 50  # half a block, as in the paper
MAX_LOG_MEL = 9.457798957824707  # the largest log-mel of the paper's data sets
EMBEDDING_DIM = 512
BLOCKS_AT_ONCE = 16  # memory stays flat in the sound's length


@dataclass(frozen=True, kw_only=True, slots=True)
class AisfxConfig:
    """width: channels of the first block; each of the four blocks doubles them."""

    width: int = 64


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and ReLU, then max pooling. Names as in the package's checkpoint."""

    def __init__(self, in_channels: int, out_channels: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.pool = pool

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.bn1(self.conv1(x)))
        x = torch.relu(self.bn2(self.conv2(x)))
        return nn.functional.max_pool2d(x, self.pool)


class AisfxNetwork(nn.Module):
    """Log-mel blocks to embeddings, the package's `EmbeddingNet` (aisfx 0.1.2, models/cnn2d.py)."""

    def __init__(self, config: AisfxConfig = AisfxConfig()) -> None:
        super().__init__()
        w = config.width
        self.conv_block1 = ConvBlock(1, w, 2)
        self.conv_block2 = ConvBlock(w, 2 * w, 2)
        self.conv_block3 = ConvBlock(2 * w, 4 * w, 2)
        self.conv_block4 = ConvBlock(4 * w, 8 * w, 1)

    def forward(self, blocks: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch dim"]:
        """(B, 100, 96) -> (B, 8 * width), all >= 0: mean over frequency, then maximum over time."""
        x = blocks[:, None]
        for block in (self.conv_block1, self.conv_block2, self.conv_block3, self.conv_block4):
            x = block(x)
        return x.mean(dim=3).amax(dim=2)


@cache
def _basis(device: str) -> tuple[Tensor, Tensor]:
    filters = mel_filters(
        sample_rate=SAMPLE_RATE, n_fft=N_FFT, n_mels=96, f_min=0.0, f_max=SAMPLE_RATE / 2, htk=True, norm="l1"
    )
    return torch.from_numpy(filters).to(device), torch.hann_window(N_FFT, device=device)


def log_mel_blocks(waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch blocks 100 96"]:
    """What the network sees of `waveform` at 44.1 kHz: (B, S) -> (B, N, 100, 96).

    Each sound is scaled to a peak of 1 first (aisfx 0.1.2, spectrogram_librosa.py). The last block is dropped if
    incomplete, unless it is the only one: then it is filled with zeros (preprocessing.py, `blocking`).
    """
    filters, window = _basis(str(waveform.device))
    peak = waveform.abs().amax(dim=1, keepdim=True)
    waveform = waveform / torch.where(peak > 0, peak, torch.ones_like(peak))
    # zeros at both ends: librosa's default since 0.9
    spectrum = torch.stft(
        waveform, N_FFT, hop_length=HOP_LENGTH, window=window, center=True, pad_mode="constant", return_complex=True
    )
    mel = filters @ spectrum.abs().square()  # (B, 96, frames)
    frames = (torch.log10(mel * 10_000.0 + 1.0) / MAX_LOG_MEL).transpose(1, 2)
    if frames.shape[1] < BLOCK_FRAMES:
        frames = nn.functional.pad(frames, (0, 0, 0, BLOCK_FRAMES - frames.shape[1]))
    return frames.unfold(1, BLOCK_FRAMES, BLOCK_HOP).transpose(2, 3)


class AisfxEncoder(FrozenModule):
    """Sounds to unit vectors: the audio space of `mini`."""

    sample_rate = SAMPLE_RATE
    name = "aisfx"

    def __init__(self, network: AisfxNetwork, mean: Float[Tensor, " dim"]) -> None:
        super().__init__()
        self.network = network
        self.dim = mean.shape[0]
        self.mean: Tensor
        self.register_buffer("mean", mean)
        self.freeze()

    @classmethod
    def from_directory(
        cls, directory: Path, *, device: str | torch.device = "cpu", dtype: torch.dtype = torch.float32
    ) -> "AisfxEncoder":
        """The encoder in `directory` (see `convert_aisfx`). Raises BundleError if it does not fit."""
        values, tensors = read_encoder(directory, "aisfx")
        try:
            known = {key: value for key, value in values.items() if key != "kind"}
            config = from_dict(AisfxConfig, known, name=str(directory / "config.json"))
        except ConfigError as error:
            raise BundleError(str(error)) from error
        encoder = cls(AisfxNetwork(config), torch.zeros(8 * config.width))
        load_weights(encoder, directory / "model.safetensors", weights=tensors)
        fold_batch_norms(encoder.network)
        use_channels_last(encoder.network, device)
        return encoder.to(device, dtype)

    @torch.no_grad()
    def __call__(self, waveform: Float[Tensor, "batch samples"], sample_rate: int) -> Float[Tensor, "batch dim"]:
        """Embeddings of a batch of sounds: (B, S) in [-1, 1] at `sample_rate` Hz -> (B, 512), unit length."""
        centred = self.block_embeddings(waveform, sample_rate).mean(dim=1) - self.mean.float()
        return nn.functional.normalize(centred, dim=1)

    @torch.no_grad()
    def block_embeddings(
        self, waveform: Float[Tensor, "batch samples"], sample_rate: int
    ) -> Float[Tensor, "batch blocks dim"]:
        """Raw post-ReLU embeddings of every 2.32-s block (hop 1.16 s): (B, S) -> (B, N, 512), >= 0."""
        check_waveform(waveform)
        blocks = log_mel_blocks(resample(waveform.to(self.mean.device, torch.float32), sample_rate, SAMPLE_RATE))
        batch, n_blocks = blocks.shape[:2]
        flat = blocks.flatten(0, 1).to(self.mean.dtype)
        outputs = [self.network(some) for some in flat.split(BLOCKS_AT_ONCE)]
        return torch.cat(outputs).unflatten(0, (batch, n_blocks)).float()


def fold_batch_norms(network: AisfxNetwork) -> None:
    """Moves every batch norm into the convolution before it, in place: the same numbers, sooner."""
    network.eval()
    for block in (network.conv_block1, network.conv_block2, network.conv_block3, network.conv_block4):
        for conv, norm in (("conv1", "bn1"), ("conv2", "bn2")):
            setattr(block, conv, fuse_conv_bn_eval(getattr(block, conv), getattr(block, norm)))
            setattr(block, norm, nn.Identity())


def write_mean(directory: Path, mean: Float[Tensor, " dim"]) -> None:
    """Replaces the mean that the encoder in `directory` takes from its embeddings: (512,), the corpus's mean."""
    config, tensors = read_encoder(directory, "aisfx")
    if tensors["mean"].shape != mean.shape:
        raise BundleError(f"{directory}: a mean of {mean.shape[0]} numbers, expected {tensors['mean'].shape[0]}")
    save_part(directory, config, {**tensors, "mean": mean.float()})
