"""Several clips at once: their passages of one length are generated in one call, which a GPU does in little more time."""

from collections.abc import Sequence

import torch
from torch import Tensor

from echoframe.media.video import VideoInfo
from echoframe.options import Settings
from echoframe.pipeline import EchoFrame
from echoframe.progress import ProgressCallback
from echoframe.sound import Sound
from echoframe.windows import Wanted


def render_together(
    model: EchoFrame, clips: Sequence[tuple[VideoInfo, Settings]], *, progress: ProgressCallback | None = None
) -> list[Sound | Exception]:
    """The sounds of several clips, or in the place of a sound the error that its clip ended with.

    Samples may differ from those of a clip alone in their last bits, so the record holds how many were made together.
    """
    ways = [model.rendering(clip, settings, batch_size=len(clips)) for clip, settings in clips]
    ended: dict[int, Sound | Exception] = {}
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
    return [ended[index] for index in range(len(ways))]


def _generated(model: EchoFrame, wanted: Sequence[Wanted], progress: ProgressCallback | None) -> tuple[Tensor, ...]:
    """The (N, S) waveforms of each, from one call."""
    waveforms = model.generate_candidates(
        torch.cat([each.target.expand(len(each.seeds), *each.target.shape[1:]) for each in wanted]),
        duration_s=wanted[0].duration_s,
        seeds=[seed for each in wanted for seed in each.seeds],
        options=wanted[0].options,
        cues=[each.cues for each in wanted for _ in each.seeds],
        progress=progress,
    )
    return waveforms.split([len(each.seeds) for each in wanted])
