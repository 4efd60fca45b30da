"""Silent video to sound: frames -> visual embeddings -> a point in the audio space -> a waveform.

The way of one window is `EchoFrame.predict_target` and `generate_candidates`. Clips longer than the generator's longest
sound are made in overlapping windows: each sees its own frames, has its own target and its own seed, and is faded into
the next.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from echoframe.bundles.bundle import Bundle, load_bundle
from echoframe.bundles.labels import LabelBank
from echoframe.encoders import AudioEncoder, VisualEncoder
from echoframe.errors import InputError
from echoframe.generators import Generator
from echoframe.mappers import Mapper
from echoframe.media.audio import fade_ends, n_samples
from echoframe.media.loudness import to_loudness
from echoframe.media.video import Frames, VideoInfo, probe, read_windows
from echoframe.options import TARGET_LUFS, Request, SampleOptions, Settings, check_duration
from echoframe.output import file_sha256
from echoframe.progress import ProgressCallback, nth_of
from echoframe.provenance import (
    OLD_FORMAT,
    BundleId,
    InputId,
    Machine,
    Provenance,
    Result,
    check_same_bundle,
    check_same_input,
    samples_sha256,
)
from echoframe.sound import Sound
from echoframe.spec import ClipSpec
from echoframe.windows import Chance, Seen, add_faded, picture_times, plan_windows, seen_mask

OVERLAP_S = 1.0  # of neighbouring windows
STILL_DURATION_S = 10.0  # what a still lasts unless asked otherwise
N_PICTURE_FRAMES = 8
N_NEAREST = 5
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
        """mapper: a mapper, a prior or a bridge. audio_encoder: ranks candidates and finds the nearest of `labels`.

        identity, device, dtype: as recorded.
        """
        self.visual_encoder, self.mapper, self.generator = visual_encoder, mapper, generator
        self.audio_encoder, self.labels = audio_encoder, labels
        self.clip_spec, self.defaults, self.identity = clip_spec, defaults, identity
        self.device, self.dtype = device, dtype

    def generate(
        self,
        path: str | Path,
        *,
        seed: int = 0,
        duration_s: float | None = None,
        candidates: int = 1,
        steps: int | None = None,
        guidance: float | None = None,
        scheduler: str | None = None,
        variation: float | None = None,
        loudness_lufs: float | None = TARGET_LUFS,
        force: bool = False,
        progress: ProgressCallback | None = None,
    ) -> Sound:
        """The sound of a video or a still image. The same seed, bundle, device and versions give the same samples.

        Args:
            path: any video FFmpeg reads, or a still image.
            seed: another number, another sound.
            duration_s: seconds of sound; the video's own length, or 10 s for a still image, unless given. Past the
                video's end its last frame is held.
            candidates: so many sounds are made, and the one nearest to the target is kept.
            steps: denoising steps; the model's own number unless given.
            guidance: 1 follows the target alone, more pushes away from what no target would give.
            scheduler: a name from `echoframe.options.SCHEDULER_NAMES`; the model's own unless given.
            variation: 0 keeps to one of the recordings that the model remembers, 1 starts from noise alone; the
                model's own unless given.
            loudness_lufs: what the sound is brought to, unless its peak would pass -1 dBFS; None leaves it.
            force: allows more than an hour.
            progress: see `echoframe.progress`.

        Returns:
            The sound, (1, S) float32 in [-1, 1] at the model's sample rate, and what made it.

        Raises:
            InputError: an option out of range, or a path that cannot be used.
            VideoError: a file that cannot be read.
        """
        request = Request(
            seed=seed,
            duration_s=duration_s,
            candidates=candidates,
            steps=steps,
            guidance=guidance,
            scheduler=scheduler,
            variation=variation,
            loudness_lufs=loudness_lufs,
        )
        info = probe(Path(path))
        return self.render(info, self.resolve(info, request, force=force), progress=progress)

    def resolve(self, info: VideoInfo, request: Request, *, force: bool = False) -> Settings:
        """The settings a clip is made with, every default filled in. Raises InputError for an impossible request.

        info: of the clip, from `probe`. force: allows more than an hour.
        """
        settings = request.settle(self.defaults, duration_s=STILL_DURATION_S if info.is_still else info.duration_s)
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
        info: VideoInfo,
        settings: Settings,
        *,
        own_chance: bool = True,
        progress: ProgressCallback | None = None,
    ) -> Sound:
        """The sound of a clip with settings from `resolve`.

        own_chance: noise comes from the seed and the clip's content, as records have it since "echoframe-provenance/2";
        without it from the seed alone.
        """
        rate = self.generator.sample_rate
        total = n_samples(settings.duration_s, rate)
        longest, overlap = int(self.generator.max_duration_s * rate + 1e-6), round(OVERLAP_S * rate)
        windows = plan_windows(total, longest=longest, overlap=min(overlap, longest // 2))
        seen = Seen(picture_times(settings.duration_s, 1 if info.is_still else N_PICTURE_FRAMES))
        waveform = torch.zeros(1, total)
        input_id = InputId(path=str(info.path.resolve()), sha256=file_sha256(info.path))
        every_frames = read_windows(
            info, self.clip_spec, [start / rate for start, _ in windows], short_side=self.visual_encoder.short_side
        )
        for index, ((start, stop), frames) in enumerate(zip(windows, every_frames, strict=True)):
            seen.keep(frames, stop / rate)
            report = nth_of(progress, index, len(windows))
            chance = Chance(seed=settings.seed, clip=input_id.sha256 if own_chance else "", window=index)
            part = self._best(frames, start / rate, (stop - start) / rate, chance, settings, seen, report)
            faded = 0 if index == 0 else windows[index - 1][1] - start
            add_faded(waveform, part, start, n_fade=faded)
        if settings.loudness_lufs is not None:
            waveform = to_loudness(waveform, rate, settings.loudness_lufs)
        waveform = fade_ends(waveform, rate).clamp_(-1, 1)
        nearest = self._nearest(seen.embeddings)
        result = Result(
            sample_rate=rate,
            n_samples=total,
            samples_sha256=samples_sha256(waveform.numpy()),
            candidate_scores=tuple(seen.scores),
            nearest=dict(nearest),
            remembered=tuple(seen.remembered),
        )
        machine = Machine(device=self.device, dtype=self.dtype)
        return Sound(
            waveform=waveform,
            sample_rate=rate,
            provenance=Provenance(
                input=input_id, bundle=self.identity, settings=settings, machine=machine, result=result
            ),
            frames=np.stack(seen.images),
            times_s=tuple(seen.times_s),
            nearest=nearest,
        )

    @torch.no_grad()
    def predict_target(self, frames: Frames, *, until_s: float, seed: int) -> Float[Tensor, "1 dim"]:
        """The point of the audio space that the frames before `until_s` and the seed lead to: (1, Da), unit length."""
        visual = self.visual_encoder(frames.images)  # (T, Dv)
        mask = torch.from_numpy(seen_mask(frames.mask, frames.times_s, until_s)).to(visual.device)
        return self.mapper(visual[None], mask[None], seeds=[seed])  # (1, Da)

    @torch.no_grad()
    def generate_candidates(
        self,
        target: Float[Tensor, "1 dim"],
        *,
        duration_s: float,
        seeds: Sequence[int],
        options: SampleOptions,
        progress: ProgressCallback | None = None,
    ) -> Float[Tensor, "candidates samples"]:
        """A sound of the target for each of `seeds`."""
        return self.generator.generate(
            target.expand(len(seeds), -1), duration_s=duration_s, seeds=seeds, options=options, progress=progress
        )

    def _best(
        self,
        frames: Frames,
        start_s: float,
        duration_s: float,
        chance: Chance,
        settings: Settings,
        seen: Seen,
        progress: ProgressCallback | None,
    ) -> Tensor:
        """(1, S): the one of a window's candidates whose embedding is nearest to the target."""
        seeds = [chance.of_candidate(k) for k in range(settings.candidates)]
        target = self.predict_target(frames, until_s=start_s + duration_s, seed=chance.of_clip)
        waveforms = self.generate_candidates(
            target, duration_s=duration_s, seeds=seeds, options=settings.sampling, progress=progress
        )
        if self.audio_encoder is None:
            seen.embeddings.append(target.float().cpu())
            self._note(seen, target, seeds[0], settings)
            return waveforms
        # one by one: an audio encoder's memory would grow with the number of candidates
        embedded = torch.cat([self.audio_encoder(w[None], self.generator.sample_rate).cpu() for w in waveforms])
        scores = (embedded @ target.float().cpu()[0]).tolist()
        best = int(np.argmax(scores))
        if len(seeds) > 1:
            seen.scores.append([round(score, 6) for score in scores])
            _log.info("window %d: candidate %d of %d, scores %s", chance.window, best + 1, len(seeds), scores)
        self._note(seen, target, seeds[best], settings)
        seen.embeddings.append(embedded[best : best + 1])
        return waveforms[best : best + 1]

    def _note(self, seen: Seen, target: Tensor, seed: int, settings: Settings) -> None:
        found = self.generator.remembered(target[0], seed=seed, options=settings.sampling)
        seen.remembered.extend([asdict(found)] if found else [])

    def _nearest(self, embeddings: list[Tensor]) -> tuple[tuple[str, float], ...]:
        if self.labels is None:
            return ()
        mean = torch.nn.functional.normalize(torch.cat(embeddings).mean(dim=0), dim=0)
        return tuple((name, round(cosine, 4)) for name, _, cosine in self.labels.nearest(mean, N_NEAREST))


