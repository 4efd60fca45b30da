"""What people ask for, beside what is seen: words, labels turned up and down, and an example move the target.

Where the mapper goes by way of labels, words that are labels are an expert beside the picture: their product decides
(Hinton 2002), so that "dog" with a picture of a howling one means the howling. All else moves the target itself.

*Conventions*: labels and their shares are mappings of names to numbers; vectors are unit vectors of the audio space, (D,).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.functional import normalize

from echoframe.errors import InputError
from echoframe.mappers import LabelMapper, Mapper

FLOOR = 1e-3  # the least that the picture, or the words, leave to a label when they are weighed against each other
ALIKE = 0.3  # cosine of where the sounds of two labels lie: from there on one may be taken for the other
PULL = 0.5  # how far an example pulls the target of a sound that starts from noise


@dataclass(frozen=True, kw_only=True, eq=False)
class Steering:
    """What is asked for.

    Attributes:
        named: labels that the words name, with shares that sum to 1.
        prompt: the words' own place in the audio space, where the model can embed them.
        weight: of the words: 0 is the picture alone, 1 the words alone.
        unwanted: labels that are not to be heard.
        akin: labels that people call by the same words as an unwanted one.
        negative: the place of what is not to be heard.
        factors: labels with what their chance is multiplied by: 0 is never, 1 as seen, 2 twice as likely.
        example: the place of a sound that it shall be like.
        pull: how far the target goes to the example, 0 to 1.
    """

    named: Mapping[str, float] = field(default_factory=dict)
    prompt: Float[Tensor, " dim"] | None = None
    weight: float = 0.0
    unwanted: frozenset[str] = frozenset()
    akin: frozenset[str] = frozenset()
    negative: Float[Tensor, " dim"] | None = None
    factors: Mapping[str, float] = field(default_factory=dict)
    example: Float[Tensor, " dim"] | None = None
    pull: float = 0.0

    def words(self, places: Mapping[str, Tensor]) -> Float[Tensor, " dim"] | None:
        """The place of the words, (D,): their own, or the mean of those of the labels that they name."""
        if self.prompt is not None or not self.named:
            return self.prompt
        known = [share * places[name] for name, share in self.named.items() if name in places]
        return normalize(torch.stack(known).sum(dim=0), dim=0) if known else None

    def away(self, places: Mapping[str, Tensor]) -> Float[Tensor, "1 dim"] | None:
        """What a generator shall steer away from, (1, D): the negative, or the mean of the unwanted labels' places."""
        if self.negative is not None:
            return self.negative[None]
        known = [places[name] for name in sorted(self.unwanted & places.keys())]
        return normalize(torch.stack(known).mean(dim=0, keepdim=True), dim=1) if known else None


def predicted(
    mapper: Mapper,
    visual: Float[Tensor, "1 frames dim"],
    mask: Bool[Tensor, "1 frames"],
    *,
    seeds: Sequence[int],
    steering: Steering,
    places: Mapping[str, Tensor],
) -> tuple[Float[Tensor, "seeds audio_dim"], dict[str, float]]:
    """A clip's target for each seed, (K, Da), as it is asked for, and each label's chance where the mapper has labels.

    places: of the labels, for a mapper that knows none.
    """
    if isinstance(mapper, LabelMapper):
        chances = weighed(mapper.chances(visual, mask), mapper.labels, steering, places=mapper.places)
        target = moved(mapper.answer(chances.expand(len(seeds), -1), seeds), steering)
        return target, dict(zip(mapper.labels, chances[0].tolist(), strict=True))
    target = mapper(visual.expand(len(seeds), -1, -1), mask.expand(len(seeds), -1), seeds=seeds)
    return moved(by_labels(target, steering, places), steering), {}


def from_words(
    mapper: Mapper, *, seeds: Sequence[int], steering: Steering, places: Mapping[str, Tensor]
) -> Float[Tensor, "seeds audio_dim"]:
    """The target of each seed where there is no picture, (K, Da). Raises InputError where nothing is asked for either."""
    alone, n = replace(steering, weight=1.0), len(seeds)
    if steering.prompt is not None:
        target = steering.prompt.expand(n, -1)
    elif steering.named and isinstance(mapper, LabelMapper):
        even = torch.full((1, len(mapper.labels)), 1 / len(mapper.labels), dtype=torch.float64)
        chances = weighed(even, mapper.labels, alone, places=mapper.places)
        target = mapper.answer(chances.expand(n, -1), seeds)
    elif steering.named:
        target = by_labels(torch.zeros(n, mapper.config.audio_dim), alone, places)
    elif steering.example is not None:
        target = steering.example.expand(n, -1)
    else:
        raise InputError("no picture and no prompt: give a video or a still image, or say with --prompt what to make")
    return moved(target, alone)


