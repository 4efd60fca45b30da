"""Stage 2b: the VAE's decoder alone, trained further while the diffusion model trains on the fixed latents.

The encoder stays as it is, so that latents keep their meaning. To the absolute error comes that of the differences
along time and frequency: edges and partials are what labels hang on.
"""

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from echoframe.audio import log_mel
from echoframe.spec import MINI_MEL
from stage import Ema, Run, arguments, cosine_rate
from vae import Crops, check


def edges(mel: Tensor, other: Tensor) -> Tensor:
    """Mean absolute error of the differences along time and along frequency."""
    return ((mel.diff(dim=2) - other.diff(dim=2)).abs().mean() + (mel.diff(dim=3) - other.diff(dim=3)).abs().mean()) / 2


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config = recipe.decoder
    torch.set_num_threads(config.threads)
    vae = AutoencoderKL.from_pretrained(work / "vae" / "final").to(recipe.device, memory_format=torch.channels_last)
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    weights = [p for p in vae.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.learning_rate, betas=(0.9, 0.95), weight_decay=1e-4)
    ema = Ema(vae, 0.99)
    parts = {"vae": vae, "optimizer": optimizer, "ema": ema}
    run = Run("decoder", work, config, parts, steps=config.steps, seed=config.seed)
    crops = Crops(work / "corpus")

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, config.steps, warmup=20)
        waveform = crops.batch(config.batch_size, config.crop_frames * MINI_MEL.hop_length, run.generator)
        mel = log_mel(waveform.to(recipe.device), MINI_MEL)[:, None].contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            latents = vae.encode(mel).latent_dist.mean
        # the diffusion model's latents are not exact either
        latents = latents + 0.05 * latents.std() * torch.randn(latents.shape, generator=run.generator).to(latents)
        decoded = vae.decode(latents).sample
        error = (decoded - mel).abs().mean()
        sharpness = edges(decoded, mel)
        optimizer.zero_grad(set_to_none=True)
        (error + sharpness).backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        ema.update(vae, step)
        return {"mel_error": error.item(), "edges": sharpness.item()}

    run.loop(one_step, log_every=20, save_every=100)
    vae.load_state_dict(ema.weights)
    scale = vae.config["scaling_factor"]
    check(vae, work, recipe.vae, run.generator, stage="decoder")
    vae.register_to_config(scaling_factor=scale)  # the latents were scaled with this one
    vae.save_pretrained(work / "decoder" / "final")


if __name__ == "__main__":
    main()
