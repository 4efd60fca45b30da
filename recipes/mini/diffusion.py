"""Stage 4: the latent diffusion model. An aiSFX embedding becomes VAE latents of a sound that has it.

AudioLDM's structure (Liu et al., ICML 2023, arXiv 2301.12503) at a small size: a UNet conditioned by one vector,
added to the time embedding. v-prediction (Salimans & Ho 2022, arXiv 2202.00512) with min-SNR weights (Hang et al.
2023, arXiv 2303.09556). Conditions carry noise, as a mapper's will; one in ten is dropped to zeros for guidance.
"""

import json

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn

from echoframe.audio import log_mel
from echoframe.spec import MINI_MEL
from stage import DiffusionConfig, Ema, Run, arguments, cosine_rate

LATENTS_PER_BLOCK = 1024 * 50 / 44_100 / 0.08  # aiSFX blocks start every 1.161 s; a latent column spans 0.08 s


def build_unet(config: DiffusionConfig, latent_channels: int) -> UNet2DConditionModel:
    levels = len(config.channels)
    return UNet2DConditionModel(
        sample_size=128,
        in_channels=latent_channels,
        out_channels=latent_channels,
        down_block_types=("DownBlock2D",) * (levels - 1) + ("CrossAttnDownBlock2D",),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("CrossAttnUpBlock2D",) + ("UpBlock2D",) * (levels - 1),
        block_out_channels=config.channels,
        layers_per_block=config.layers_per_block,
        cross_attention_dim=config.channels,  # as AudioLDM: with no text given, attention of the sound to itself
        attention_head_dim=config.attention_head_dim,
        norm_num_groups=config.norm_groups,
        class_embed_type="simple_projection",
        projection_class_embeddings_input_dim=512,
        class_embeddings_concat=True,
    )


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_start=0.0015,
        beta_end=0.0195,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="trailing",
    )


@torch.no_grad()
def encode_scenes(work, vae: AutoencoderKL, device: str) -> Tensor:
    """Scaled latents of every scene, (N, C, 128, 8), cached in WORK/diffusion/latents.npy as float16."""
    path = work / "diffusion" / "latents.npy"
    if not path.exists():
        scenes = np.load(work / "corpus" / "scenes.npy", mmap_mode="r")
        latents = []
        for n in range(0, len(scenes), 16):
            waveform = torch.from_numpy(scenes[n : n + 16].astype(np.float32) / 32767).to(device)
            mel = log_mel(waveform, MINI_MEL)[:, None].contiguous(memory_format=torch.channels_last)
            latents.append((vae.encode(mel).latent_dist.mean * vae.config.scaling_factor).half().cpu().numpy())
        path.parent.mkdir(exist_ok=True)
        np.save(path, np.concatenate(latents))
    return torch.from_numpy(np.load(path))


