"""The parts of a cascade, and what each of them says of a clip or a sound."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.bundles.labels import LabelBank
from echoframe.encoders import AudioEncoder, VisualEncoder
from echoframe.generators import Generator
from echoframe.mappers import LabelMapper, Mapper
from echoframe.mappers.steering import Steering, from_words, predicted
from echoframe.media.video import Frames
from echoframe.options import Settings
from echoframe.sound.decoding import Decode, Eyes, decode
from echoframe.sound.expected import N_EXPECTED
from echoframe.sound.steered import Steered, steered
from echoframe.spec import ClipSpec
from echoframe.timing.passages import Shot, Stretch, View
from echoframe.windows import Seen, seen_mask, unit_mean

ALIKE = 0.9  # cosine of targets that sound alike, where there are no labels


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """What a cascade is made of; see `EchoFrame`. decode: what reads a clip's file."""

    visual_encoder: VisualEncoder
    mapper: Mapper
    generator: Generator
    audio_encoder: AudioEncoder | None
    labels: LabelBank | None
    clip_spec: ClipSpec
    decode: Decode = decode

    @property
    def places(self) -> Mapping[str, Tensor]:
        """Of the labels, in the audio space: (Da,) each."""
        return {} if self.labels is None else self.labels.places

    def steered(self, settings: Settings, example: Float[Tensor, "1 length"] | None) -> Steered:
        """What the settings ask for. example: read from the file that they name."""
        place = None if example is None else self.embed(example)[0]
        return steered(settings, self.mapper, self.generator, self.labels, example=place)

    def from_words(self, asked: Steering, seeds: Sequence[int]) -> Float[Tensor, "seeds dim"]:
        """The targets where there is no picture. Raises InputError where nothing is asked for either."""
        return from_words(self.mapper, seeds=seeds, steering=asked, places=self.places)

    @property
    def eyes(self) -> Eyes:
        """How frames are looked at."""
        return Eyes(
            clip_spec=self.clip_spec,
            short_side=self.visual_encoder.short_side,
            longest_s=self.generator.max_duration_s,
        )

    def look(
        self,
        laid_out: Sequence[tuple[Shot, list[Stretch]]],
        every_frames: Iterator[Frames] | None,
        seeds: Sequence[int],
        seen: Seen,
        asked: Steered,
    ) -> list[tuple[Shot, list[View]]]:
        """What is seen in each shot, part by part, and the targets that follow from it; without frames, from words."""
        if every_frames is None:
            stretches = [(shot, shot.stretch) for shot, _ in laid_out]
            return [(shot, [View(*own, self.from_words(asked.at(*own), seeds))]) for shot, own in stretches]
        found = []
        for shot, parts in laid_out:
            views = []
            for start_s, stop_s in parts:
                frames = next(every_frames)
                seen.keep(frames, stop_s)
                here = asked.at(start_s, stop_s)
                views.append(View(start_s, stop_s, *self.expected(frames, until_s=stop_s, seeds=seeds, asked=here)))
            found.append((shot, views))
        return found

    @torch.no_grad()
    def expected(
        self, frames: Frames, *, until_s: float, seeds: Sequence[int], asked: Steering
    ) -> tuple[Float[Tensor, "seeds dim"], Mapping[str, float]]:
        """Each seed's target, and what is expected: labels with their chances, or else the nearest with their cosines."""
        visual = self.visual_encoder(frames.images)  # (T, Dv)
        mask = torch.from_numpy(seen_mask(frames.mask, frames.times_s, until_s)).to(visual.device)
        targets, chances = predicted(
            self.mapper, visual[None], mask[None], seeds=seeds, steering=asked, places=self.places
        )
        if not chances and self.labels is not None:
            chances = {name: cosine for name, _, cosine in self.labels.nearest(targets[0], N_EXPECTED)}
        return targets, chances

    def labels_of(self, views: Sequence[View], asked: Steering) -> Mapping[str, float]:
        """Labels with their chances, the mean over views: of a mapper that goes by way of labels, or else those asked for."""
        if not isinstance(self.mapper, LabelMapper) or not any(view.chances for view in views):
            return asked.named
        return {name: sum(view.chances.get(name, 0.0) for view in views) / len(views) for name in self.mapper.labels}

    def embed(self, waveform: Float[Tensor, "1 samples"]) -> Float[Tensor, "1 dim"]:
        """A sound's point of the audio space; of a long one the mean of its windows', which alone does not grow."""
        assert self.audio_encoder is not None
        rate = self.generator.sample_rate
        bounds = [
            (round(start_s * rate), round(stop_s * rate))
            for start_s, stop_s in self.generator.windows_s(waveform.shape[1] / rate)
        ]
        return unit_mean([self.audio_encoder(waveform[:, a:b], rate).cpu() for a, b in bounds])

    def sound_alike(self, one: Float[Tensor, " dim"], other: Float[Tensor, " dim"]) -> bool:
        """Whether two targets are of the same sound: nearest to one label; without labels, near to each other."""
        if self.labels is not None:
            return self.label(one) == self.label(other)
        return float(torch.nn.functional.cosine_similarity(one.float(), other.float(), dim=0)) >= ALIKE

    def label(self, target: Float[Tensor, " dim"]) -> str:
        """The nearest label, "" without any."""
        return "" if self.labels is None else self.labels.nearest(target, 1)[0].name