def load(
    name_or_path: str | Path = "mini", *, device: str = "auto", dtype: str = "auto", cache_dir: Path | None = None
) -> EchoFrame:
    """The cascade of a bundle, by name ("mini"), directory or hub id, on a device ("auto" takes a GPU if there is one)."""
    return from_bundle(
        load_bundle(name_or_path, device=device, dtype=dtype, cache_dir=cache_dir), source=str(name_or_path)
    )


def from_bundle(bundle: Bundle, *, source: str = "") -> EchoFrame:
    """The cascade of a loaded bundle. source: what it was asked for as, so that a result can be made again."""
    identity = BundleId(
        source=source or bundle.name,
        name=bundle.name,
        version=bundle.manifest.version,
        revision=bundle.revision,
        sha256=bundle.sha256,
    )
    return EchoFrame(
        bundle.visual_encoder,
        bundle.mapper,
        bundle.generator,
        audio_encoder=bundle.audio_encoder,
        labels=bundle.labels,
        clip_spec=bundle.clip_spec,
        defaults=bundle.manifest.defaults,
        identity=identity,
        device=str(bundle.device),
        dtype=str(bundle.dtype).removeprefix("torch."),
    )


def remake(
    model: EchoFrame, provenance: Provenance, *, info: VideoInfo | None = None, progress: ProgressCallback | None = None
) -> Sound:
    """The same samples again. info: of the clip where it lies now, if not where it was.

    Raises InputError or BundleError if the clip's or the bundle's sha256 is another than it was.
    """
    check_same_bundle(provenance, model.identity)
    info = info or probe(Path(provenance.input.path))
    check_same_input(provenance, info.path)
    own_chance = provenance.format != OLD_FORMAT
    return model.render(info, provenance.settings, own_chance=own_chance, progress=progress)
