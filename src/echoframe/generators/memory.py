"""What a flow remembers: tokens of a few recordings of every kind of sound, to start from instead of from noise.

A target is met by one of the recordings that fit it best: the seed decides which, the temperature how well. A recording
fits if its embedding lies near the target, and if its label is one that the target may have: near embeddings often have
other labels, and a linear layer that has learned the labels (`Labeller`) finds the right one twice as often. The recording
is laid out to the asked length as it would sound (`layout`), noised to the level that `variation` asks for, and denoised
towards the target from there: 0 is the recording through the codec, 1 is no memory at all.

*Conventions*: embeddings are unit vectors of the generator's space; tokens are those of its codec, kept as one signed
byte a number with a scale for each channel.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.errors import BundleError, ConfigError
from echoframe.generators.events import Struck, background, lay, material
from echoframe.generators.layout import Recordings, describe, is_steady, lay_out, plan
from echoframe.generators.mel_codec import MelCodec
from echoframe.weights import read_config, read_json, read_weights, write_json, write_weights

BEST = 8  # recordings among which a seed chooses
LEAST_CHANCE = 1e-6  # of two sounds to share a label
MOST_OTHERS = 6  # recordings of the same label that help out where one is laid on onsets


@dataclass(frozen=True, kw_only=True, slots=True)
class MemoryConfig:
    """temperature: of the choice among the best, in units of cosine; 0 always takes the best. label_weight: what a label
    that is e times as likely is worth, in units of cosine. per_db: of one decibel, in the units of the normalised
    log-mel. space: the audio space of the embeddings.
    """

    temperature: float = 0.03
    label_weight: float = 0.2
    per_db: float = 1.0
    space: str = ""

    def __post_init__(self) -> None:
        if min(self.temperature, self.label_weight) < 0 or self.per_db <= 0:
            raise ConfigError(
                f"memory: temperature {self.temperature}, label_weight {self.label_weight}, per_db {self.per_db}; "
                "expected the first two to be 0 at least and a per_db above 0"
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Labeller:
    """Says which labels an embedding may have: one linear layer. names: (L,); weight: (L, D); bias: (L,)."""

    names: tuple[str, ...]
    weight: Float[Tensor, "labels dim"]
    bias: Float[Tensor, " labels"]

    def log_probabilities(self, target: Float[Tensor, " dim"]) -> Float[Tensor, " labels"]:
        """Of every label, for a unit embedding."""
        return (self.weight @ target + self.bias).log_softmax(dim=0)

    def probabilities(self, embeddings: Float[Tensor, "sounds dim"]) -> Float[Tensor, "sounds labels"]:
        """Of every label, for each unit embedding."""
        return (embeddings @ self.weight.T + self.bias).softmax(dim=1)


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
        labeller: Labeller | None = None,
    ) -> None:
        """tokens: all recordings end to end; starts: (N + 1,) where each begins, and the end. steady: (N,) bool.

        codec: whose tokens they are. labeller: knows every entry's label, or embeddings alone decide. Raises BundleError
        for parts of unequal length, and for a label that the labeller does not know.
        """
        n = len(entries)
        if (len(embeddings), len(starts), len(steady)) != (n, n + 1, n) or int(starts[-1]) != len(tokens):
            raise BundleError(
                f"memory: {n} sounds, {len(embeddings)} embeddings, {len(starts)} starts and {len(tokens)} tokens do "
                "not belong together; fetch the model again"
            )
        self.config, self.entries, self.embeddings, self.labeller = config, entries, embeddings, labeller
        self._labels = _places(entries, labeller)
        self.tokens, self.starts, self.steady = tokens, starts, steady
        self._codec = deepcopy(codec)  # the generator moves its own
        levels = [
            codec.levels(tokens[None, a:b])[0] for a, b in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True)
        ]
        self.recordings: Recordings = describe(levels, steady.tolist(), config.per_db)
        zero = codec.encode(torch.zeros(1, codec.config.frames, codec.config.n_mels))
        one = codec.encode(torch.ones(1, codec.config.frames, codec.config.n_mels))
        self._unit = (one - zero)[0, 0]  # what a token changes by where its log-mel rises by one

    def choose(self, target: Float[Tensor, " dim"], seed: int) -> int:
        """Which recording meets the target: one of those that fit best, drawn by the seed."""
        target = target.float().cpu()
        fit = self.embeddings @ target
        if self.labeller is not None:
            fit = fit + self.config.label_weight * self.labeller.log_probabilities(target)[self._labels]
        best = fit.topk(min(BEST, len(fit)))
        if self.config.temperature == 0:
            return int(best.indices[0])
        weights = ((best.values - best.values[0]) / self.config.temperature).exp()
        random = torch.Generator().manual_seed(seed)
        return int(best.indices[int(torch.multinomial(weights, 1, generator=random))])

    def fit(self, target: Float[Tensor, " dim"], embeddings: Float[Tensor, "sounds dim"]) -> Float[Tensor, " sounds"]:
        """How well sounds that are not remembered meet a target: by their cosines, and by how likely they share its label."""
        fit = embeddings @ target
        if self.labeller is None:
            return fit
        shared = self.labeller.probabilities(embeddings) @ self.labeller.probabilities(target[None])[0]
        return fit + self.config.label_weight * shared.clamp(min=LEAST_CHANCE).log()

    def remembered(self, target: Float[Tensor, " dim"], seed: int) -> Remembered:
        """What `choose` takes, as the record beside a result names it."""
        which = self.choose(target, seed)
        cosine = float(self.embeddings[which] @ target.float().cpu())
        return replace(self.entries[which], cosine=round(cosine, 4))

    def scene(
        self, target: Float[Tensor, " dim"], seed: int, n_tokens: int, struck: Sequence[Struck] = ()
    ) -> Float[Tensor, "tokens channels"]:
        """The chosen recording, laid out to `n_tokens` tokens; the seed draws places and gaps as well.

        struck: where its events begin, unless it is steady.
        """
        which = torch.tensor([self.choose(target, seed)])
        random = torch.Generator().manual_seed(seed)
        if struck and not self.steady[which]:
            return self._struck(int(which), n_tokens, struck, random)
        scenes = plan(self.recordings[which], n_tokens, random)
        return lay_out(self.tokens, self.starts[which], scenes, self._unit)[0]

    def _struck(
        self, which: int, n_tokens: int, struck: Sequence[Struck], random: torch.Generator
    ) -> Float[Tensor, "tokens channels"]:
        """A recording's onsets where something is struck, and those of the nearest others of its label."""
        near = (self.embeddings @ self.embeddings[which]).argsort(descending=True).tolist()
        label = self.entries[which].label
        others = [n for n in near if n != which and self.entries[n].label == label and not self.steady[n]]
        per_db = self.config.per_db
        materials = [material(self._mel(n), per_db) for n in (which, *others[:MOST_OTHERS])]
        ground = background(materials[0], n_tokens * self._codec.config.frames, per_db)
        return self._codec.encode(lay(materials, ground, struck, per_db, random)[None])[0]

    def _mel(self, which: int) -> Float[Tensor, "frames mels"]:
        first, last = self.starts[which], self.starts[which + 1]
        return self._codec.decode(self.tokens[None, first:last])[0]


