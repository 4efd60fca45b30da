"""The texture, which draws what the codec drops. It learns from the train scenes alone.

Reads WORK/corpus and WORK/codec/final. Writes WORK/texture/final (config.json, model.safetensors) and a log with the
loss on validation scenes. It resumes.
"""

import json
from dataclasses import asdict, replace

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from codec import mels_of
from echoframe.generators.mel_codec import MelCodec, load_codec
from echoframe.generators.texture import Texture, fit_axes, save_texture, to_grid
from echoframe.spec import MINI_MEL
from stage import Ema, Run, TextureStageConfig, arguments, cosine_rate

FLOOR = (float(np.log(MINI_MEL.floor)) - MINI_MEL.offset) / MINI_MEL.scale  # of a normalised log-mel
AXES_SCENES = 256  # scenes that the axes are fitted to
VALIDATION_BATCHES = 24


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


def likelihood_loss(texture: Texture, fine: Tensor, smooth: Tensor) -> Tensor:
    """Negative log likelihood of the details along their axes, wide axes weighing most; 0.5 if nothing is known."""
    mean, spread = texture.mean_and_spread(smooth)
    detail = texture.to_axes(to_grid(fine - smooth, texture.config))
    unlikely = (spread / texture.spread).log() + 0.5 * ((detail - mean) / spread).square()
    return (unlikely * texture.spread / texture.spread.mean()).mean()


def train(texture: Texture, crops: Crops, run: Run, optimizer: torch.optim.Optimizer, ema: Ema) -> None:
    config = crops.config

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, config.steps)
        loss = likelihood_loss(texture, *crops.draw(run.generator))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip_grad_norm_(texture.parameters(), 1.0)
        optimizer.step()
        ema.update(texture, step)
        return {"loss": loss.item()}

    run.loop(one_step, save_every=50)


@torch.no_grad()
def validate(texture: Texture, crops: Crops) -> float:
    generator = torch.Generator().manual_seed(0)
    losses = [likelihood_loss(texture, *crops.draw(generator)).item() for _ in range(VALIDATION_BATCHES)]
    return float(np.mean(losses))


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config = recipe.texture
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    scenes = np.load(work / "corpus" / "scenes.npy", mmap_mode="r")
    index = json.loads((work / "corpus" / "scenes.json").read_text())
    train_mels, val_mels = (
        mels_of(scenes, [n for n, row in enumerate(index) if row["split"] == split]).half()
        for split in ("train", "val")
    )
    codec = load_codec(work / "codec" / "final").requires_grad_(False)
    network = replace(config.network, frames=codec.config.frames, n_mels=codec.config.n_mels)
    texture = Texture(network)
    some = train_mels[:: max(1, len(train_mels) // AXES_SCENES)].float()
    fit_axes(texture, some - codec.decode(codec.encode(some)))
    learned = [weight for weight in texture.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(learned, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    ema = Ema(texture, config.ema)
    parts = {"texture": texture, "optimizer": optimizer, "ema": ema}
    run = Run("texture", work, config, parts, steps=config.steps, seed=config.seed)
    train(texture, Crops(train_mels, codec, config), run, optimizer, ema)
    texture.load_state_dict(ema.weights)
    loss = validate(texture, Crops(val_mels, codec, replace(config, gain=0.0)))
    print(f"texture: validation loss {loss:.4f} (0.5 if nothing were known)", flush=True)
    save_texture(texture, work / "texture" / "final", dtype=torch.float16)
    (work / "texture" / "validation.json").write_text(json.dumps({"loss": loss, "network": asdict(network)}))


if __name__ == "__main__":
    main()
