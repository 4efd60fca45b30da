"""Several clips at once: their passages of one length are generated in one call, which a GPU does in little more time."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from echoframe.media.frame_array import Clip
from echoframe.options import Settings
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback
from echoframe.sound import Sound
from echoframe.windows import Wanted


def render_together(
    model: EchoFrame, clips: Sequence[tuple[Clip, Settings]], *, progress: ProgressCallback | None = None
) -> list[Sound | Exception]:
    """The sounds of several clips, or in the place of a sound the error that its clip ended with.

    Settings that differ only in which of the candidates is kept share them. Samples may differ from those of a clip alone in
    their last bits, so the record holds how many were made together.
    """
    groups = _grouped(clips)
    ways = [
        model.rendering(clips[own[0]][0], clips[own[0]][1], nths=[clips[n][1].nth for n in own], batch_size=len(groups))
        for own in groups
    ]
    ended: dict[int, list[Sound] | Exception] = {}
    waiting: dict[int, Wanted] = {}

    def go_on(index: int, waveforms: Tensor | None) -> None:
        waiting.pop(index, None)
        try:
            waiting[index] = next(ways[index]) if waveforms is None else ways[index].send(waveforms)
        except StopIteration as end:
            ended[index] = end.value
        except Exception as error:  # one clip's, which must not cost the others
            ended[index] = error

    for index in range(len(ways)):
        go_on(index, None)
    while waiting:
        first = next(iter(waiting.values()))
        alike = [index for index, each in waiting.items() if each.is_like(first)]
        for index, waveforms in zip(alike, _generated(model, [waiting[i] for i in alike], progress), strict=True):
            go_on(index, waveforms)
    found: dict[int, Sound | Exception] = {}
    for index, own in enumerate(groups):
        sounds = ended[index]
        found |= zip(own, [sounds] * len(own) if isinstance(sounds, Exception) else sounds, strict=True)
    return [found[n] for n in range(len(clips))]


def _grouped(clips: Sequence[tuple[Clip, Settings]]) -> list[list[int]]:
    """The numbers of neighbours that differ in which of the candidates they keep, and in nothing else."""
    groups: list[list[int]] = []
    for n, (clip, settings) in enumerate(clips):
        last = clips[n - 1]
        if n and clip == last[0] and replace(settings, nth=1) == replace(last[1], nth=1):
            groups[-1].append(n)
        else:
            groups.append([n])
    return groups


def _generated(model: EchoFrame, wanted: Sequence[Wanted], progress: ProgressCallback | None) -> tuple[Tensor, ...]:
    """The (N, S) waveforms of each, from one call."""
    away = [each.negative.expand(len(each.seeds), -1) for each in wanted if each.negative is not None]
    waveforms = model.generate_candidates(
        torch.cat([each.target.expand(len(each.seeds), *each.target.shape[1:]) for each in wanted]),
        duration_s=wanted[0].duration_s,
        seeds=[seed for each in wanted for seed in each.seeds],
        options=wanted[0].options,
        negative=torch.cat(away) if away else None,
        example=wanted[0].example,
        cues=[each.cues for each in wanted for _ in each.seeds],
        progress=progress,
    )
    return waveforms.split([len(each.seeds) for each in wanted])