def memory_of_one(tokens: Float[Tensor, "tokens channels"], codec: MelCodec, *, dim: int, per_db: float) -> Memory:
    """A memory whose only entry is a recording's tokens: whatever the target is, it is met by that one."""
    level = codec.levels(tokens[None])[0]
    return Memory(
        MemoryConfig(per_db=per_db),
        entries=[Remembered(sound="", label="", source="", licence="")],
        embeddings=torch.zeros(1, dim),
        tokens=tokens,
        starts=torch.tensor([0, len(tokens)]),
        steady=torch.tensor([is_steady(level, per_db)]),
        codec=codec,
    )


def _places(entries: list[Remembered], labeller: Labeller | None) -> Tensor:
    """(N,): where each entry's label stands among the labeller's."""
    if labeller is None:
        return torch.zeros(0, dtype=torch.long)
    places = {name: n for n, name in enumerate(labeller.names)}
    missing = sorted({entry.label for entry in entries} - places.keys())
    if missing:
        raise BundleError(f'memory: its labeller does not know "{missing[0]}"; fetch the model again')
    return torch.tensor([places[entry.label] for entry in entries])


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
    names: tuple[str, ...] = ()
    if memory.labeller is not None:
        names = memory.labeller.names
        tensors |= {"labels.weight": memory.labeller.weight.half(), "labels.bias": memory.labeller.bias.half()}
    write_weights(folder / "model.safetensors", tensors)
    rows = [{k: v for k, v in asdict(entry).items() if k != "cosine"} for entry in memory.entries]
    write_json(folder / "sounds.json", {"sounds": rows, "labels": list(names)})
    write_json(folder / "config.json", asdict(memory.config))


def load_memory(folder: Path, codec: MelCodec) -> Memory:
    """The memory in `folder`. Raises BundleError for a damaged one, or one of another codec's tokens."""
    path = folder / "model.safetensors"
    held, listed = read_weights(path), read_json(folder / "sounds.json")
    rows = listed.get("sounds")
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
        labeller=_read_labeller(held, listed.get("labels"), path),
    )


def _read_labeller(held: dict[str, Tensor], names: object, path: Path) -> Labeller | None:
    """The labeller, if the file has one. Raises BundleError if its shape is not that of its names and the embeddings."""
    if "labels.weight" not in held:
        return None
    weight, bias = held["labels.weight"].float(), held.get("labels.bias", torch.zeros(0)).float()
    n, dim = len(names) if isinstance(names, list) else 0, held["embeddings"].shape[1]
    if weight.shape != (n, dim) or bias.shape != (n,):
        raise BundleError(
            f"{path}: labels of shape {tuple(weight.shape)} and {tuple(bias.shape)} for {n} names and embeddings of {dim} "
            "numbers; fetch the model again"
        )
    return Labeller(names=tuple(map(str, cast(list, names))), weight=weight, bias=bias)
