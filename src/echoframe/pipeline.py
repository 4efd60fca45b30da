"""Silent video to sound: frames -> visual embeddings -> a point in the audio space -> a waveform.

A film is made in passages, of one shot or of several that sound alike. The way of each is `EchoFrame.predict_target`, for
every part that is looked at, and `generate_candidates`: a passage has its own targets, cues and seed, and is faded into the
next. The generator itself knows how to make a long one in windows.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.bundles.labels import LabelBank
from echoframe.encoders import AudioEncoder, VisualEncoder
from echoframe.errors import InputError
from echoframe.generators import Generator
from echoframe.mappers import Mapper
from echoframe.mappers.hashed import KeptHash
from echoframe.mappers.steering import Steering
from echoframe.media.audio import n_samples
from echoframe.media.frame_array import Clip, NoPicture, opened
from echoframe.media.video import Frames
from echoframe.options import TARGET_LUFS, Request, SampleOptions, Settings, Spot, check_duration
from echoframe.progress import ProgressCallback, nth_of
from echoframe.provenance import BundleId, Machine, MapperId
from echoframe.sound import Sound, one_or_list
from echoframe.sound.decoding import Decode, Eyes, decode
from echoframe.sound.expected import Expected, expected
from echoframe.sound.finished import Maker
from echoframe.sound.parts import Parts
from echoframe.sound.placed import Answers, Placing
from echoframe.sound.rendering import N_DRAWS, look, rendering
from echoframe.sound.steered import example_of
from echoframe.spec import ClipSpec
from echoframe.timing.cues import Cues
from echoframe.timing.passages import Shot, View
from echoframe.windows import Rendering, unit_mean

STILL_DURATION_S = 10.0  # what a still image lasts unless asked otherwise
LIBRARY_SYNC = 0.5  # its events are laid on the onsets that are more likely than not


def settled(clip: Clip, request: Request, defaults: SampleOptions) -> Settings:
    """What a clip is made with, by the model's `defaults`; `EchoFrame.resolve` says whether the model can."""
    settings = request.settle(defaults, duration_s=STILL_DURATION_S if clip.is_still else clip.duration_s)
    return replace(settings, like=str(Path(settings.like).resolve()) if settings.like else "")


