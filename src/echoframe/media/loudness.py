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


def integrated_loudness(waveform: Float[Tensor, "1 samples"], sample_rate: int) -> float:
    """Gated loudness in LUFS of a mono sound in [-1, 1], by FFmpeg's ebur128 filter; -inf for silence (under -70)."""
    samples = np.ascontiguousarray(waveform.numpy(), dtype=np.float32)
    shortest = math.ceil(_SHORTEST_S * sample_rate)
    if samples.shape[1] < shortest:
        samples = np.tile(samples, math.ceil(shortest / samples.shape[1]))
    graph = av.filter.Graph()
    source = graph.add_abuffer(format="flt", sample_rate=sample_rate, layout="mono", time_base=Fraction(1, sample_rate))
    meter, sink = graph.add("ebur128", "metadata=1"), graph.add("abuffersink")
    source.link_to(meter)
    meter.link_to(sink)
    graph.configure()
    measured = -math.inf
    for start in range(0, samples.shape[1], _LONGEST_BLOCK):
        frame = av.AudioFrame.from_ndarray(samples[:, start : start + _LONGEST_BLOCK], format="flt", layout="mono")
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


def _gain(waveform: Tensor, sample_rate: int, target_lufs: float) -> float:
    peak = max((float(part.abs().max()) for part in waveform.split(_LONGEST_BLOCK, dim=1)), default=0.0)
    measured = integrated_loudness(waveform, sample_rate)
    if peak == 0 or measured == -math.inf:
        return 1.0
    gain_db = min(target_lufs - measured, MAX_PEAK_DBFS - 20 * math.log10(peak))
    return 10 ** (gain_db / 20)
