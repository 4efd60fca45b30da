"""Trains the flow from a packed folder alone, on a CPU or on one NVIDIA GPU. Needs torch, numpy and safetensors.

    python train_flow.py PACKED OUT --config cpu|gpu [--seconds 460 | --steps N] [--init FOLDER]

Rectified flow (Liu et al., arXiv 2209.03003; Lipman et al., arXiv 2210.02747): on the straight line from tokens (level 0)
to noise (level 1) the denoiser learns the direction, noise - tokens. Levels are drawn logit-normal (Esser et al., arXiv
2403.03206), stratified over a batch. Conditions carry noise, as a mapper's will; one in ten is zero, for guidance. The
learning rate warms up, stays, and falls to nothing over the last part of the run (Haegele et al., arXiv 2405.18392), by
time or by steps; weights are averaged (EMA).

Into OUT go checkpoint.pt (kill the program and start it again: it goes on), log.jsonl, and at every save parts/: the
averaged weights in float16 as model.safetensors in pieces of at most 15 MB (`cat` joins them), config.json, log.jsonl.
"""

import argparse
import json
import math
import os
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn

from light import prepare

prepare()
from echoframe.generators.denoiser import Denoiser, DenoiserConfig  # noqa: E402
from muon import optimizers  # noqa: E402
from packed import Packed  # noqa: E402
from weights_in import load_start  # noqa: E402
from weights_out import write_parts  # noqa: E402

VALIDATION, VALIDATION_BATCH = 256, 64  # scenes


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """batch_tokens: in a step. whole_every: each so many steps has whole scenes, the others crops. fall: share of the run
    in which the learning rate falls. condition_noise: expected length of the noise added to a unit condition.
    level_mean, level_deviation: of the log odds of a level."""

    width: int = 384
    depth: int = 8
    n_heads: int = 6
    patch: int = 2
    crop_tokens: int = 44  # 3.52 s
    whole_tokens: int = 128  # 10.24 s
    whole_every: int = 3
    batch_tokens: int = 6144  # making the matrices orthogonal costs as much as 3,000 tokens
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    muon: bool = True
    warmup_steps: int = 50
    fall: float = 0.4
    ema: float = 0.998
    unconditional: float = 0.1
    condition_noise: float = 0.3
    level_mean: float = 0.4
    level_deviation: float = 1.2
    device: str = "cpu"
    bfloat16: bool = False
    compile: bool = False
    threads: int = 2
    save_every_s: float = 300.0
    validate_every: int = 100
    seed: int = 0


CONFIGS = {
    "cpu": TrainConfig(),
    "gpu": TrainConfig(
        device="cuda",
        bfloat16=True,
        compile=True,
        batch_tokens=65_536,
        learning_rate=2e-3,
        warmup_steps=200,
        ema=0.999,
        save_every_s=120.0,
        validate_every=500,
    ),
}


def share_of_rate(progress: float, step: int, config: TrainConfig) -> float:
    """Of the learning rate: linear warm-up, then constant, then 1 - sqrt (arXiv 2405.18392, section 4) down to nothing."""
    warm = min(1.0, (step + 1) / config.warmup_steps)
    fallen = max(0.0, (progress - (1 - config.fall)) / config.fall)
    return warm * (1 - math.sqrt(min(1.0, fallen)))


