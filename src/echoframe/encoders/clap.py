"""CLAP (Wu et al. 2023): sounds and sentences to unit vectors in one space, through transformers.

Directories as on the model hub, for example laion/clap-htsat-unfused: config.json, model.safetensors,
preprocessor_config.json, tokenizer files. The log-mels are computed here, on the encoder's device, with the settings
and filters of transformers' ClapFeatureExtractor; where that one cuts long sounds at random, this does not.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from transformers import ClapAudioModelWithProjection, ClapFeatureExtractor, ClapTextModelWithProjection

from echoframe.encoders import FrozenModule, check_waveform, require_files
from echoframe.encoders._transformers import Tokenizer, device_of, load_tower
from echoframe.errors import BundleError
from echoframe.media.audio import resample
from echoframe.weights import read_json


@dataclass(frozen=True, kw_only=True, eq=False)
class ClapMel:
    """How sounds become log-mels. truncation and padding: what happens to sounds longer and shorter than n_samples.

    filters: (bins, mels), power spectrum to mel; HTK without norm for "fusion", Slaney for "rand_trunc".
    """

    sample_rate: int  # Hz
    n_samples: int
    n_fft: int
    hop_length: int
    truncation: str
    padding: str
    filters: Float[np.ndarray, "bins mels"]

    @classmethod
    def from_directory(cls, directory: Path) -> "ClapMel":
        """What preprocessor_config.json says. Raises BundleError if it names an unknown truncation or padding."""
        path = directory / "preprocessor_config.json"
        require_files(directory, (path.name,))
        values = read_json(path)
        for key, known in (("truncation", ("fusion", "rand_trunc")), ("padding", ("repeatpad", "repeat", "pad"))):
            found = values.get(key, known[0])
            if found not in known:
                raise BundleError(f'{path}: {key} "{found}" is not known; expected one of {", ".join(known)}')
        extractor: Any = ClapFeatureExtractor.from_dict(values)
        fused = extractor.truncation == "fusion"
        return cls(
            sample_rate=extractor.sampling_rate,
            n_samples=extractor.nb_max_samples,
            n_fft=extractor.fft_window_size,
            hop_length=extractor.hop_length,
            truncation=extractor.truncation,
            padding=extractor.padding,
            filters=(extractor.mel_filters if fused else extractor.mel_filters_slaney).astype(np.float32),
        )

    def to_length(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch out"]:
        """Shorter sounds repeated and filled with zeros, as `padding` says; longer ones cut to their middle.

        transformers' "rand_trunc" takes a random cut instead: the middle is what that gives on average, and the same
        every time. With "fusion" long sounds stay whole.
        """
        length = waveform.shape[1]
        if length >= self.n_samples:
            start = 0 if self.truncation == "fusion" else (length - self.n_samples) // 2
            return waveform[:, start:] if self.truncation == "fusion" else waveform[:, start : start + self.n_samples]
        if self.padding == "repeat":
            return waveform.repeat(1, self.n_samples // length + 1)[:, : self.n_samples]
        if self.padding == "repeatpad":
            waveform = waveform.repeat(1, self.n_samples // length)
        return nn.functional.pad(waveform, (0, self.n_samples - waveform.shape[1]))

    def log_mel(self, waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch frames mels"]:
        """Decibels of the mel power spectrum, floored at -100 dB: (B, S) -> (B, S // hop + 1, mels)."""
        window = torch.hann_window(self.n_fft, device=waveform.device)
        spectrum = torch.stft(
            waveform, self.n_fft, hop_length=self.hop_length, window=window, pad_mode="reflect", return_complex=True
        )
        power = torch.view_as_real(spectrum).square().sum(-1).transpose(1, 2)  # (B, frames, bins)
        return 10 * torch.log10(torch.clamp(power @ torch.from_numpy(self.filters).to(power.device), min=1e-10))

    def features(
        self, waveform: Float[Tensor, "batch samples"]
    ) -> tuple[Float[Tensor, "batch channels frames mels"], Bool[Tensor, "batch 1"]]:
        """What the network takes: one log-mel, or with "fusion" four; and whether the sound was longer than it hears.

        Fusion stacks the whole sound, shrunk, and a cut from each third; the cuts are centred in their third, where
        transformers draws them at random.
        """
        mel = self.log_mel(self.to_length(waveform))
        batch, total = mel.shape[:2]
        n_frames = self.n_samples // self.hop_length + 1
        is_longer = torch.full((batch, 1), self.truncation == "fusion" and total > n_frames, device=mel.device)
        if self.truncation != "fusion":
            return mel[:, None], is_longer
        if total <= n_frames:
            return mel[:, None].expand(-1, 4, -1, -1), is_longer
        shrunk = nn.functional.interpolate(
            mel[:, None], size=(n_frames, mel.shape[2]), mode="bilinear", align_corners=False
        )
        thirds = np.array_split(np.arange(total - n_frames + 1), 3)
        starts = [int(third[len(third) // 2]) if len(third) else 0 for third in thirds]
        cuts = [mel[:, None, start : start + n_frames] for start in starts]
        return torch.cat([shrunk, *cuts], dim=1), is_longer


class ClapAudioEncoder(FrozenModule):
    """Sounds to CLAP's unit vectors."""

    def __init__(self, model: ClapAudioModelWithProjection, mel: ClapMel, *, name: str) -> None:
        super().__init__()
        self.model = model
        self.mel = mel
        self.sample_rate = mel.sample_rate
        self.dim = int(model.config.projection_dim)
        self.name = name
        self.freeze()

    @classmethod
    def from_directory(
        cls,
        directory: Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        name: str | None = None,
    ) -> "ClapAudioEncoder":
        """The audio tower in `directory`. name: what to call its space; "clap-" and its dimension if not given."""
        model = load_tower(ClapAudioModelWithProjection, directory, device=device, dtype=dtype)
        mel = ClapMel.from_directory(directory)
        if bool(model.config.enable_fusion) != (mel.truncation == "fusion"):
            raise BundleError(
                f'{directory}: preprocessor_config.json has truncation "{mel.truncation}", config.json has '
                f"enable_fusion {model.config.enable_fusion}; take both from one model"
            )
        return cls(model, mel, name=name or f"clap-{model.config.projection_dim}")

    @torch.no_grad()
    def __call__(self, waveform: Float[Tensor, "batch samples"], sample_rate: int) -> Float[Tensor, "batch dim"]:
        """One unit vector per sound: (B, S) in [-1, 1] at `sample_rate` Hz -> (B, dim), on the encoder's device."""
        check_waveform(waveform)
        device = device_of(self.model)
        features, is_longer = self.mel.features(resample(waveform.float(), sample_rate, self.sample_rate).to(device))
        embeds = self.model(input_features=features.to(self.model.dtype), is_longer=is_longer).audio_embeds
        return nn.functional.normalize(embeds.float(), dim=1)


class ClapTextEncoder(FrozenModule):
    """Sentences to CLAP's unit vectors."""

    def __init__(self, model: ClapTextModelWithProjection, tokenizer: Tokenizer, *, name: str) -> None:
        super().__init__()
        self.model = model
        self.tokenizer = tokenizer
        self.dim = int(model.config.projection_dim)
        self.name = name
        self.freeze()

    @classmethod
    def from_directory(
        cls,
        directory: Path,
        *,
        device: str | torch.device = "cpu",
        dtype: torch.dtype = torch.float32,
        name: str | None = None,
    ) -> "ClapTextEncoder":
        """The text tower in `directory`. name: what to call its space; "clap-" and its dimension if not given."""
        model = load_tower(ClapTextModelWithProjection, directory, device=device, dtype=dtype)
        # RoBERTa counts positions from padding_idx + 1: two fewer tokens than positions
        tokenizer = Tokenizer(directory, max_length=model.config.max_position_embeddings - 2)
        return cls(model, tokenizer, name=name or f"clap-{model.config.projection_dim}")

    @torch.no_grad()
    def __call__(self, texts: list[str]) -> Float[Tensor, "texts dim"]:
        """One unit vector per text, (T, dim) float32; texts longer than the model reads (512 tokens) are cut."""
        if not texts:
            return torch.zeros(0, self.dim, device=device_of(self.model))
        embeds: Any = self.model(**self.tokenizer(texts, device_of(self.model))).text_embeds
        return nn.functional.normalize(embeds.float(), dim=1)
