"""Words and names of a request as what moves the target: the model's text encoder knows words, or else its labels do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from jaxtyping import Float
from rapidfuzz import process
from torch import Tensor

from echoframe.bundles.labels import LabelBank
from echoframe.bundles.words import called_alike, labels_meant
from echoframe.errors import AudioError, InputError
from echoframe.generators import Generator
from echoframe.mappers import LabelMapper, Mapper
from echoframe.mappers.steering import Steering, pull_at
from echoframe.media.audio import read_audio
from echoframe.options import Settings, Spot
from echoframe.windows import SILENT_PEAK

LONGEST_S = 30.0  # of an example


@dataclass(frozen=True, eq=False)
class Steered:
    """What a request asks for at any time of a film. whole: where no spot lies. spots: with what is asked for in them."""

    whole: Steering
    spots: Sequence[tuple[Spot, Steering]] = ()

    def at(self, start_s: float, stop_s: float) -> Steering:
        """What is asked for from `start_s` to `stop_s`: of the spot in which the middle lies."""
        middle_s = (start_s + stop_s) / 2
        return next((own for spot, own in self.spots if spot.start_s <= middle_s < spot.end_s), self.whole)


def steered(
    settings: Settings,
    mapper: Mapper,
    generator: Generator,
    labels: LabelBank | None,
    *,
    example: Float[Tensor, " dim"] | None = None,
) -> Steered:
    """What the settings ask for. Raises InputError for words or labels that the model does not know.

    example: the place of the sound that the result shall be like, if there is one.
    """
    names = names_of(mapper, labels)
    for name in settings.labels:
        if name not in names:
            raise InputError(_unknown(name, names))
    kinds = _kinds(names, labels)
    base = Steering(
        weight=settings.prompt_weight, factors=settings.labels, example=example, pull=pull_at(settings.variation)
    )
    if settings.negative_prompt:
        embedded, meant = _meant(settings.negative_prompt, generator, names, kinds)
        akin = frozenset(called_alike(meant, names))
        base = replace(base, negative=embedded, unwanted=frozenset(meant), akin=akin)

    def prompted(text: str) -> Steering:
        embedded, meant = _meant(text, generator, names, kinds)
        return replace(base, prompt=embedded, named=meant)

    whole = prompted(settings.prompt) if settings.prompt else base
    return Steered(whole, [(spot, prompted(spot.text)) for spot in settings.prompts])


def place_of(text: str, mapper: Mapper, generator: Generator, labels: LabelBank | None) -> Float[Tensor, " dim"] | None:
    """The point of the audio space that a text means; none where the labels that it names have no place.

    Raises InputError for words that the model does not know.
    """
    names = names_of(mapper, labels)
    embedded, meant = _meant(text, generator, names, _kinds(names, labels))
    return Steering(prompt=embedded, named=meant).words({} if labels is None else labels.places)


def names_of(mapper: Mapper, labels: LabelBank | None) -> tuple[str, ...]:
    """The labels that can be asked for: the mapper's, or else those of the bank."""
    if isinstance(mapper, LabelMapper):
        return mapper.labels
    return tuple(labels.places) if labels else ()


def example_of(settings: Settings, sample_rate: int) -> Float[Tensor, "1 samples"] | None:
    """The sound that the result shall be like, at `sample_rate`; none where none is asked for.

    Raises AudioError for a file that cannot be read, and for one in which nothing can be heard.
    """
    if not settings.like:
        return None
    waveform, _ = read_audio(Path(settings.like), sample_rate=sample_rate)
    waveform = waveform[:, : round(LONGEST_S * sample_rate)]
    if waveform.abs().max() < SILENT_PEAK:
        raise AudioError(f"{settings.like}: nothing can be heard in its first {LONGEST_S:g} s; give another example")
    return waveform


def _meant(
    text: str, generator: Generator, names: Sequence[str], kinds: Sequence[str]
) -> tuple[Tensor | None, dict[str, float]]:
    """The place of a text, or else the labels that it names."""
    if generator.has_text:
        return generator.embed_text([text])[0], {}
    if not names:
        raise InputError("prompt: this model has neither a text encoder nor labels; load a model that has one of them")
    return None, labels_meant(text, names, kinds)


def _kinds(names: Sequence[str], labels: LabelBank | None) -> list[str]:
    known = dict(zip(labels.names, labels.kinds, strict=True)) if labels else {}
    return [known.get(name, "") for name in names]


def _unknown(name: str, names: Sequence[str]) -> str:
    if not names:
        return f'label "{name}": this model has no labels; leave it out, or use a prompt'
    near = ", ".join(f'"{each}"' for each, *_ in process.extract(name, names, limit=3))
    return f'label "{name}" is not one of the model\'s; the nearest are {near}'
