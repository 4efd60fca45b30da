"""PaSST: AudioSet's 527 classes by a transformer, the judge of KL (MKL) and FD in MMAudio's table.

*Conventions* (PyPI hear21passt 0.0.26, Apache-2.0: base.py, wrapper.py, models/preprocess.py, models/passt.py, the
model passt_s_swa_p16_128_ap476; Koutini et al. 2022): 32 kHz, cut or filled with zeros at the end to 10 s; x[t] - 0.97
x[t-1]; power of a 1024-point STFT, symmetric Hann window of 800 samples, hop 320, centred; 128 of Kaldi's bands of
0-15,000 Hz, triangles straight in mel; (log(power + 1e-5) + 4.5) / 5. Patches of 16 x 16, 10 apart, with a place in
frequency and one in time each. The embedding is the mean of what comes out at the class and the distillation token (768
numbers); the logits are those of the head on it, before the sigmoid. The distillation token's own head is read and not
used, as there.
"""

import math
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from echoframe.encoders import FrozenModule, check_waveform
from echoframe.evaluation.judges import Heard
from echoframe.evaluation.judges.checkpoint import Published, read_checkpoint
from echoframe.media.audio import pad_or_trim
from echoframe.weights import load_weights

PUBLISHED = Published(
    what="PaSST",
    file="passt-s-f128-p16-s10-ap.476-swa.pt",
    url="https://github.com/kkoutini/PaSST/releases/download/v0.0.1-audioset/passt-s-f128-p16-s10-ap.476-swa.pt",
    digest="302903fa8c4aee817b11dc982da0b29aaf8d11a3e722420476d0a12c9db70c2c",
)
SAMPLE_RATE = 32_000  # Hz
N_SAMPLES = 10 * SAMPLE_RATE
N_FFT, WINDOW, HOP = 1024, 800, 320  # samples
BANDS, F_MAX = 128, 15_000.0
PATCH, STRIDE = 16, 10
PLACES = (12, 99)  # of patches: frequency, time
CLASSES = 527
SOUNDS_AT_ONCE = 4  # memory stays flat in the batch's size


@lru_cache(maxsize=4)
def _basis(device: str) -> tuple[Tensor, Tensor]:
    """Kaldi's bands, (128, 513), none of which reaches the highest bin, and the window.

    In float32, as torchaudio: in float64 a chirp's frames differ by 3.5e-4 from theirs.
    """
    step = 1127.0 * math.log(1.0 + F_MAX / 700.0) / (BANDS + 1)
    edges = torch.arange(BANDS + 2, dtype=torch.float32)[:, None] * step
    bins = 1127.0 * torch.log(1.0 + torch.arange(N_FFT // 2 + 1) * (SAMPLE_RATE / N_FFT) / 700.0)
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bands = torch.minimum(rising, falling).clamp(min=0.0)
    return bands.to(device), torch.hann_window(WINDOW, periodic=False, device=device)


def mel_frames(waveform: Float[Tensor, "batch samples"]) -> Float[Tensor, "batch 128 1000"]:
    """What the network sees of sounds at 32 kHz: (B, S) -> (B, 128, 1000)."""
    bands, window = _basis(str(waveform.device))
    samples = pad_or_trim(waveform, N_SAMPLES)
    samples = samples[:, 1:] - 0.97 * samples[:, :-1]
    spectrum = torch.stft(samples, N_FFT, HOP, WINDOW, window, center=True, pad_mode="reflect", return_complex=True)
    power = spectrum.real**2 + spectrum.imag**2
    return (torch.log(bands @ power + 1e-5) + 4.5) / 5.0


class _Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x: Tensor) -> Tensor:
        query, key, value = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        heard = nn.functional.scaled_dot_product_attention(query, key, value)
        return self.proj(heard.transpose(1, 2).flatten(2))


class _Block(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(dim, eps=1e-6)
        self.attn = _Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim, eps=1e-6)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(dim, 4 * dim), "fc2": nn.Linear(4 * dim, dim)})

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm1(x))
        return x + self.mlp["fc2"](nn.functional.gelu(self.mlp["fc1"](self.norm2(x))))


class PasstNetwork(nn.Module):
    """Mel frames to embeddings and logits; its weights are named as the authors'."""

    def __init__(self, *, dim: int = 768, depth: int = 12, heads: int = 12) -> None:
        super().__init__()
        self.dim = dim
        self.cls_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.dist_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.new_pos_embed = nn.Parameter(torch.zeros(1, 2, dim))
        self.freq_new_pos_embed = nn.Parameter(torch.zeros(1, dim, PLACES[0], 1))
        self.time_new_pos_embed = nn.Parameter(torch.zeros(1, dim, 1, PLACES[1]))
        self.patch_embed = nn.ModuleDict({"proj": nn.Conv2d(1, dim, PATCH, STRIDE)})
        self.blocks = nn.Sequential(*(_Block(dim, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(dim, eps=1e-6)
        self.head = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, CLASSES))
        self.head_dist = nn.Linear(dim, CLASSES)

    def forward(self, frames: Float[Tensor, "batch 128 frames"]) -> tuple[Tensor, Tensor]:
        """(B, 128, T), T of up to 1005 -> embeddings (B, dim), logits (B, 527)."""
        patches = self.patch_embed["proj"](frames[:, None])  # (B, dim, 12, places in time)
        patches = patches + self.time_new_pos_embed[..., : patches.shape[-1]] + self.freq_new_pos_embed
        tokens = torch.cat([self.cls_token, self.dist_token], dim=1) + self.new_pos_embed
        x = torch.cat([tokens.expand(len(frames), -1, -1), patches.flatten(2).transpose(1, 2)], dim=1)
        embeddings = self.norm(self.blocks(x))[:, :2].mean(dim=1)
        return embeddings, self.head(embeddings)


class PasstJudge(FrozenModule):
    """Hears ten seconds: one embedding of 768 numbers, and 527 logits."""

    name = "passt"
    sample_rate = SAMPLE_RATE
    classes = CLASSES
    source = f"kkoutini/PaSST, Apache-2.0: {PUBLISHED.url}"

    def __init__(self, path: Path, *, device: str | torch.device = "cpu", network: PasstNetwork | None = None) -> None:
        """path: the authors' file, or its weights as safetensors under the same names. network: a smaller relative.

        Raises BundleError if the file is missing, is not what its name says, or holds anything else.
        """
        super().__init__()
        weights, self.sha256 = read_checkpoint(path, PUBLISHED)
        self.network = network or PasstNetwork()
        load_weights(self.network, path, weights=weights)
        self.dim = self.network.dim
        self.to(device)
        self.freeze()

    @torch.no_grad()
    def __call__(self, waveform: Float[Tensor, "batch samples"]) -> Heard:
        """(B, S) in [-1, 1] at 32 kHz -> embeddings (B, 1, 768), logits (B, 527). Raises AudioError if not finite."""
        check_waveform(waveform)
        samples = waveform.to(next(self.network.parameters()).device, torch.float32)
        heard = [self.network(mel_frames(some)) for some in samples.split(SOUNDS_AT_ONCE)]
        embeddings, logits = (torch.cat(parts) for parts in zip(*heard, strict=True))
        return Heard(embeddings=embeddings[:, None], logits=logits)
