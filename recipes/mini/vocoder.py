"""Stage 3: the vocoder. Normalised log-mels (100 frames a second) become a 16-kHz waveform.

A small HiFi-GAN generator (Kong et al., NeurIPS 2020, arXiv 2010.05646) in the class AudioLDM uses. First spectral
losses alone: mel, and multi-resolution STFT (Yamamoto et al. 2020, arXiv 1910.11480, eq. 3-6). Then discriminators on
complex spectrograms at three resolutions join (after UnivNet, arXiv 2106.07889), with least-squares losses and
feature matching; and half of the mels come through the VAE, as they will at generation.
"""

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn import functional
from transformers import SpeechT5HifiGan, SpeechT5HifiGanConfig

from echoframe.audio import log_mel
from echoframe.spec import MINI_MEL
from stage import Ema, Run, VocoderConfig, arguments, cosine_rate
from vae import Crops

RESOLUTIONS = ((1024, 256), (512, 128), (256, 64))  # (n_fft, hop) in samples


def build_vocoder(config: VocoderConfig) -> SpeechT5HifiGan:
    return SpeechT5HifiGan(
        SpeechT5HifiGanConfig(
            model_in_dim=MINI_MEL.n_mels,
            sampling_rate=MINI_MEL.sample_rate,
            upsample_initial_channel=config.initial_channels,
            upsample_rates=[5, 4, 2, 2, 2],  # 160 samples a frame, as AudioLDM's
            upsample_kernel_sizes=[11, 8, 4, 4, 4],
            resblock_kernel_sizes=list(config.resblock_kernels),
            resblock_dilation_sizes=[list(config.dilations)] * len(config.resblock_kernels),
            normalize_before=False,
        )
    )


def spectrum(waveform: Tensor, n_fft: int, hop: int) -> Tensor:
    """(B, S) -> (B, 2, bins, frames): real and imaginary part."""
    window = torch.hann_window(n_fft, device=waveform.device)
    complex_values = torch.stft(waveform, n_fft, hop_length=hop, window=window, return_complex=True)
    return torch.view_as_real(complex_values).permute(0, 3, 1, 2)


def spectral_loss(generated: Tensor, real: Tensor) -> Tensor:
    """Spectral convergence plus log-magnitude distance, averaged over the resolutions."""
    total = torch.zeros((), device=real.device)
    for n_fft, hop in RESOLUTIONS:
        fake, true = (
            torch.sqrt(spectrum(x, n_fft, hop).square().sum(1) + 1e-7) for x in (generated, real)
        )  # (B, bins, frames)
        total += (true - fake).norm() / true.norm().clamp(min=1e-3)
        total += (torch.log(true) - torch.log(fake)).abs().mean()
    return total / len(RESOLUTIONS)


class SpectrumDiscriminator(nn.Module):
    """Judges one resolution's complex spectrogram; returns its scores and inner features."""

    def __init__(self, n_fft: int, hop: int, width: int = 16) -> None:
        super().__init__()
        self.n_fft, self.hop = n_fft, hop
        norm = nn.utils.parametrizations.weight_norm
        self.layers = nn.ModuleList(
            [
                norm(nn.Conv2d(2, width, (7, 3), stride=(2, 1), padding=(3, 1))),
                norm(nn.Conv2d(width, width, (5, 3), stride=(2, 1), padding=(2, 1))),
                norm(nn.Conv2d(width, 2 * width, (5, 3), stride=(2, 2), padding=(2, 1))),
                norm(nn.Conv2d(2 * width, 2 * width, (3, 3), stride=(2, 1), padding=1)),
                norm(nn.Conv2d(2 * width, 1, (3, 3), padding=1)),
            ]
        )

    def forward(self, waveform: Tensor) -> list[Tensor]:
        x = spectrum(waveform, self.n_fft, self.hop)
        # compressed magnitudes: loud peaks must not hide the rest
        x = x / (x.square().sum(1, keepdim=True) + 1e-6).pow(0.35)
        outputs = []
        for layer in self.layers:
            x = layer(x)
            outputs.append(x)
            x = functional.leaky_relu(x, 0.1)
        return outputs