class EchoFrame:
    """The cascade: any visual encoder, mapper and generator whose spaces agree."""

    def __init__(
        self,
        visual_encoder: VisualEncoder,
        mapper: Mapper,
        generator: Generator,
        *,
        audio_encoder: AudioEncoder | None = None,
        labels: LabelBank | None = None,
        clip_spec: ClipSpec = ClipSpec(),
        defaults: SampleOptions = SampleOptions(),
        identity: BundleId = BundleId(),
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        """Puts the parts together; `load` does this for a bundle.

        Args:
            visual_encoder: turns frames into embeddings, (T, Dv).
            mapper: a mapper, a prior or a bridge, which turns them into a target, (1, Da). It may be set to another one
                later; the record then holds the hash of that one's weights.
            generator: turns a target into a sound.
            audio_encoder: ranks candidates and finds the nearest `labels`; None does without both.
            labels: names of sounds with their embeddings, (N, Da).
            clip_spec: which frames of a window are seen.
            defaults: the sampling options that are used where a request has none.
            identity: what the record calls the bundle.
            device: where the parts are, for the record.
            dtype: the numbers that the parts compute with, for the record.
        """
        self.visual_encoder, self.mapper, self.generator = visual_encoder, mapper, generator
        self.audio_encoder, self.labels = audio_encoder, labels
        self.clip_spec, self.defaults, self.identity = clip_spec, defaults, identity
        self.device, self.dtype = device, dtype
        self._decode: Decode = decode
        self._mapper_hash = KeptHash()
        self._own_mapper_sha256 = self._mapper_hash.of(mapper)

    @property
    def mapper(self) -> Mapper:
        """What turns embeddings of frames into a target."""
        return self._mapper

    @mapper.setter
    def mapper(self, mapper: Mapper) -> None:
        self.use_mapper(mapper)

    def use_mapper(self, mapper: Mapper, *, source: str = "") -> None:
        """Takes another mapper.

        Args:
            mapper: it has to join the same spaces. It is put into eval mode: no sound comes again with dropout.
            source: where it came from, for the record.
        """
        self._mapper, self._mapper_source = mapper, source
        if isinstance(mapper, torch.nn.Module):
            mapper.eval()

    @property
    def mapper_id(self) -> MapperId | None:
        """What a record calls the mapper: None where its weights are those of the one that the model began with."""
        sha256 = self._mapper_hash.of(self._mapper)
        return None if sha256 == self._own_mapper_sha256 else MapperId(sha256=sha256, source=self._mapper_source)

    @one_or_list
    def generate(
        self,
        source: str | Path | np.ndarray | None,
        *,
        frame_rate: float | None = None,
        seed: int = 0,
        duration_s: float | None = None,
        candidates: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        scheduler: str | None = None,
        variation: float | None = None,
        sync: float | None = None,
        blend: float | None = None,
        prompt: str = "",
        prompt_weight: float = 0.7,
        negative_prompt: str = "",
        prompts: tuple[Spot, ...] = (),
        labels: Mapping[str, float] | None = None,
        like: str | Path = "",
        library: Answers | None = None,
        rank: Mapping[str, float] | None = None,
        nth: int = 1,
        whole: bool = False,
        loudness_lufs: float | None = TARGET_LUFS,
        force: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Sound:
        """Makes the sound of a video or a still image. The same seed, bundle, device and versions give the same samples.

        Args:
            source: the path of a video that FFmpeg reads or of a still image; or frames in memory, (T, H, W, 3) uint8
                RGB; or a list of paths, whose sounds are made one after the other. None makes a sound of the prompt, or of
                the example, alone.
            frame_rate: frames per second of an array. Files know theirs.
            seed: another number gives another sound.
            duration_s: seconds of sound. The default is the length of the video, or 10 s for a still image. Past the end
                of the video, its last frame is held.
            candidates: how many sounds to make of each shot. The one that fits best is kept: that is near to the target and
                to the prompt, meets the onsets it has to heed, and is neither silent nor clipped, clicks nor hums.
            steps: denoising steps. The default is the model's own.
            guidance: 1 follows the target alone; larger numbers push away from what no target would give. The default is
                the model's own.
            scheduler: a name in `echoframe.options.SCHEDULER_NAMES`. The default is the model's own.
            variation: 0 keeps to one of the recordings that the model remembers, 1 starts from noise alone. The default
                is the model's own.
            sync: how readily the sound heeds onsets in the picture: 0 heeds none, 1 all, 0.5 those that are more likely
                than not. The default is the model's own, and 0.5 with a library.
            blend: how far the model varies a library's recordings, 0 to 1, in the band that it knows. At 0 they stay as they
                are.
            prompt: words for what shall be heard, such as "heavy rain on a tin roof". A model with a text encoder takes any
                words; another one takes words for the labels that it knows.
            prompt_weight: 0 heeds the picture alone, 1 the prompt alone.
            negative_prompt: words for what shall not be heard.
            prompts: prompts for parts of a film, in the place of `prompt` there.
            labels: labels, such as `look` finds, with what their chance is multiplied by: 0 turns one off, 2 makes it
                twice as likely.
            like: a sound file that the result shall be like. Less of it remains the higher `variation` is: at 0 it is the
                example itself, at 1 its place in the audio space alone.
            library: an open `echoframe.library.Library`, which was opened with this model. The sound is made of its
                recordings, at their usual sample rate and with as many channels as most have.
            rank: what counts among candidates, where it differs from `echoframe.options.RANK`.
            nth: which of the candidates to keep, 1 is the best.
            whole: one sound for the whole film, whatever its cuts. Otherwise each shot has its own, or neighbouring shots
                that sound alike share one.
            loudness_lufs: the loudness of the result in LUFS, unless its peak would pass -1 dBFS; None leaves it as made.
            force: allows more than an hour of sound.
            progress: a callback that takes (steps done, steps in all, name of the last one).

        Returns:
            The sound, with (1, S) float32 samples in [-1, 1] at the sample rate of the model, or with (C, S) at that of the
            library; for a list of paths, a list of sounds in the same order.

        Raises:
            InputError: an option is out of range, a word or a label is not known to the model, or the source is missing,
                cannot be used or is an array of another type.
            VideoError: the file cannot be decoded.
        """
        request = Request(
            seed=seed,
            duration_s=duration_s,
            candidates=candidates,
            steps=steps,
            guidance=guidance,
            scheduler=scheduler,
            variation=variation,
            sync=sync,
            blend=blend,
            prompt=prompt,
            prompt_weight=prompt_weight,
            negative_prompt=negative_prompt,
            prompts=prompts,
            labels=labels or {},
            like=str(like),
            library=str(library.path) if library is not None else "",
            rank=rank or {},
            nth=nth,
            whole=whole,
            loudness_lufs=loudness_lufs,
        )
        clip, model = opened(source, frame_rate), (self if library is None else self.answered_by(library))
        return model.render(clip, model.resolve(clip, request, force=force), progress=progress)

    def answered_by(self, library: Answers) -> "EchoFrame":
        """This model, its targets answered by the recordings of a library: what `generate` uses for its `library`.

        Args:
            library: an open `echoframe.library.Library`, which was opened with this model.

        Returns:
            A model of the same parts but the generator. It can be used for as long as the library is open.

        Raises:
            InputError: the library has no sounds.
        """
        model = copy(self)
        model.generator = library.voice(self.generator)
        model.defaults = replace(self.defaults, sync=LIBRARY_SYNC)
        return model

    def look(
        self,
        source: str | Path | np.ndarray,
        *,
        frame_rate: float | None = None,
        prompt: str = "",
        prompt_weight: float = 0.7,
        negative_prompt: str = "",
        prompts: tuple[Spot, ...] = (),
        labels: Mapping[str, float] | None = None,
        whole: bool = False,
    ) -> tuple[Expected, ...]:
        """What will be heard, shot by shot, before anything is generated. `generate` takes the same words and labels.

        Args:
            source: a video or a still image, or frames in memory, as for `generate`.
            frame_rate: frames per second of an array.
            prompt: words for what shall be heard.
            prompt_weight: 0 heeds the picture alone, 1 the prompt alone.
            negative_prompt: words for what shall not be heard.
            prompts: prompts for parts of a film.
            labels: labels with what their chance is multiplied by.
            whole: one shot for the whole film, whatever its cuts.

        Returns:
            Each shot with its labels, the likeliest first: with their chances, which sum to 1 at most; or, where the mapper
            does not go by way of labels, with the cosine of their places and the target.

        Raises:
            InputError, VideoError: as for `generate`.
        """
        request = Request(
            prompt=prompt,
            prompt_weight=prompt_weight,
            negative_prompt=negative_prompt,
            prompts=prompts,
            labels=labels or {},
            whole=whole,
        )
        return tuple(expected(shot, views) for shot, views in self._look(opened(source, frame_rate), request))

    def _look(self, clip: Clip, request: Request) -> list[tuple[Shot, list[View]]]:
        """The shots of a clip, and what is seen in each and expected of it, as `generate` would see and expect it."""
        return look(self._parts, clip, self.resolve(clip, request, force=True), own_chance=True).views

    def resolve(self, clip: Clip, request: Request, *, force: bool = False) -> Settings:
        """The settings a clip is made with, with every default filled in. Raises InputError for an impossible request.

        clip: what `probe` found in a file, or frames in memory. force: allows more than an hour.
        """
        settings = settled(clip, request, self.defaults)
        if isinstance(self.generator, Placing):
            settings = replace(settings, library=str(self.generator.path))
        self._check_library(settings)
        check_duration(settings.duration_s, force=force)
        if n_samples(settings.duration_s, self.generator.sample_rate) < 1:
            raise InputError(f"duration {settings.duration_s} s: shorter than one sample; give a longer one")
        if settings.like and self.audio_encoder is None:
            raise InputError(
                f"{settings.like}: this bundle has no audio encoder to hear an example with; leave out like"
            )
        if settings.nth > settings.candidates:
            raise InputError(
                f"nth {settings.nth}: no more candidates are made than {settings.candidates}; ask for more with candidates"
            )
        if settings.candidates > 1 and self.audio_encoder is None:
            raise InputError(
                f"candidates {settings.candidates}: this bundle has no audio encoder to rank them; ask for 1"
            )
        # these raise for an example that cannot be read, which is embedded later, and for words that are not known
        parts, example = self._parts, example_of(settings, self.generator.sample_rate)
        asked = parts.steered(settings, None)
        if isinstance(clip, NoPicture) and example is None:
            parts.from_words(asked.whole, seeds=[0])
        late = [spot for spot in settings.prompts if spot.start_s >= settings.duration_s]
        if late:
            raise InputError(
                f"prompts: one begins at {late[0].start_s:g} s, after the end at {settings.duration_s:g} s; leave it out"
            )
        return settings

    def _check_library(self, settings: Settings) -> None:
        if settings.library and not isinstance(self.generator, Placing):
            raise InputError(f"{settings.library}: this library is not open; give generate the library itself")
        if settings.blend and not settings.library:
            raise InputError(
                f"blend {settings.blend:g}: there is no library whose recordings could be varied; give one"
            )

    @property
    def _parts(self) -> Parts:
        return Parts(
            visual_encoder=self.visual_encoder,
            mapper=self.mapper,
            generator=self.generator,
            audio_encoder=self.audio_encoder,
            labels=self.labels,
            clip_spec=self.clip_spec,
            decode=self._decode,
        )

    @property
    def eyes(self) -> Eyes:
        """How the model looks at frames: which of them, how large, and how long a part of a shot is at most."""
        return self._parts.eyes

    def decoded_by(self, decode: Decode) -> "EchoFrame":
        """This model, whose clips are read by `decode` in the place of `echoframe.sound.decoding.decode`."""
        model = copy(self)
        model._decode = decode
        return model

    def render(
        self,
        clip: Clip,
        settings: Settings,
        *,
        own_chance: bool = True,
        n_draws: int = N_DRAWS,
        progress: ProgressCallback | None = None,
    ) -> Sound:
        """The sound of a clip with settings from `resolve`.

        own_chance: noise comes from the seed and the clip's content, as records have it since "echoframe-provenance/2";
        without it from the seed alone. n_draws: how often a window is drawn at most, with seeds derived from the first,
        until something can be heard in it.
        """
        way = self.rendering(clip, settings, own_chance=own_chance, n_draws=n_draws)
        wanted = next(way)
        while True:
            waveforms = self.generate_candidates(
                wanted.target,
                duration_s=wanted.duration_s,
                seeds=wanted.seeds,
                options=wanted.options,
                negative=wanted.negative,
                example=wanted.example,
                cues=[wanted.cues] * len(wanted.seeds),
                progress=nth_of(progress, wanted.window, wanted.n_windows),
            )
            try:
                wanted = way.send(waveforms)
            except StopIteration as end:
                (sound,) = end.value
                return sound

    def rendering(
        self,
        clip: Clip,
        settings: Settings,
        *,
        nths: Sequence[int] | None = None,
        own_chance: bool = True,
        n_draws: int = N_DRAWS,
        batch_size: int = 1,
    ) -> Rendering[list[Sound]]:
        """The way to a clip's sounds: asks for each window's waveforms, is sent them, and returns the sounds.

        `render` goes it alone, `echoframe.jobs.together` with several clips at once. nths: one sound is made with each of
        them in the place of `settings.nth`, or only that one. own_chance, n_draws: as for `render`. batch_size: how many
        clips, for the record.
        """
        self._check_library(settings)
        machine = Machine(device=self.device, dtype=self.dtype, batch_size=batch_size)
        maker = Maker(bundle=self.identity, mapper=self.mapper_id, machine=machine, labels=self.labels)
        return rendering(
            self._parts,
            maker,
            clip,
            settings,
            nths=nths or (settings.nth,),
            own_chance=own_chance,
            n_draws=n_draws,
        )

    @torch.no_grad()
    def predict_target(
        self, frames: Frames, *, until_s: float, seed: int, steering: Steering = Steering()
    ) -> Float[Tensor, "1 dim"]:
        """The point of the audio space that the mapper predicts from frames.

        Args:
            frames: the frames of a window, (T, H, W, 3) uint8 RGB, with their times.
            until_s: frames at or after this time are not used, in seconds from the start of the video.
            seed: a prior draws another target for another seed.
            steering: words, labels and examples that move it.

        Returns:
            The target, (1, Da) float32 of length 1.
        """
        return self._parts.expected(frames, until_s=until_s, seeds=[seed], asked=steering)[0]

    def predict_targets(
        self, source: str | Path | np.ndarray, *, frame_rate: float | None = None, seed: int = 0
    ) -> list[tuple[Shot, Float[Tensor, "1 dim"]]]:
        """The shots of a film, and the point of the audio space that the mapper predicts for each.

        Args:
            source: the path of a video or of a still image, or frames in memory, as for `generate`.
            frame_rate: frames per second of an array. Files know theirs.
            seed: as for `generate`: a prior draws other targets for another seed.

        Returns:
            Each shot, with its `start_s` and `stop_s` in seconds, and its target, (1, Da) float32 of length 1.

        Raises:
            InputError: the source is missing, cannot be used or is an array of another type.
            VideoError: the file cannot be decoded.
        """
        looked = self._look(opened(source, frame_rate), Request(seed=seed))
        return [(shot, unit_mean([view.target[None].cpu() for view in views])) for shot, views in looked]

    @torch.no_grad()
    def generate_candidates(
        self,
        target: Float[Tensor, "targets *windows dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions,
        negative: Float[Tensor, "negatives dim"] | None = None,
        example: Float[Tensor, "1 length"] | None = None,
        cues: Sequence[Cues | None] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Float[Tensor, "candidates samples"]:
        """Generates a sound of the target, or of its own target, for each seed.

        Args:
            target: (1, Da) float32 of length 1, from `predict_target`, or one for each seed, (N, Da).
            duration_s: seconds of sound, at most `generator.max_duration_s`.
            seeds: one for each sound.
            options: how the generator samples.
            negative: what to steer away from, (1, Da), or one for each seed.
            example: a sound that all begin with, at `generator.sample_rate`, as far as `options.variation` says.
            cues: when things happen, one for each sound; heeded as far as `options.sync` asks.
            progress: a callback that takes (steps done, steps in all, name of the last one).

        Returns:
            (N, S) float32 samples, one row for each seed, at `generator.sample_rate`.
        """
        return self.generator.generate(
            target.expand(len(seeds), *target.shape[1:]),
            duration_s=duration_s,
            seeds=seeds,
            options=options,
            negative=None if negative is None else negative.expand(len(seeds), -1),
            example=example,
            cues=cues,
            progress=progress,
        )
