"""A model that remembers what it saw of the films at hand, so that nothing is looked at again for every candidate."""

import math
from collections import OrderedDict
from copy import copy
from functools import lru_cache, partial
from hashlib import blake2b

import numpy as np
from jaxtyping import Float, UInt8
from torch import Tensor

from echoframe.encoders import VisualEncoder
from echoframe.media.frame_array import Clip
from echoframe.media.video import VideoInfo
from echoframe.pipeline import EchoFrame
from echoframe.sound.decoding import decode
from echoframe.timing.watch import Watched, watch

MOST_FILMS, MOST_PARTS = 64, 512  # whose cues are remembered, and whose embeddings are: some 100 KB each


def remembering(model: EchoFrame) -> EchoFrame:
    """The same model, with a memory for frames and films."""
    model = copy(model.decoded_by(partial(decode, watched_by=watch_once)))
    model.visual_encoder = RememberingEncoder(model.visual_encoder)
    return model


def watch_once(clip: Clip, *, until_s: float = math.inf) -> Watched:
    """As `echoframe.timing.watch.watch`."""
    if not isinstance(clip, VideoInfo):
        return watch(clip, until_s=until_s)
    return _watch_once(clip, clip.path.stat().st_mtime_ns, min(until_s, clip.duration_s))


@lru_cache(MOST_FILMS)
def _watch_once(clip: VideoInfo, _: int, until_s: float) -> Watched:
    return watch(clip, until_s=until_s)


class RememberingEncoder:
    """Meets `VisualEncoder`: what `encoder` gave for the same frames."""

    def __init__(self, encoder: VisualEncoder) -> None:
        self._encoder = encoder
        self.dim, self.name, self.short_side = encoder.dim, encoder.name, encoder.short_side
        self._known = OrderedDict[tuple[tuple[int, ...], bytes], Tensor]()

    def __call__(self, frames: UInt8[np.ndarray, "frames height width 3"]) -> Float[Tensor, "frames dim"]:
        """(T, H, W, 3) -> (T, dim)."""
        key = (frames.shape, blake2b(np.ascontiguousarray(frames).data).digest())
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = self._encoder(frames)
            while len(self._known) > MOST_PARTS:
                self._known.popitem(last=False)
        return found