class Scenes:
    """Latents with the aiSFX vectors of their blocks; batches draw every label equally often."""

    def __init__(self, work, latents: Tensor, split: str = "train") -> None:
        index = json.loads((work / "corpus" / "scenes.json").read_text())
        self.latents = latents
        self.blocks = torch.from_numpy(np.load(work / "corpus" / "blocks.npy")).float()
        train = [n for n, row in enumerate(index) if row["split"] == "train"]
        self.mean = self.blocks[train].mean(dim=(0, 1))  # the centre of the audio space
        self.by_label: dict[str, list[int]] = {}
        for n, row in enumerate(index):
            if row["split"] == split:
                self.by_label.setdefault(row["label"], []).append(n)
        self.labels = sorted(self.by_label)

    def embedding(self, scene: int, first_block: int, last_block: int) -> Tensor:
        return nn.functional.normalize(self.blocks[scene, first_block:last_block].mean(0) - self.mean, dim=0)

    def batch(self, size: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Latents (B, C, width, 8) of crops that begin where an aiSFX block begins, and those crops' embeddings."""
        n_blocks = max(1, int((width - 29) / LATENTS_PER_BLOCK) + 1)  # whole blocks inside; one spans 29 columns
        latents, conditions = [], []
        for which_label, which, place in torch.rand((size, 3), generator=generator).tolist():
            scenes = self.by_label[self.labels[int(which_label * len(self.labels))]]
            scene = scenes[int(which * len(scenes))]
            block = int(place * (7 - n_blocks + 1))
            first = min(round(block * LATENTS_PER_BLOCK), self.latents.shape[2] - width)
            latents.append(self.latents[scene, :, first : first + width])
            conditions.append(self.embedding(scene, block, block + n_blocks))
        return torch.stack(latents).float(), torch.stack(conditions)


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config, device = recipe.diffusion, recipe.device
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)  # initial weights
    vae = AutoencoderKL.from_pretrained(work / "vae" / "final").to(device).eval()
    scenes = Scenes(work, encode_scenes(work, vae, device))
    unet = build_unet(config, vae.config.latent_channels).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimizer = torch.optim.AdamW(unet.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    ema = Ema(unet, config.ema)
    parts = {"unet": unet, "optimizer": optimizer, "ema": ema}
    run = Run("diffusion", work, config, parts, steps=config.steps, seed=config.seed)
    alphas = build_scheduler().alphas_cumprod

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, config.steps)
        whole = step >= config.long_from and step % 4 == 0
        width = 128 if whole else config.crop_latents
        size = config.batch_size // 2 if whole else config.batch_size
        latents, condition = scenes.batch(size, width, run.generator)
        loss = diffusion_loss(unet, latents.to(device), condition.to(device), alphas, config, run.generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)
        optimizer.step()
        ema.update(unet, step)
        return {"loss": loss.item()}

    run.loop(one_step)
    save(unet, ema, work)


def diffusion_loss(
    unet: nn.Module,
    latents: Tensor,
    condition: Tensor,
    alphas: Tensor,
    config: DiffusionConfig,
    generator: torch.Generator,
) -> Tensor:
    """Min-SNR-weighted squared error of the predicted v = sqrt(a) noise - sqrt(1 - a) latents."""
    size, device = len(latents), latents.device
    steps = ((torch.arange(size) + torch.rand(size, generator=generator)) / size * 1000).long()  # stratified
    noise = torch.randn(latents.shape, generator=generator).to(device)
    blur = torch.randn(condition.shape, generator=generator) * torch.rand((size, 1), generator=generator)
    condition = condition + blur.to(device) * config.condition_noise / condition.shape[1] ** 0.5
    condition = nn.functional.normalize(condition, dim=1)
    keep = torch.rand((size, 1), generator=generator) >= config.unconditional
    alpha = alphas[steps].view(-1, 1, 1, 1).to(device)
    noisy = alpha.sqrt() * latents + (1 - alpha).sqrt() * noise
    target = alpha.sqrt() * noise - (1 - alpha).sqrt() * latents
    noisy = noisy.contiguous(memory_format=torch.channels_last)
    predicted = unet(noisy, steps.to(device), None, class_labels=condition * keep.to(device)).sample
    snr = alpha / (1 - alpha)
    weight = torch.clamp(snr, max=config.min_snr_gamma) / (snr + 1)  # min-SNR for v-prediction
    return ((predicted - target).square() * weight).mean() / weight.mean()


def save(unet: UNet2DConditionModel, ema: Ema, work) -> None:
    """Writes the averaged weights and the scheduler; refuses weights that are not finite."""
    unet.load_state_dict(ema.weights)
    if not all(torch.isfinite(p).all() for p in unet.parameters()):
        raise SystemExit("diffusion: the weights are not finite; lower learning_rate and begin again")
    unet.save_pretrained(work / "diffusion" / "final")
    build_scheduler().save_pretrained(work / "diffusion" / "scheduler")


if __name__ == "__main__":
    main()
