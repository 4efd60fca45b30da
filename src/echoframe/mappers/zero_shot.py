"""The zero-shot bridge: frames to an audio space with no training, by way of words.

CLIP says how much each frame looks like each label; the label's place in the audio space is that of its text. It is
the baseline every trained mapper has to beat, and what makes a model sound before it has one.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from echoframe.errors import BundleError, ConfigError
from echoframe.mappers.networks import check_visual, masked_mean
from echoframe.weights import load_weights, read_config, save_part

BRIDGE_KIND = "zero_shot_bridge"
SEEN_AS = "a photo of {}"
HEARD_AS = "the sound of {}"


# texts to unit vectors, (L, D): a TextEncoder, or a generator's own text tower
EmbedTexts = Callable[[list[str]], Tensor]


@dataclass(frozen=True, kw_only=True, slots=True)
class BridgeConfig:
    """scale: what cosines are multiplied by before the softmax, CLIP's own logit scale (Radford et al. 2021, 2.5)."""

    visual_dim: int
    audio_dim: int
    labels: tuple[str, ...]
    scale: float = 100.0
    visual_space: str = ""
    audio_space: str = ""
    kind: str = BRIDGE_KIND

    def __post_init__(self) -> None:
        if self.kind != BRIDGE_KIND or len(self.labels) == 0 or not self.scale > 0:
            raise ConfigError(
                f'bridge: kind "{self.kind}", {len(self.labels)} labels, scale {self.scale}; '
                f'expected "{BRIDGE_KIND}", at least one label and a scale above 0'
            )


class ZeroShotBridge(nn.Module):
    """A mapper of fixed weights: visual_text (L, Dv) and audio_text (L, Da), the texts' unit vectors."""

    visual_text: Tensor
    audio_text: Tensor

    def __init__(
        self,
        config: BridgeConfig,
        *,
        visual_text: Float[Tensor, "labels visual_dim"] | None = None,
        audio_text: Float[Tensor, "labels audio_dim"] | None = None,
    ) -> None:
        """Zeros, to be loaded, stand for vectors that are not given."""
        super().__init__()
        n_labels = len(config.labels)
        self.config = config
        vectors = {"visual_text": (visual_text, config.visual_dim), "audio_text": (audio_text, config.audio_dim)}
        for name, (given, dim) in vectors.items():
            self.register_buffer(name, torch.zeros(n_labels, dim) if given is None else given.detach().float())

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels."""
        return self.config.labels

    @property
    def places(self) -> Float[Tensor, "labels audio_dim"]:
        """The labels' texts in the audio space, (L, Da), unit length."""
        return nn.functional.normalize(self.audio_text, dim=1)

    @torch.no_grad()
    def chances(
        self, visual: Float[Tensor, "batch frames dim"], mask: Bool[Tensor, "batch frames"]
    ) -> Float[Tensor, "batch labels"]:
        """How much the clips look like each label: rows that sum to 1."""
        check_visual(visual, mask, self.config.visual_dim)
        frames = nn.functional.normalize(visual.to(self.visual_text.dtype), dim=2)
        looks_like = (self.config.scale * frames @ self.visual_text.T).softmax(dim=2)  # (B, T, L)
        return masked_mean(looks_like, mask)

    @torch.no_grad()
    def answer(self, chances: Float[Tensor, "batch labels"], seeds: Sequence[int]) -> Float[Tensor, "batch audio_dim"]:
        """The mean of the labels' places, weighted: (B, L) -> (B, Da), unit length. seeds: not looked at."""
        return nn.functional.normalize(chances.to(self.audio_text) @ self.audio_text, dim=1)

    def forward(
        self,
        visual: Float[Tensor, "batch frames dim"],
        mask: Bool[Tensor, "batch frames"],
        *,
        seeds: Sequence[int] | None = None,
    ) -> Float[Tensor, "batch audio_dim"]:
        """Audio embeddings of a batch of clips: (B, T, Dv), mask True where a frame is real -> (B, Da), unit length.

        seeds: not looked at, a label has one place.
        """
        return self.answer(self.chances(visual, mask), seeds or [])


def build_bridge(
    visual_text: EmbedTexts,
    audio_text: EmbedTexts,
    *,
    labels: Sequence[str],
    visual_space: str = "",
    audio_space: str = "",
    templates: tuple[str, str] = (SEEN_AS, HEARD_AS),
) -> ZeroShotBridge:
    """The bridge over `labels`. visual_text embeds their pictures' captions (CLIP), audio_text their sounds' (CLAP).

    templates: the two captions, with {} where the label goes.
    """
    seen = visual_text([templates[0].format(label) for label in labels]).cpu()
    heard = audio_text([templates[1].format(label) for label in labels]).cpu()
    config = BridgeConfig(
        visual_dim=seen.shape[1],
        audio_dim=heard.shape[1],
        labels=tuple(labels),
        visual_space=visual_space,
        audio_space=audio_space,
    )
    return ZeroShotBridge(config, visual_text=seen, audio_text=heard).eval()


def save_bridge(bridge: ZeroShotBridge, directory: Path, *, dtype: torch.dtype | None = None) -> None:
    """Writes config.json and model.safetensors (as `dtype` if given) into `directory`, like a mapper."""
    save_part(directory, asdict(bridge.config), bridge.state_dict(), dtype=dtype)


def load_bridge(directory: Path, *, device: torch.device | str = "cpu") -> ZeroShotBridge:
    """The bridge saved in `directory`. Raises BundleError if a file is missing or does not fit the other."""
    path = directory / "config.json"
    try:
        bridge = ZeroShotBridge(read_config(BridgeConfig, path))
    except (ConfigError, TypeError) as error:
        raise BundleError(f"{path}: not a bridge's config ({error}); fetch the bundle again") from error
    load_weights(bridge, directory / "model.safetensors")
    return bridge.to(device).eval()
