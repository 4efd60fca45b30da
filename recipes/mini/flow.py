"""Stage 3: the generator. An aiSFX embedding becomes the tokens of a sound that has it.

Rectified flow (Liu et al., ICLR 2023, arXiv 2209.03003; Lipman et al., ICLR 2023, arXiv 2210.02747): on the straight
line from tokens (level 0) to noise (level 1), the denoiser learns the direction, noise - tokens. Levels are drawn
logit-normal (Esser et al., ICML 2024, arXiv 2403.03206). Conditions carry noise, as a mapper's will; one in ten is
dropped to zeros for guidance.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from echoframe.generators.denoiser import Denoiser, DenoiserConfig, save_denoiser
from stage import Ema, FlowConfig, Run, arguments, cosine_rate

SCENE_S = 10.24
BLOCK_S, BLOCK_HOP_S = 2.32, 1024 * 50 / 44_100  # an aiSFX block lasts, and the next begins after, 1.161 s
N_BLOCKS = 7  # in a scene
LEVEL_MEAN, LEVEL_DEVIATION = 0.4, 1.2  # of the log odds of a level: rather noisy ones, where a sound takes shape


class Scenes:
    """The aiSFX vectors of every scene's blocks; batches draw every label equally often."""

    def __init__(self, work: Path, split: str = "train") -> None:
        index = json.loads((work / "corpus" / "scenes.json").read_text())
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

    def batch(self, tokens: Tensor, size: int, width: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Crops (B, width, C) of the scenes' tokens (N, T, C), from where an aiSFX block begins, and their embeddings."""
        token_s = SCENE_S / tokens.shape[1]
        n_blocks = max(1, int((width * token_s - BLOCK_S) / BLOCK_HOP_S) + 1)  # whole blocks inside
        last = tokens.shape[1] - width
        scenes, firsts, conditions = [], [], []
        for which_label, which, place in torch.rand((size, 3), generator=generator).tolist():
            of_label = self.by_label[self.labels[int(which_label * len(self.labels))]]
            scene = of_label[int(which * len(of_label))]
            block = int(place * (N_BLOCKS - n_blocks + 1))
            scenes.append(scene)
            firsts.append(min(round(block * BLOCK_HOP_S / token_s), last))
            conditions.append(self.embedding(scene, block, block + n_blocks))
        device = tokens.device
        places = torch.tensor(firsts, device=device)[:, None] + torch.arange(width, device=device)
        crops = tokens[torch.tensor(scenes, device=device)[:, None], places]
        return crops.float(), torch.stack(conditions).to(device)


def main() -> None:
    recipe, work, _ = arguments(__doc__ or "")
    config, device = recipe.flow, recipe.device
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)  # initial weights
    scenes = Scenes(work)
    scene_tokens = torch.from_numpy(np.load(work / "codec" / "tokens.npy")).to(device)  # 73 MB, resident
    shape = DenoiserConfig(
        channels=scene_tokens.shape[2], width=config.width, depth=config.depth, n_heads=config.n_heads
    )
    denoiser = Denoiser(shape).to(device)
    optimizer = torch.optim.AdamW(
        denoiser.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    ema = Ema(denoiser, config.ema)
    parts = {"denoiser": denoiser, "optimizer": optimizer, "ema": ema}
    run = Run("flow", work, config, parts, steps=config.steps, seed=config.seed)
    whole = scene_tokens.shape[1]
    predict = torch.compile(denoiser) if config.compile else denoiser  # two widths: two graphs

    def one_step(step: int) -> dict[str, float]:
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * cosine_rate(step, config.steps)
        width = whole if step % config.whole_every == 0 else config.crop_tokens
        size = config.batch_tokens // width
        tokens, condition = scenes.batch(scene_tokens, size, width, run.generator)
        with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=config.bfloat16):
            loss = flow_loss(predict, tokens, condition, config, run.generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        ema.update(denoiser, step)
        return {"loss": loss.item()}

    run.loop(one_step, save_every=100)
    save(denoiser, ema, work)


def flow_loss(
    denoiser: Callable[[Tensor, Tensor, Tensor], Tensor],
    tokens: Tensor,
    condition: Tensor,
    config: FlowConfig,
    generator: torch.Generator,
) -> Tensor:
    """Mean squared error of the predicted direction from tokens to noise."""
    size, device = len(tokens), tokens.device
    quantiles = (torch.arange(size) + torch.rand(size, generator=generator)) / size  # stratified
    level = torch.sigmoid(LEVEL_MEAN + LEVEL_DEVIATION * torch.special.ndtri(quantiles.clamp(1e-4, 1 - 1e-4))).to(
        device
    )
    noise = torch.randn(tokens.shape, generator=generator).to(device)
    blur = torch.randn(condition.shape, generator=generator) * torch.rand((size, 1), generator=generator)
    condition = condition + blur.to(device) * config.condition_noise / condition.shape[1] ** 0.5
    condition = nn.functional.normalize(condition, dim=1)
    keep = (torch.rand((size, 1), generator=generator) >= config.unconditional).to(device)
    noisy = torch.lerp(tokens, noise, level[:, None, None])
    return (denoiser(noisy, level, condition * keep).float() - (noise - tokens)).square().mean()


def save(denoiser: Denoiser, ema: Ema, work: Path) -> None:
    """Writes the averaged weights; refuses weights that are not finite."""
    denoiser.load_state_dict(ema.weights)
    if not all(torch.isfinite(p).all() for p in denoiser.parameters()):
        raise SystemExit("flow: the weights are not finite; lower learning_rate and begin again")
    save_denoiser(denoiser, work / "flow" / "final")


if __name__ == "__main__":
    main()
