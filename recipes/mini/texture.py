"""Stage 2b: the texture, which draws what the codec drops. It learns from the train scenes alone.

Reads WORK/corpus and WORK/codec/final. Writes WORK/texture_moments and WORK/texture_flow (checkpoints, logs) and
WORK/decoder (config.json, model.safetensors as float16). First the mean and the spread of the detail are learned
(Gaussian likelihood), then the flow that makes neighbours fit each other. Both resume.
"""

import json
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from codec import mels_of
from echoframe.generators.mel_codec import MelCodec, load_codec
from echoframe.generators.texture import Texture, TextureConfig, fit_axes, save_texture, to_grid
from echoframe.spec import MINI_MEL
from stage import Ema, Run, TextureStageConfig, arguments, cosine_rate

FLOOR = (float(np.log(MINI_MEL.floor)) - MINI_MEL.offset) / MINI_MEL.scale  # of a normalised log-mel
AXES_SCENES = 256  # scenes that the axes are fitted to


class Crops:
    """Random pieces of the scenes' log-mels: as they are, and smooth as the codec leaves them."""

    def __init__(self, mels: Tensor, codec: MelCodec, config: TextureStageConfig) -> None:
        self.mels, self.codec, self.config = mels, codec, config

    def draw(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """(batch, frames, mels) twice: fine, smooth. Each crop is a little louder or softer than its scene."""
        config, frames = self.config, self.config.crop_tokens * self.codec.config.frames
        rows = torch.randint(len(self.mels), (config.batch,), generator=generator)
        starts = torch.randint(self.mels.shape[1] - frames + 1, (config.batch,), generator=generator)
        fine = torch.stack(
            [self.mels[r, s : s + frames].float() for r, s in zip(rows.tolist(), starts.tolist(), strict=True)]
        )
        gain = (2 * torch.rand((config.batch, 1, 1), generator=generator) - 1) * config.gain
        fine = (fine + gain).clamp(min=FLOOR)
        return fine, self.codec.decode(self.codec.encode(fine))


def moments_loss(texture: Texture, fine: Tensor, smooth: Tensor) -> Tensor:
    """Negative log likelihood of the details along their axes, wide axes weighing most."""
    mean, spread = texture.mean_and_spread(smooth)
    detail = texture.to_axes(to_grid(fine - smooth, texture.config))
    likelihood = (spread / texture.spread).log() + 0.5 * ((detail - mean) / spread).square()
    return (likelihood * axis_weights(texture)).mean()


def flow_loss(texture: Texture, fine: Tensor, smooth: Tensor, generator: torch.Generator) -> Tensor:
    """Squared error of the direction, wide axes weighing most; mean and spread stay as they are."""
    with torch.no_grad():
        mean, spread = texture.mean_and_spread(smooth)
        given = texture.conditions(smooth, mean, spread)
        detail = (texture.to_axes(to_grid(fine - smooth, texture.config)) - mean) / spread
        detail = detail.clamp(-8, 8)  # a click in digital silence would outweigh all else
        noise = torch.randn(detail.shape, generator=generator)
        level = torch.rand(len(detail), generator=generator)
        share = level[:, None, None, None]
        noisy = (1 - share) * detail + share * noise
    error = texture.direction(noisy, level, given) - (noise - detail)
    return (error.square() * axis_weights(texture)).mean()


def axis_weights(texture: Texture) -> Tensor:
    return texture.spread / texture.spread.mean()


def train(name: str, network: torch.nn.Module, recipe, work, crops: Crops, loss_of, steps: int) -> Ema:
    """One network of the texture, trained or resumed; its averaged weights."""
    config = recipe.texture
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    ema = Ema(network, config.ema)
    parts = {"network": network, "optimizer": optimizer, "ema": ema}
    run = Run(name, work, config, parts, steps=steps, seed=config.seed)

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, steps)
        loss = loss_of(*crops.draw(run.generator), run.generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        ema.update(network, step)
        return {"loss": loss.item()}

    run.loop(one_step, save_every=50)
    return ema


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config = recipe.texture
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    scenes = np.load(work / "corpus" / "scenes.npy", mmap_mode="r")
    index = json.loads((work / "corpus" / "scenes.json").read_text())
    with torch.no_grad():
        mels = mels_of(scenes, [n for n, row in enumerate(index) if row["split"] == "train"]).half()
    codec = load_codec(work / "codec" / "final").requires_grad_(False)
    crops = Crops(mels, codec, config)
    texture = Texture(replace(config.network, frames=codec.config.frames, n_mels=codec.config.n_mels))
    some = mels[:: max(1, len(mels) // AXES_SCENES)].float()
    fit_axes(texture, some - codec.decode(codec.encode(some)))
    ema = train("texture_moments", texture.moments, recipe, work, crops,
                lambda fine, smooth, _: moments_loss(texture, fine, smooth), config.moments_steps)  # fmt: skip
    texture.moments.load_state_dict(ema.weights)
    texture.moments.requires_grad_(False)
    if texture.config.flow_depth:
        save_texture(without_flow(texture), work / "decoder_moments", dtype=torch.float16)
        ema = train("texture_flow", texture.flow, recipe, work, crops,
                    lambda fine, smooth, g: flow_loss(texture, fine, smooth, g), config.flow_steps)  # fmt: skip
        texture.flow.load_state_dict(ema.weights)
    save_texture(texture, work / "decoder", dtype=torch.float16)


def without_flow(texture: Texture) -> Texture:
    """The same, white noise alone."""
    config: TextureConfig = replace(texture.config, flow_depth=0)
    plain = Texture(config)
    plain.load_state_dict({k: w for k, w in texture.state_dict().items() if not k.startswith("flow.")})
    return plain


if __name__ == "__main__":
    main()
