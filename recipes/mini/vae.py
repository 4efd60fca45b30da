"""Stage 2: the log-mel VAE. 64 mel bands x 1024 frames of 10.24 s become 8 x 128 places of 16 latent numbers.

Loss: mean absolute error of the normalised log-mel plus a light KL term, so that latents stay near a unit normal.
"""

import json

import numpy as np
import torch
from diffusers import AutoencoderKL

from echoframe.audio import log_mel
from echoframe.spec import MINI_MEL
from stage import Ema, Run, VaeConfig, arguments, cosine_rate


class Crops:
    """Random crops of the train recordings' waveforms, each label equally often: (B, frames * hop) in [-1, 1]."""

    def __init__(self, folder, split: str = "train") -> None:
        rows = [row for row in json.loads((folder / "waves.json").read_text()) if row["split"] == split]
        self.waves = np.load(folder / "waves.npy", mmap_mode="r")
        self.by_label: dict[str, list[dict]] = {}
        for row in rows:
            self.by_label.setdefault(row["label"], []).append(row)
        self.labels = sorted(self.by_label)

    def batch(self, size: int, n_samples: int, generator: torch.Generator) -> torch.Tensor:
        crops = np.zeros((size, n_samples), np.float32)
        draws = torch.rand((size, 5), generator=generator).tolist()
        for n, (which_label, which_row, place, gain, sign) in enumerate(draws):
            rows = self.by_label[self.labels[int(which_label * len(self.labels))]]
            row = rows[int(which_row * len(rows))]
            spare = row["length"] - n_samples
            if spare > 0:
                first = row["start"] + int(place * spare)
                crops[n] = self.waves[first : first + n_samples]
            else:  # a short recording stands somewhere in silence
                first = int(place * -spare)
                crops[n, first : first + row["length"]] = self.waves[row["start"] : row["start"] + row["length"]]
            crops[n] *= (1 if sign < 0.5 else -1) * 10 ** (-gain) / 32767  # 0 to -20 dB
        return torch.from_numpy(crops)


def build_vae(config: VaeConfig) -> AutoencoderKL:
    levels = len(config.channels)
    return AutoencoderKL(
        in_channels=1,
        out_channels=1,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=config.channels,
        layers_per_block=1,
        latent_channels=config.latent_channels,
        norm_num_groups=config.norm_groups,
        sample_size=1024,
        mid_block_add_attention=False,  # any length, and linear in it
    )


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config = recipe.vae
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)  # initial weights
    vae = build_vae(config).to(recipe.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(vae.parameters(), lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=1e-4)
    ema = Ema(vae, 0.995)
    run = Run(
        "vae", work, config, {"vae": vae, "optimizer": optimizer, "ema": ema}, steps=config.steps, seed=config.seed
    )
    crops = Crops(work / "corpus")

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, config.steps)
        waveform = crops.batch(config.batch_size, config.crop_frames * MINI_MEL.hop_length, run.generator)
        mel = log_mel(waveform.to(recipe.device), MINI_MEL)[:, None].contiguous(memory_format=torch.channels_last)
        posterior = vae.encode(mel).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=run.generator).to(recipe.device)
        decoded = vae.decode(posterior.mean + posterior.std * noise).sample
        error = (decoded - mel).abs().mean()
        kl = 0.5 * (posterior.mean.square() + posterior.var - 1 - posterior.logvar).mean()
        loss = error + 0.1 * (decoded - mel).square().mean() + config.kl_weight * kl
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
        optimizer.step()
        ema.update(vae, step)
        return {"mel_error": error.item(), "kl": kl.item()}

    run.loop(one_step)
    vae.load_state_dict(ema.weights)
    check(vae, work, config, run.generator)


@torch.no_grad()
def check(vae: AutoencoderKL, work, config: VaeConfig, generator: torch.Generator, stage: str = "vae") -> None:
    """Saves the VAE with the scaling factor of the validation recordings' latents and prints their mel error in dB."""
    crops = Crops(work / "corpus", "val")
    vae.eval()
    mel = log_mel(crops.batch(64, 256 * MINI_MEL.hop_length, generator), MINI_MEL)[:, None]
    latents = vae.encode(mel).latent_dist.mean
    error = (vae.decode(latents).sample - mel).abs().mean().item() * MINI_MEL.scale * 8.686
    vae.register_to_config(scaling_factor=1.0 / latents.std().item())
    vae.save_pretrained(work / stage / "final")
    print(f"{stage}: val mel error {error:.2f} dB, latent std {latents.std().item():.3f}", flush=True)
    if error > config.max_error_db:
        raise SystemExit(f"vae: {error:.2f} dB is no reconstruction; train longer")


if __name__ == "__main__":
    main()