def adversarial_losses(judges: nn.ModuleList, generated: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
    """Least-squares generator loss and feature matching, each averaged over the judges."""
    fooling, matching = torch.zeros(()), torch.zeros(())
    for judge in judges:
        fake = judge(generated)
        with torch.no_grad():
            true = judge(real)
        fooling = fooling + (fake[-1] - 1).square().mean()
        for a, b in zip(fake[:-1], true[:-1], strict=True):
            matching = matching + (a - b).abs().mean() / (b.abs().mean() + 1e-3) / (len(fake) - 1)
    return fooling / len(judges), matching / len(judges)


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config = recipe.vocoder
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)  # initial weights
    vocoder = build_vocoder(config).to(recipe.device)
    judges = nn.ModuleList(SpectrumDiscriminator(*r) for r in RESOLUTIONS).to(recipe.device)
    optimizer = torch.optim.AdamW(vocoder.parameters(), lr=config.learning_rate, betas=(0.8, 0.99), weight_decay=0.01)
    judge_optimizer = torch.optim.AdamW(judges.parameters(), lr=config.learning_rate / 2, betas=(0.8, 0.99))
    ema = Ema(vocoder, 0.995)
    parts = {
        "vocoder": vocoder,
        "judges": judges,
        "optimizer": optimizer,
        "judge_optimizer": judge_optimizer,
        "ema": ema,
    }
    run = Run("vocoder", work, config, parts, steps=config.steps, seed=config.seed)
    crops = Crops(work / "corpus")
    vae: list[AutoencoderKL] = []

    def mels(waveform: Tensor, step: int) -> Tensor:
        mel = log_mel(waveform, MINI_MEL)
        if step >= config.reconstructed_from and (work / "decoder" / "final").exists():
            if not vae:
                vae.append(AutoencoderKL.from_pretrained(work / "decoder" / "final").to(recipe.device).eval())
            half = len(mel) // 2
            with torch.no_grad():
                mel[:half] = vae[0](mel[:half, None]).sample[:, 0]
        return mel

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, config.steps)
        real = crops.batch(config.batch_size, config.crop_frames * MINI_MEL.hop_length, run.generator).to(recipe.device)
        generated = vocoder(mels(real, step))
        mel_error = (log_mel(generated, MINI_MEL) - log_mel(real, MINI_MEL)).abs().mean()
        stft = spectral_loss(generated, real)
        loss = 4 * mel_error + stft
        losses = {"mel_error": mel_error.item(), "stft": stft.item()}
        if step >= config.adversarial_from:
            judge_loss = torch.zeros(())
            for judge in judges:
                true, fake = judge(real)[-1], judge(generated.detach())[-1]
                judge_loss = judge_loss + (true - 1).square().mean() + fake.square().mean()
            judge_optimizer.zero_grad(set_to_none=True)
            judge_loss.backward()
            judge_optimizer.step()
            fooling, matching = adversarial_losses(judges, generated, real)
            loss = loss + fooling + 2 * matching
            losses |= {"judge": judge_loss.item() / len(judges), "fooling": fooling.item(), "matching": matching.item()}
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vocoder.parameters(), 5.0)
        optimizer.step()
        ema.update(vocoder, step)
        return losses

    run.loop(one_step)
    vocoder.load_state_dict(ema.weights)
    check(vocoder, work, config, run.generator)


@torch.no_grad()
def check(vocoder: SpeechT5HifiGan, work, config: VocoderConfig, generator: torch.Generator) -> None:
    """Saves the vocoder and prints the log-mel error of validation recordings through it, in dB."""
    real = Crops(work / "corpus", "val").batch(64, 256 * MINI_MEL.hop_length, generator)
    mel = log_mel(real, MINI_MEL)
    error = (log_mel(vocoder.cpu().eval()(mel), MINI_MEL) - mel).abs().mean().item() * MINI_MEL.scale * 8.686
    vocoder.save_pretrained(work / "vocoder" / "final")
    print(f"vocoder: val mel error {error:.2f} dB", flush=True)
    if error > config.max_error_db:
        raise SystemExit(f"vocoder: {error:.2f} dB is no reconstruction; train longer")


if __name__ == "__main__":
    main()
