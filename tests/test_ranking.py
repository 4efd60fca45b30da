"""Which of several sounds fits best: its reasons, and their sum by weights."""

import numpy as np
import pytest
import torch
from torch import Tensor

from echoframe.sound.ranking import Asked, Likely, ranked, reasons_of, total
from echoframe.timing.cues import Onset

RATE = 16_000
TARGET = torch.tensor([1.0, 0.0])
NOBODY = Likely((), torch.zeros(0, 0))


def clicks(*at_s: float) -> Tensor:
    """Two seconds with short noises at these times."""
    noise = torch.randn(2 * RATE, generator=torch.Generator().manual_seed(0))
    times_s = torch.arange(2 * RATE) / RATE
    past = [times_s - at for at in at_s]
    return 0.3 * noise * sum((torch.where(p >= 0, (-p / 0.04).exp(), 0.0) for p in past), torch.zeros(2 * RATE))


def struck(*at_s: float) -> list[Onset]:
    return [Onset(time_s=at, strength=1.0, confidence=1.0) for at in at_s]


def asked(heeded: list[Onset] | None = None, prompt: Tensor | None = None) -> Asked:
    return Asked(targets=TARGET.expand(3, 2), expected={}, prompt=prompt, heeded=heeded or [])


def test_a_sound_is_told_how_near_it_is_and_when_it_begins():
    sounds = torch.stack([clicks(0.5, 1.0, 1.5), clicks(0.5, 1.0), clicks(0.75, 1.25)])
    embeddings = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.0, 1.0]])
    found = reasons_of(sounds, embeddings, RATE, asked(struck(0.5, 1.0, 1.5), prompt=torch.tensor([0.0, 1.0])), NOBODY)
    assert [each["target"] for each in found] == pytest.approx([1, 0.6, 0])
    assert [each["prompt"] for each in found] == pytest.approx([0, 0.8, 1])
    assert [each["time"] for each in found] == pytest.approx([1, 0.8, 0])
    assert all(0 <= each["soundness"] <= 1 for each in found)


def test_what_was_not_asked_for_is_no_reason():
    (found,) = reasons_of(clicks(0.5)[None], TARGET[None], RATE, asked(), NOBODY)
    assert found.keys() == {"target", "soundness"}


def test_each_sound_is_compared_with_its_own_target_and_with_what_is_expected():
    likely = Likely(("rain", "dog", "bell"), torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.1, 0.9]]))
    wanted = Asked(targets=torch.eye(2), expected={"dog": 0.8, "rain": 0.2, "choir": 0.5}, prompt=None, heeded=[])
    found = reasons_of(clicks(0.5).expand(2, -1), TARGET.expand(2, 2), RATE, wanted, likely)
    assert [each["target"] for each in found] == [1, 0]
    assert [each["label"] for each in found] == pytest.approx([0.5, 0.08])
    (alone, _) = reasons_of(clicks(0.5).expand(2, -1), TARGET.expand(2, 2), RATE, asked(), likely)
    assert "label" not in alone


def test_onsets_a_tenth_of_a_second_off_still_count():
    near, far = (reasons_of(clicks(1.0)[None], TARGET[None], RATE, asked(struck(at)), NOBODY)[0] for at in (1.08, 1.15))
    assert (near["time"], far["time"]) == (1, 0)


def test_a_clipped_sound_is_less_sound():
    clean, clipped = clicks(0.5, 1.0), clicks(0.5, 1.0)
    clipped[::150] = 1.0
    one, other = reasons_of(torch.stack([clean, clipped]), TARGET.expand(2, 2), RATE, asked(), NOBODY)
    assert one["soundness"] > other["soundness"] + 0.3


def test_the_sum_is_weighted_and_a_weight_of_zero_leaves_a_reason_out():
    reasons = {"target": 0.5, "prompt": 0.4, "time": 1.0, "soundness": 0.5}
    assert total(reasons, {}) == pytest.approx(0.125 + 0.2 + 1.0 + 0.15)
    assert total(reasons, {"target": 0, "prompt": 2, "time": 0, "soundness": 0}) == pytest.approx(0.8)


def test_what_cannot_be_heard_comes_last():
    assert ranked([0.9, 0.1, 0.5], np.array([False, True, True])) == [2, 1, 0]
    assert ranked([0.1, 0.1], np.array([True, True])) == [0, 1]
