"""What a flow remembers: tokens of a few recordings of every kind of sound, to start from instead of from noise.

A target is met by one of the recordings whose embeddings lie nearest to it: the seed decides which, the temperature how
near. The recording is laid out to the asked length as it would sound (`layout`), noised to the level that `variation`
asks for, and denoised towards the target from there: 0 is the recording through the codec, 1 is no memory at all.

*Conventions*: embeddings are unit vectors of the generator's space; tokens are those of its codec, kept as one signed
byte a number with a scale for each channel.
"""

from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.errors import BundleError, ConfigError
from echoframe.generators.layout import Recordings, describe, lay_out, plan
from echoframe.generators.mel_codec import MelCodec
from echoframe.weights import read_config, read_json, read_weights, write_json, write_weights

NEAREST = 8  # recordings among which a seed chooses


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryConfig:
    """temperature: of the choice among the nearest, in units of cosine; 0 always takes the nearest. per_db: of one
    decibel, in the units of the normalised log-mel. space: the audio space of the embeddings.
    """

    temperature: float = 0.03
    per_db: float = 1.0
    space: str = ""

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.per_db <= 0:
            raise ConfigError(
                f"memory: temperature {self.temperature}, per_db {self.per_db}; "
                "expected a temperature of 0 at least and a per_db above 0"
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class Remembered:
    """A recording that a sound began with. sound: its name in its source. licence, attribution: as its makers ask.

    cosine: of its embedding with the target.
    """

    sound: str
    label: str
    source: str
    licence: str
    attribution: str = ""
    cosine: float = 0.0


class Memory:
    """The remembered recordings, frozen, on the CPU: they are looked up, not computed with."""

    def __init__(
        self,
        config: MemoryConfig,
        *,
        entries: list[Remembered],
        embeddings: Float[Tensor, "sounds dim"],
        tokens: Float[Tensor, "total channels"],
        starts: Tensor,
        steady: Tensor,
        codec: MelCodec,
    ) -> None:
        """tokens: all recordings end to end; starts: (N + 1,) where each begins, and the end. steady: (N,) bool.

        codec: whose tokens they are. Raises BundleError for parts of unequal length.
        """
        n = len(entries)
        if (len(embeddings), len(starts), len(steady)) != (n, n + 1, n) or int(starts[-1]) != len(tokens):
            raise BundleError(
                f"memory: {n} sounds, {len(embeddings)} embeddings, {len(starts)} starts and {len(tokens)} tokens do "
                "not belong together; fetch the model again"
            )
        self.config, self.entries, self.embeddings = config, entries, embeddings
        self.tokens, self.starts, self.steady = tokens, starts, steady
        levels = [
            codec.levels(tokens[None, a:b])[0] for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        ]
        self.recordings: Recordings = describe(levels, steady.tolist(), config.per_db)
        zero = codec.encode(torch.zeros(1, codec.config.frames, codec.config.n_mels))
        one = codec.encode(torch.ones(1, codec.config.frames, codec.config.n_mels))
        self._unit = (one - zero)[0, 0]  # what a token changes by where its log-mel rises by one

    def choose(self, target: Float[Tensor, " dim"], seed: int) -> int:
        """Which recording meets the target: one of the nearest, drawn by the seed."""
        cosines = self.embeddings @ target.float().cpu()
        near = cosines.topk(min(NEAREST, len(cosines)))
        if self.config.temperature == 0:
            return int(near.indices[0])
        weights = ((near.values - near.values[0]) / self.config.temperature).exp()
        random = torch.Generator().manual_seed(seed)
        return int(near.indices[int(torch.multinomial(weights, 1, generator=random))])

    def remembered(self, target: Float[Tensor, " dim"], seed: int) -> Remembered:
        """What `choose` takes, as the record beside a result names it."""
        which = self.choose(target, seed)
        cosine = float(self.embeddings[which] @ target.float().cpu())
        return replace(self.entries[which], cosine=round(cosine, 4))

    def scene(self, target: Float[Tensor, " dim"], seed: int, n_tokens: int) -> Float[Tensor, "tokens channels"]:
        """The chosen recording, laid out to `n_tokens` tokens; the seed draws places and gaps as well."""
        which = torch.tensor([self.choose(target, seed)])
        random = torch.Generator().manual_seed(seed)
        scenes = plan(self.recordings[which], n_tokens, random)
        return lay_out(self.tokens, self.starts[which], scenes, self._unit)[0]


def save_memory(memory: Memory, folder: Path) -> None:
    """Writes config.json, sounds.json and model.safetensors into `folder`."""
    scale = memory.tokens.abs().amax(dim=0).clamp(min=1e-6) / 127
    tensors = {
        "tokens": (memory.tokens / scale).round().clamp(-127, 127).to(torch.int8),
        "scale": scale,
        "starts": memory.starts.to(torch.int32),
        "steady": memory.steady.to(torch.uint8),
        "embeddings": memory.embeddings.half(),
    }
    write_weights(folder / "model.safetensors", tensors)
    rows = [{k: v for k, v in asdict(entry).items() if k != "cosine"} for entry in memory.entries]
    write_json(folder / "sounds.json", {"sounds": rows})
    write_json(folder / "config.json", asdict(memory.config))


def load_memory(folder: Path, codec: MelCodec) -> Memory:
    """The memory in `folder`. Raises BundleError for a damaged one, or one of another codec's tokens."""
    path = folder / "model.safetensors"
    held, rows = read_weights(path), read_json(folder / "sounds.json").get("sounds")
    missing = {"tokens", "scale", "starts", "steady", "embeddings"} - held.keys()
    if missing or not isinstance(rows, list):
        raise BundleError(f"{path}: no {', '.join(sorted(missing)) or 'list of sounds'}; fetch the model again")
    if held["tokens"].shape[1] != codec.channels:
        raise BundleError(
            f"{path}: remembers tokens of {held['tokens'].shape[1]} numbers, the codec has {codec.channels}; "
            "take both from the same model"
        )
    try:
        entries = [Remembered(**row) for row in rows]
    except TypeError as error:
        raise BundleError(f"{folder / 'sounds.json'}: {error}; fetch the model again") from error
    return Memory(
        read_config(MemoryConfig, folder / "config.json"),
        entries=entries,
        embeddings=torch.nn.functional.normalize(held["embeddings"].float(), dim=1),
        tokens=held["tokens"].float() * held["scale"].float(),
        starts=held["starts"].long(),
        steady=held["steady"].bool(),
        codec=codec,
    )