def pull_at(variation: float) -> float:
    """How far an example pulls the target: all the way where it is left as it is, half the way where noise begins.

    >>> pull_at(0.0), pull_at(1.0)
    (1.0, 0.5)
    """
    return 1 - PULL * variation


def weighed(
    chances: Float[Tensor, "batch labels"],
    labels: Sequence[str],
    steering: Steering,
    *,
    places: Float[Tensor, "labels dim"],
) -> Float[Tensor, "batch labels"]:
    """The labels' chances, (B, L), with the words' and the factors'. Raises InputError if nothing is left.

    places: where the labels' sounds lie.
    """
    if not (steering.named or steering.unwanted or steering.factors):
        return chances
    found = chances
    if steering.named and steering.weight > 0:
        words = torch.tensor([steering.named.get(name, 0.0) for name in labels]).to(chances)
        both = chances.clamp(min=FLOOR).log() * (1 - steering.weight) + words.clamp(min=FLOOR).log() * steering.weight
        # hundreds of labels that neither says anything of would outweigh those that one does
        silent = (words == 0) & ((chances <= FLOOR) | (steering.weight == 1))
        both = both.masked_fill(silent, -torch.inf)
        found = both.softmax(dim=1)
    factors = torch.tensor([steering.factors.get(name, 1.0) for name in labels]).to(chances)
    found = without(found * factors, labels, steering, places)
    if not bool((found.sum(dim=1) > 0).all()):
        raise InputError(
            "labels: all that could be heard was turned off; ask for another label, or leave one of the others on"
        )
    return found / found.sum(dim=1, keepdim=True)


def without(
    chances: Float[Tensor, "batch labels"],
    labels: Sequence[str],
    steering: Steering,
    places: Float[Tensor, "labels dim"],
) -> Float[Tensor, "batch labels"]:
    """The chances, (B, L), of any sum, without what is unwanted. What that had goes to labels that do not sound like it.

    Those that do keep their own: a trombone that is seen may be heard, but stands for no trumpet that is not wanted.
    """
    off = torch.tensor([name in steering.unwanted and name not in steering.factors for name in labels])
    if not off.any():
        return chances
    akin = torch.tensor([name in steering.akin for name in labels])
    near = akin | ((places @ places[off].T).amax(dim=1) >= ALIKE).cpu()
    lost = chances[:, off].sum(dim=1, keepdim=True)
    found, others = chances.masked_fill(off, 0), chances.masked_fill(off | near, 0)
    return found + lost * others / others.sum(dim=1, keepdim=True).clamp(min=torch.finfo(others.dtype).tiny)


def by_labels(
    target: Float[Tensor, "batch dim"], steering: Steering, places: Mapping[str, Tensor]
) -> Float[Tensor, "batch dim"]:
    """A target that no labels led to, moved by those that are asked for: along their places."""
    if steering.named:
        place = steering.words(places)
        assert place is not None
        target = normalize(torch.lerp(target, place.to(target), steering.weight), dim=1)
    for name, factor in (dict.fromkeys(steering.unwanted, 0.0) | dict(steering.factors)).items():
        place = places[name].to(target)
        near = (target @ place).clamp(min=0)[:, None]
        target = normalize(target + (factor - 1) * near * place, dim=1)
    return target


def moved(target: Float[Tensor, "batch dim"], steering: Steering) -> Float[Tensor, "batch dim"]:
    """The target, (B, D), moved to the prompt, away from what is not wanted, and to the example: unit length."""
    if steering.prompt is not None:
        target = normalize(torch.lerp(target, steering.prompt.to(target), steering.weight), dim=1)
    if steering.negative is not None:
        negative = steering.negative.to(target)
        target = normalize(target - (target @ negative).clamp(min=0)[:, None] * negative, dim=1)
    if steering.example is not None:
        target = normalize(torch.lerp(target, steering.example.to(target), steering.pull), dim=1)
    return target
