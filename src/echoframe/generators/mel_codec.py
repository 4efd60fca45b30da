"""Log-mel spectrograms as short sequences of tokens and back, by one linear map of small patches.

Each patch of a few frames x a few mel bands is described by its strongest principal components (the Karhunen-Loeve
transform, fitted to training sounds). Frames overlap more than six times, so a patch is smooth and a fifth of its
numbers say nearly all of it. Nothing is trained.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echoframe.errors import ConfigError
from echoframe.weights import load_weights, read_config, save_part

WHITENING = 0.5  # 0 leaves components as strong as they are, 1 makes all alike: between, what is heard counts most


@dataclass(frozen=True, kw_only=True, slots=True)
class MelCodecConfig:
    """n_mels: bands of the spectrogram. frames, bands: a patch's size. components: numbers kept of each."""

    n_mels: int = 64
    frames: int = 16
    bands: int = 8
    components: int = 24

    def __post_init__(self) -> None:
        if min(self.n_mels, self.frames, self.bands, self.components) < 1:
            raise ConfigError(f"mel codec: {self}; every size has to be positive")
        if self.n_mels % self.bands or self.components > self.frames * self.bands:
            raise ConfigError(
                f"mel codec: {self.components} components of {self.frames} x {self.bands} patches, {self.n_mels} mels; "
                "bands have to divide the mels, and a patch has no more components than numbers"
            )


class MelCodec(nn.Module):
    """(B, frames, mels) log-mel <-> (B, tokens, channels), about unit variance. Fixed: `fit_codec` makes it."""

    def __init__(self, config: MelCodecConfig) -> None:
        super().__init__()
        self.config = config
        size = config.frames * config.bands
        self.mean, self.basis, self.spread = (
            nn.Parameter(torch.zeros(shape), requires_grad=False)
            for shape in ((size,), (config.components, size), (config.components,))
        )

    @property
    def channels(self) -> int:
        """Numbers of a token: all patches that begin at one time."""
        return self.config.n_mels // self.config.bands * self.config.components

    def encode(self, mel: Float[Tensor, "batch frames mels"]) -> Float[Tensor, "batch tokens channels"]:
        """Tokens of a log-mel whose frames are a multiple of the patch's: (B, F, M) -> (B, F // frames, channels)."""
        return ((_patches(mel, self.config) - self.mean) @ self.basis.T / self.spread).flatten(2)

    def decode(self, tokens: Float[Tensor, "batch tokens channels"]) -> Float[Tensor, "batch frames mels"]:
        """The log-mel nearest to what the tokens keep: (B, N, channels) -> (B, N * frames, M)."""
        parts = tokens.unflatten(2, (-1, self.config.components))
        patches = (parts * self.spread) @ self.basis + self.mean
        patches = patches.unflatten(3, (self.config.frames, self.config.bands))  # (B, N, rows, frames, bands)
        return patches.transpose(2, 3).flatten(3).flatten(1, 2)

    def levels(self, tokens: Float[Tensor, "batch tokens channels"]) -> Float[Tensor, "batch tokens"]:
        """The mean log-mel of each token."""
        return self.decode(tokens).unflatten(1, (tokens.shape[1], -1)).mean(dim=(2, 3))


def _patches(mel: Tensor, config: MelCodecConfig) -> Tensor:
    """(B, F, M) -> (B, tokens, rows, frames * bands)."""
    return mel.unflatten(2, (-1, config.bands)).unflatten(1, (-1, config.frames)).transpose(2, 3).flatten(3)


def fit_codec(mels: Float[Tensor, "batch frames mels"], config: MelCodecConfig) -> MelCodec:
    """The codec whose components are the strongest of the patches of `mels`."""
    patches = _patches(mels, config).flatten(0, 2).double()
    mean = patches.mean(dim=0)
    centred = patches - mean
    variance, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))  # ascending
    basis = vectors.flip(1)[:, : config.components].T
    basis = basis * torch.sign(basis.sum(dim=1, keepdim=True) + 1e-12)  # eigenvectors have no sign of their own
    deviation = variance.flip(0)[: config.components].clamp(min=1e-12).sqrt()
    spread = deviation**WHITENING
    spread = spread * ((deviation / spread).square().mean().sqrt())  # unit variance over all components
    codec = MelCodec(config)
    codec.load_state_dict({"mean": mean.float(), "basis": basis.float(), "spread": spread.float()})
    return codec


def save_codec(codec: MelCodec, folder: Path) -> None:
    """Writes config.json and model.safetensors (float32: it is a few kilobytes) into `folder`."""
    save_part(folder, asdict(codec.config), codec.state_dict())


def load_codec(folder: Path) -> MelCodec:
    """The codec in `folder`. Raises BundleError for a damaged one."""
    codec = MelCodec(read_config(MelCodecConfig, folder / "config.json"))
    load_weights(codec, folder / "model.safetensors")
    return codec
