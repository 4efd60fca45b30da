"""Numbers with a unit: which moments of a clip are looked at, and configurations that cannot be."""

import pytest

from echoframe.errors import ConfigError
from echoframe.spec import AUDIOLDM_MEL, ClipSpec


def test_head_is_64_frames_at_8_fps_over_8_seconds():
    times = ClipSpec(sampling="head").times_s()
    assert len(times) == 64
    assert times[-1] == pytest.approx(63 / 8)


def test_uniform_covers_the_whole_clip_evenly():
    times = ClipSpec().times_s()
    steps = {round(b - a, 9) for a, b in zip(times, times[1:], strict=False)}
    assert steps == {10 / 64}
    assert times[0] == pytest.approx(10.0 - times[-1])  # as far from the start as from the end


def test_head_that_outlasts_the_clip():
    with pytest.raises(ConfigError, match=r"160 frames at 8.0 fps span 20.0 s, longer than the 10.0-s clip; lower n_"):
        ClipSpec(n_frames=160, sampling="head")


@pytest.mark.parametrize("wrong", [{"duration_s": 0.0}, {"frame_rate": -1.0}, {"n_frames": 0}])
def test_sizes_have_to_be_positive(wrong):
    with pytest.raises(
        ConfigError, match="clip spec: duration_s .*, frame_rate .*, n_frames .*; all three have to be positive"
    ):
        ClipSpec(**wrong)


def test_unknown_sampling_lists_the_known():
    spec = ClipSpec()
    object.__setattr__(spec, "sampling", "middle")  # the tests' type checker would refuse it before the spec does
    with pytest.raises(ConfigError, match='sampling "middle" is not known; choose "uniform" or "head"'):
        spec.__post_init__()


def test_audioldm_numbers():
    assert AUDIOLDM_MEL.n_frames(163_840) == 1024
    assert AUDIOLDM_MEL.n_frames(163_840) * AUDIOLDM_MEL.hop_length / AUDIOLDM_MEL.sample_rate == pytest.approx(10.24)
