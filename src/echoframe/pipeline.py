"""Silent video to sound: frames -> visual embeddings -> a point in the audio space -> a waveform.

A film is made in passages, of one shot or of several that sound alike. The way of each is `EchoFrame.predict_target`, for
every part that is looked at, and `generate_candidates`: a passage has its own targets, cues and seed, and is faded into the
next. The generator itself knows how to make a long one in windows.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict, replace
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
from echoframe.media.audio import fade_ends, n_samples, room_for
from echoframe.media.frame_array import FrameArray, frames_of, opened
from echoframe.media.loudness import bring_to_loudness
from echoframe.media.video import Frames, VideoInfo
from echoframe.options import TARGET_LUFS, Request, SampleOptions, Settings, check_duration
from echoframe.progress import ProgressCallback, nth_of
from echoframe.provenance import BundleId, InputId, Machine, MapperId
from echoframe.sound import Sound, one_or_list
from echoframe.sound.finished import Maker, finished, notes_on
from echoframe.spec import ClipSpec
from echoframe.timing.cues import Cues
from echoframe.timing.fit import fits
from echoframe.timing.passages import Passage, Shot, Stretch, View, course, passages_of, shots_of, views_of
from echoframe.timing.watch import Watched, watch
from echoframe.windows import (
    Chance,
    Rendering,
    Seen,
    Wanted,
    add_faded,
    draw,
    picture_times,
    seen_mask,
    unit_mean,
)

ALIKE = 0.9  # cosine of targets that sound alike, where there are no labels
STILL_DURATION_S = 10.0  # what a still image lasts unless asked otherwise
N_PICTURE_FRAMES = 8
N_DRAWS = 4  # of a window in which nothing can be heard, the first one counted
_log = logging.getLogger(__name__)


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
        source: str | Path | np.ndarray,
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
        whole: bool = False,
        loudness_lufs: float | None = TARGET_LUFS,
        force: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Sound:
        """Makes the sound of a video or a still image. The same seed, bundle, device and versions give the same samples.

        Args:
            source: the path of a video that FFmpeg reads or of a still image; or frames in memory, (T, H, W, 3) uint8
                RGB; or a list of paths, whose sounds are made one after the other.
            frame_rate: frames per second of an array. Files know theirs.
            seed: another number gives another sound.
            duration_s: seconds of sound. The default is the length of the video, or 10 s for a still image. Past the end
                of the video, its last frame is held.
            candidates: how many sounds to make of each shot. The one nearest to the target is kept; where it has onsets to
                heed, it also counts how many of them a sound meets.
            steps: denoising steps. The default is the model's own.
            guidance: 1 follows the target alone; larger numbers push away from what no target would give. The default is
                the model's own.
            scheduler: a name in `echoframe.options.SCHEDULER_NAMES`. The default is the model's own.
            variation: 0 keeps to one of the recordings that the model remembers, 1 starts from noise alone. The default
                is the model's own.
            sync: how readily the sound heeds onsets in the picture: 0 heeds none, 1 all, 0.5 those that are more likely
                than not. The default is the model's own.
            whole: one sound for the whole film, whatever its cuts. Otherwise each shot has its own, or neighbouring shots
                that sound alike share one.
            loudness_lufs: the loudness of the result in LUFS, unless its peak would pass -1 dBFS; None leaves it as made.
            force: allows more than an hour of sound.
            progress: a callback that takes (steps done, steps in all, name of the last one).

        Returns:
            The sound, with (1, S) float32 samples in [-1, 1] at the sample rate of the model; for a list of paths, a list
            of sounds in the same order.

        Raises:
            InputError: an option is out of range, or the source is missing, cannot be used or is an array of another type.
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
            whole=whole,
            loudness_lufs=loudness_lufs,
        )
        clip = opened(source, frame_rate)
        return self.render(clip, self.resolve(clip, request, force=force), progress=progress)

    def resolve(self, clip: VideoInfo | FrameArray, request: Request, *, force: bool = False) -> Settings:
        """The settings a clip is made with, with every default filled in. Raises InputError for an impossible request.

        clip: what `probe` found in a file, or frames in memory. force: allows more than an hour.
        """
        settings = request.settle(self.defaults, duration_s=STILL_DURATION_S if clip.is_still else clip.duration_s)
        check_duration(settings.duration_s, force=force)
        if n_samples(settings.duration_s, self.generator.sample_rate) < 1:
            raise InputError(f"duration {settings.duration_s} s: shorter than one sample; give a longer one")
        if settings.candidates > 1 and self.audio_encoder is None:
            raise InputError(
                f"candidates {settings.candidates}: this bundle has no audio encoder to rank them; ask for 1"
            )
        return settings

    def render(
        self,
        clip: VideoInfo | FrameArray,
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
                cues=[wanted.cues] * len(wanted.seeds),
                progress=nth_of(progress, wanted.window, wanted.n_windows),
            )
            try:
                wanted = way.send(waveforms)
            except StopIteration as end:
                return end.value

    def rendering(
        self,
        clip: VideoInfo | FrameArray,
        settings: Settings,
        *,
        own_chance: bool = True,
        n_draws: int = N_DRAWS,
        batch_size: int = 1,
    ) -> Rendering[Sound]:
        """The way to a clip's sound: asks for each window's waveforms, is sent them, and returns the sound.

        `render` goes it alone, `echoframe.jobs.together` with several clips at once. own_chance, n_draws: as for
        `render`. batch_size: how many clips, for the record.
        """
        rate = self.generator.sample_rate
        total = n_samples(settings.duration_s, rate)
        is_watched = settings.sync > 0 or not settings.whole
        watched = watch(clip, until_s=settings.duration_s) if is_watched else Watched()
        shots = shots_of(() if settings.whole else watched.borders, settings.duration_s)
        input_id = InputId.of(clip)
        chance = Chance(seed=settings.seed, clip=input_id.sha256 if own_chance else "")
        seen = Seen(picture_times(settings.duration_s, 1 if clip.is_still else N_PICTURE_FRAMES))
        passages = passages_of(self._look(clip, shots, chance.of_clip, seen), self._sound_alike)
        waveform, done = room_for(total), 0
        for index, (passage, following) in enumerate(zip(passages, [*passages[1:], None], strict=True)):
            start = round(passage.begins_s * rate)
            stop = total if following is None else min(round(following.begins_over_s * rate), total)
            part = yield from self._best(
                passage,
                (start / rate, (stop - start) / rate),
                watched.cues.between(start / rate, stop / rate) if settings.sync > 0 else None,
                len(passages),
                replace(chance, window=index),
                settings,
                seen,
                n_draws=n_draws,
            )
            add_faded(waveform, part, start, n_fade=max(done - start, 0))
            done = stop
        if settings.loudness_lufs is not None:
            bring_to_loudness(waveform, rate, settings.loudness_lufs)
        machine = Machine(device=self.device, dtype=self.dtype, batch_size=batch_size)
        return finished(
            fade_ends(waveform, rate).clamp_(-1, 1),
            rate,
            input_id=input_id,
            settings=settings,
            seen=seen,
            maker=Maker(bundle=self.identity, mapper=self.mapper_id, machine=machine, labels=self.labels),
            notes=notes_on(clip, seen, duration_s=settings.duration_s, n_draws=n_draws),
            watched=watched if is_watched else None,
        )

    def _look(
        self, clip: VideoInfo | FrameArray, shots: Sequence[Shot], seed: int, seen: Seen
    ) -> list[tuple[Shot, list[View]]]:
        """What is seen in each shot, part by part, and the target that follows from it."""
        parts = [views_of(shot, longest_s=self.generator.max_duration_s) for shot in shots]
        starts_s = [start_s for part in parts for start_s, _ in part]
        every_frames = frames_of(clip, self.clip_spec, starts_s, short_side=self.visual_encoder.short_side)
        found = []
        for shot, part in zip(shots, parts, strict=True):
            views = []
            for start_s, stop_s in part:
                frames = next(every_frames)
                seen.keep(frames, stop_s)
                target = self.predict_target(frames, until_s=stop_s, seed=seed)
                views.append(View(start_s, stop_s, target[0]))
            found.append((shot, views))
        return found

    def _sound_alike(self, one: Tensor, other: Tensor) -> bool:
        """Whether two targets, (Da,), are of the same sound: nearest to one label; without labels, near to each other."""
        if self.labels is not None:
            return self._label(one) == self._label(other)
        return float(torch.nn.functional.cosine_similarity(one.float(), other.float(), dim=0)) >= ALIKE

    @torch.no_grad()
    def predict_target(self, frames: Frames, *, until_s: float, seed: int) -> Float[Tensor, "1 dim"]:
        """The point of the audio space that the mapper predicts from frames.

        Args:
            frames: the frames of a window, (T, H, W, 3) uint8 RGB, with their times.
            until_s: frames at or after this time are not used, in seconds from the start of the video.
            seed: a prior draws another target for another seed.

        Returns:
            The target, (1, Da) float32 of length 1.
        """
        visual = self.visual_encoder(frames.images)  # (T, Dv)
        mask = torch.from_numpy(seen_mask(frames.mask, frames.times_s, until_s)).to(visual.device)
        return self.mapper(visual[None], mask[None], seeds=[seed])  # (1, Da)

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
        clip = opened(source, frame_rate)
        shots = shots_of(watch(clip).borders, STILL_DURATION_S if clip.is_still else clip.duration_s)
        chance = Chance(seed=seed, clip=InputId.of(clip).sha256)
        looked = self._look(clip, shots, chance.of_clip, Seen([]))
        return [(shot, unit_mean([view.target[None].cpu() for view in views])) for shot, views in looked]

    @torch.no_grad()
    def generate_candidates(
        self,
        target: Float[Tensor, "targets *windows dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions,
        cues: Sequence[Cues | None] | None = None,
        progress: ProgressCallback | None = None,
    ) -> Float[Tensor, "candidates samples"]:
        """Generates a sound of the target, or of its own target, for each seed.

        Args:
            target: (1, Da) float32 of length 1, from `predict_target`, or one for each seed, (N, Da).
            duration_s: seconds of sound, at most `generator.max_duration_s`.
            seeds: one for each sound.
            options: how the generator samples.
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
            cues=cues,
            progress=progress,
        )

    def _best(
        self,
        passage: Passage,
        stretch: Stretch,
        cues: Cues | None,
        n_passages: int,
        chance: Chance,
        settings: Settings,
        seen: Seen,
        *,
        n_draws: int,
    ) -> Rendering[Tensor]:
        """(1, S): the one of a passage's candidates that fits best, if it can be heard.

        stretch: start and length, with what is faded at its ends.
        """
        start_s, duration_s = stretch
        windows = [(start_s + start, start_s + stop) for start, stop in self.generator.windows_s(duration_s)]
        target = course(passage.views, windows)
        wanted = Wanted(
            target=target,
            cues=cues,
            duration_s=duration_s,
            seeds=[chance.of_candidate(k) for k in range(settings.candidates)],
            options=settings.sampling,
            window=chance.window,
            n_windows=n_passages,
        )
        seeds, waveforms, heard = yield from draw(wanted, chance, seen, n_draws=n_draws)
        seen.silent_s.extend([] if heard.any() else [(start_s, start_s + duration_s)])
        mean = unit_mean(target.float().cpu().reshape(-1, 1, target.shape[-1]))
        seen.targets.append(mean)
        best = 0
        if self.audio_encoder is not None:
            embedded = torch.cat([self._embed(w[None]) for w in waveforms])
            if len(seeds) > 1:
                onsets = cues.heeded(settings.sync) if cues else ()
                scores = fits(embedded @ mean[0], waveforms, self.generator.sample_rate, onsets)
                best = int(np.argmax(np.where(heard | ~heard.any(), scores, -np.inf)))
                seen.scores.append([round(score, 6) for score in scores])
                _log.info("passage %d: candidate %d of %d, scores %s", chance.window, best + 1, len(seeds), scores)
            seen.embeddings.append(embedded[best : best + 1])
        found = self.generator.remembered(target[0], seed=seeds[best], options=settings.sampling)
        seen.remembered.extend(asdict(each) for each in found)
        label = self._label(mean[0])
        seen.shots.extend(
            {
                "start_s": round(shot.start_s, 3),
                "stop_s": round(shot.stop_s, 3),
                "label": label,
                "seed": seeds[best],
            }
            for shot in passage.shots
        )
        return waveforms[best : best + 1]

    def _embed(self, waveform: Float[Tensor, "1 samples"]) -> Float[Tensor, "1 dim"]:
        """A sound's point of the audio space; of a long one the mean of its windows', which alone does not grow."""
        assert self.audio_encoder is not None
        rate = self.generator.sample_rate
        bounds = [
            (round(start_s * rate), round(stop_s * rate))
            for start_s, stop_s in self.generator.windows_s(waveform.shape[1] / rate)
        ]
        return unit_mean([self.audio_encoder(waveform[:, a:b], rate).cpu() for a, b in bounds])

    def _label(self, target: Float[Tensor, " dim"]) -> str:
        return "" if self.labels is None else self.labels.nearest(target, 1)[0].name