def levels(size: int, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """(size,) noise levels, one in each of as many equal shares of their distribution."""
    drawn = torch.rand(size, generator=generator, device=generator.device)
    quantiles = (torch.arange(size, device=generator.device) + drawn) / size
    return torch.sigmoid(
        config.level_mean + config.level_deviation * torch.special.ndtri(quantiles.clamp(1e-4, 1 - 1e-4))
    )


def errors(network: nn.Module, tokens: Tensor, condition: Tensor, level: Tensor, noise: Tensor) -> Tensor:
    """(B,) mean squared errors of the predicted direction."""
    noisy = torch.lerp(tokens, noise, level[:, None, None])
    return (network(noisy, level, condition).float() - (noise - tokens)).square().mean(dim=(1, 2))


def roughen(condition: Tensor, config: TrainConfig, generator: torch.Generator) -> Tensor:
    """Unit conditions with some noise, a share of them zero."""
    size, device = len(condition), condition.device
    blur = torch.randn(condition.shape, generator=generator, device=device)
    strength = torch.rand((size, 1), generator=generator, device=device) * config.condition_noise
    rough = nn.functional.normalize(condition + blur * strength / condition.shape[1] ** 0.5, dim=1)
    return rough * (torch.rand((size, 1), generator=generator, device=device) >= config.unconditional)


class Trainer:
    """The network, what trains it, and where it stands. `step` counts; `seconds` is the time spent training."""

    def __init__(
        self, packed: Path, out: Path, config: TrainConfig, init: Path | None, *, parts: Path | None = None
    ) -> None:
        self.config, self.out, self.parts = config, out, parts or out / "parts"
        torch.set_num_threads(config.threads)
        torch.manual_seed(config.seed)  # initial weights
        torch.set_float32_matmul_precision("high")
        self.train, self.val = (Packed(packed, split, config.device) for split in ("train", "val"))
        shape = DenoiserConfig(
            channels=self.train.channels,
            condition_dim=self.train.dim,
            width=config.width,
            depth=config.depth,
            n_heads=config.n_heads,
            patch=config.patch,
            preconditioned=True,
        )
        self.network = Denoiser(shape)
        self.network.spread.data.copy_(self.train.spread)
        if init is not None:
            print(load_start(self.network, init), flush=True)
        self.network.to(config.device)
        self.optimizers = optimizers(
            self.network, lr=config.learning_rate, weight_decay=config.weight_decay, muon=config.muon
        )
        self.average = {k: v.detach().clone() for k, v in self.network.state_dict().items()}
        self.generator = torch.Generator(config.device).manual_seed(config.seed)
        self.predict = torch.compile(self.network, dynamic=False) if config.compile else self.network
        self.step, self.seconds = 0, 0.0
        out.mkdir(parents=True, exist_ok=True)
        self.resume()
        self.fixed = self.validation_scenes()

    def resume(self) -> None:
        path = self.out / "checkpoint.pt"
        if not path.exists():
            return
        saved = torch.load(path, map_location=self.config.device, weights_only=True)
        self.network.load_state_dict(saved["network"])
        for optimizer, state in zip(self.optimizers, saved["optimizers"], strict=True):
            optimizer.load_state_dict(state)
        self.average = saved["average"]
        self.generator.set_state(saved["generator"].cpu())
        self.step, self.seconds = saved["step"], saved["seconds"]
        print(f"train_flow: resumed at step {self.step}, {self.seconds:.0f} s", flush=True)

    def save(self) -> None:
        state = {
            "network": self.network.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "average": self.average,
            "generator": self.generator.get_state(),
            "step": self.step,
            "seconds": self.seconds,
        }
        temporary = self.out / "checkpoint.pt.tmp"
        torch.save(state, temporary)
        os.replace(temporary, self.out / "checkpoint.pt")
        write_parts(self.parts, self.network.config, self.average, self.config, self.out / "log.jsonl")

    def one_step(self, progress: float) -> Tensor:
        """Trains one batch; its loss, still on the device."""
        config, generator = self.config, self.generator
        rate = config.learning_rate * share_of_rate(progress, self.step, config)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        width = config.whole_tokens if self.step % config.whole_every == 0 else config.crop_tokens
        size = max(1, config.batch_tokens // width)
        tokens, condition = self.train.batch(size, width, generator)
        condition, level = roughen(condition, config, generator), levels(size, config, generator)
        noise = torch.randn(tokens.shape, generator=generator, device=tokens.device)
        with torch.autocast(tokens.device.type, torch.bfloat16, enabled=config.bfloat16):
            loss = errors(self.predict, tokens, condition, level, noise).mean()
        self.network.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        self.follow()
        self.step += 1
        return loss.detach()

    @torch.no_grad()
    def follow(self) -> None:
        """The average of the weights; early steps do not linger in it."""
        decay = min(self.config.ema, (1 + self.step) / (10 + self.step))
        averages = [self.average[name] for name, p in self.network.named_parameters() if p.requires_grad]
        torch._foreach_lerp_(averages, [p.detach() for p in self.network.parameters() if p.requires_grad], 1 - decay)

    def validation_scenes(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same scenes, conditions, levels and noise whenever validated: val recordings, as they are drawn."""
        generator = torch.Generator(self.config.device).manual_seed(1)
        rows = torch.multinomial(self.val.weights, VALIDATION, replacement=True, generator=generator)
        width = self.config.crop_tokens
        tokens, start = self.val.scenes(rows, width, generator)
        condition = self.val.condition(rows, start, width, None)
        level = levels(VALIDATION, self.config, generator)[
            torch.randperm(VALIDATION, generator=generator, device=tokens.device)
        ]
        return tokens, condition, level, torch.randn(tokens.shape, generator=generator, device=tokens.device)

    @torch.no_grad()
    def validate(self) -> dict[str, float]:
        """Losses of the averaged weights on val recordings: all, by third of the levels, and without a condition."""
        held = {k: v.clone() for k, v in self.network.state_dict().items()}
        self.network.load_state_dict(self.average)
        tokens, condition, level, noise = self.fixed
        found, blind = [], []
        for n in range(0, VALIDATION, VALIDATION_BATCH):
            part = slice(n, n + VALIDATION_BATCH)
            with torch.autocast(tokens.device.type, torch.bfloat16, enabled=self.config.bfloat16):
                found.append(errors(self.network, tokens[part], condition[part], level[part], noise[part]))
            if n == 0:
                none = torch.zeros_like(condition[part])
                blind.append(errors(self.network, tokens[part], none, level[part], noise[part]))
        self.network.load_state_dict(held)
        loss, order = torch.cat(found), level.argsort()
        thirds = [round(float(loss[part].mean()), 4) for part in order.chunk(3)]
        same = {"val_first": round(float(loss[:VALIDATION_BATCH].mean()), 4)}
        return same | {
            "val": round(float(loss.mean()), 4),
            "val_low_mid_high": thirds,  # type: ignore[dict-item]
            "val_first_unconditional": round(float(torch.cat(blind).mean()), 4),
        }

    def log(self, line: dict) -> None:
        with (self.out / "log.jsonl").open("a") as log:
            log.write(json.dumps(line) + "\n")
        print("train_flow", json.dumps(line), flush=True)


def run(trainer: Trainer, *, seconds: float | None, steps: int | None, log_every: int) -> None:
    """Trains until the time or the steps are over; the schedule ends with them."""
    config, saved, losses, began = trainer.config, time.monotonic(), [], time.monotonic()
    logged_at = trainer.seconds

    def progress() -> float:
        return trainer.step / steps if steps is not None else trainer.seconds / (seconds or 1.0)

    trainer.log({"step": trainer.step, "seconds": round(trainer.seconds, 1)} | trainer.validate())
    began = time.monotonic()
    while progress() < 1:
        losses.append(trainer.one_step(progress()))
        if len(losses) % log_every == 0 or config.device == "cpu":
            losses[-1] = losses[-1].cpu()  # waits for the device
        now = time.monotonic()
        trainer.seconds, began = trainer.seconds + now - began, now
        last = progress() >= 1
        if trainer.step % log_every == 0 or last:
            loss = float(torch.stack([one.cpu() for one in losses]).mean())
            if not math.isfinite(loss):
                raise SystemExit("train_flow: the loss is not finite; lower learning_rate and begin again")
            speed = len(losses) * config.batch_tokens / max(trainer.seconds - logged_at, 1e-9)
            line = {"step": trainer.step, "seconds": round(trainer.seconds, 1), "loss": round(loss, 4)}
            line |= {"tokens_per_s": round(speed), "progress": round(progress(), 4)}
            if trainer.step % config.validate_every == 0 or last:
                line |= trainer.validate()
            trainer.log(line)
            losses, logged_at = [], trainer.seconds
        if time.monotonic() - saved > config.save_every_s or last:
            trainer.save()
            saved = time.monotonic()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packed", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--config", choices=sorted(CONFIGS), default="cpu")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="other values of the config")
    parser.add_argument("--seconds", type=float, help="of training, over all starts of the program")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--init", type=Path, help="a denoiser's folder, its parts, or a bundle")
    parser.add_argument("--parts", type=Path, help="where the weights in parts go [OUT/parts]")
    parser.add_argument("--log-every", type=int, default=20)
    args = parser.parse_args()
    if (args.seconds is None) == (args.steps is None):
        parser.error("give --seconds or --steps, one of them")
    values = {k: json.loads(v) if v[:1] in "0123456789-tf[." else v for k, v in (one.split("=", 1) for one in args.set)}
    config = replace(CONFIGS[args.config], **values)
    trainer = Trainer(args.packed, args.out, config, args.init, parts=args.parts)
    (args.out / "train.json").write_text(json.dumps(asdict(config), indent=1))
    run(trainer, seconds=args.seconds, steps=args.steps, log_every=args.log_every)


if __name__ == "__main__":
    sys.exit(main())
