"""How loud a sound is to listeners, and bringing it to a wanted loudness (EBU R 128, ITU-R BS.1770)."""

import math
from fractions import Fraction

import av
import av.filter
import numpy as np
from jaxtyping import Float
from torch import Tensor

MAX_PEAK_DBFS = -1.0
_SHORTEST_S = 0.5  # BS.1770 looks at blocks of 0.4 s: a shorter sound is measured as if it went on
_LONGEST_BLOCK = 1 << 16  # samples handed to the filter at once


def integrated_loudness(waveform: Float[Tensor, "channels samples"], sample_rate: int) -> float:
    """Gated loudness in LUFS of a mono or stereo sound in [-1, 1], by FFmpeg's ebur128; -inf for silence (under -70)."""
    samples = np.asarray(waveform.numpy(), dtype=np.float32)
    layout = "mono" if len(samples) == 1 else "stereo"
    shortest = math.ceil(_SHORTEST_S * sample_rate)
    if samples.shape[1] < shortest:
        samples = np.tile(samples, math.ceil(shortest / samples.shape[1]))
    graph = av.filter.Graph()
    source = graph.add_abuffer(
        format="fltp", sample_rate=sample_rate, layout=layout, time_base=Fraction(1, sample_rate)
    )
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    measured = -math.inf
    for start in range(0, samples.shape[1], _LONGEST_BLOCK):
        block = np.ascontiguousarray(samples[:, start : start + _LONGEST_BLOCK])
        frame = av.AudioFrame.from_ndarray(block, format="fltp", layout=layout)
        frame.sample_rate, frame.pts = sample_rate, start
        source.push(frame)
        while True:
            try:
                metered = sink.pull()
            except (av.BlockingIOError, av.EOFError):
                break
            measured = float(metered.metadata.get("lavfi.r128.I", measured))
    return measured if measured > -70.0 else -math.inf  # the filter's word for "nothing heard"


def to_loudness(
    waveform: Float[Tensor, "1 samples"], sample_rate: int, target_lufs: float
) -> Float[Tensor, "1 samples"]:
    """`waveform` at `target_lufs`, or quieter where its peak would pass -1 dBFS. Silence stays as it is."""
    return waveform * _gain(waveform, sample_rate, target_lufs)


def bring_to_loudness(waveform: Float[Tensor, "1 samples"], sample_rate: int, target_lufs: float) -> None:
    """As `to_loudness`, in place: a long sound is not copied."""
    waveform *= _gain(waveform, sample_rate, target_lufs)


def gain_to_loudness(waveform: Float[Tensor, "channels samples"], sample_rate: int, target_lufs: float | None) -> float:
    """How many decibels bring a mono or stereo sound to that loudness, or its peak to -1 dBFS if that is less.

    Without a loudness, 0, or what keeps the peak under 0 dBFS. Silence stays as it is.
    """
    peak = _peak(waveform)
    if target_lufs is None:
        return -max(20 * math.log10(max(peak, 1e-12)), 0.0)
    measured = integrated_loudness(waveform, sample_rate)
    if peak == 0 or measured == -math.inf:
        return 0.0
    return min(target_lufs - measured, MAX_PEAK_DBFS - 20 * math.log10(peak))


def _gain(waveform: Tensor, sample_rate: int, target_lufs: float) -> float:
    return 10 ** (gain_to_loudness(waveform, sample_rate, target_lufs) / 20)


def _peak(waveform: Tensor) -> float:
    return max((float(part.abs().max()) for part in waveform.split(_LONGEST_BLOCK, dim=1)), default=0.0)
