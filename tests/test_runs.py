"""What a long sound begins with: runs of windows with one recording each, in their places, faded where they overlap."""

import pytest
import torch

from echoframe.generators.events import Struck
from echoframe.generators.memory import Memory
from echoframe.generators.runs import scene_of_windows
from test_memory import DIM, tiny_memory

SPANS = [(0, 10), (8, 18), (16, 26), (24, 34)]
A, B, C = torch.eye(DIM)[[0]], torch.eye(DIM)[[1]], torch.eye(DIM)[[2]]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, list[int]]]:
    """(recording, tokens, frames at which it is struck) of each scene that is laid out."""
    seen: list[tuple[int, int, list[int]]] = []
    scene = Memory.scene

    def watched(self, target, seed, n_tokens, struck=()):
        seen.append((self.choose(target, seed), n_tokens, [each.frame for each in struck]))
        return scene(self, target, seed, n_tokens)

    monkeypatch.setattr(Memory, "scene", watched)
    return seen


def levels(memory: Memory, tokens: torch.Tensor) -> torch.Tensor:
    return memory._codec.levels(tokens[None])[0]


def test_windows_with_one_recording_are_one_scene(asked):
    memory = tiny_memory()
    found = scene_of_windows(memory, C.expand(4, -1), 3, SPANS, [], n_frames=16)
    assert asked == [(2, 34, [])]
    assert torch.equal(found, memory.scene(C[0], 3, 34))


def test_neighbours_with_other_recordings_fade_over_their_overlap(asked):
    memory = tiny_memory()
    found = scene_of_windows(memory, torch.cat([A, A, C, C]), 3, SPANS, [], n_frames=16)
    assert asked == [(0, 18, []), (2, 18, [])]
    level = levels(memory, found)
    low, high = levels(memory, memory.tokens[[0, 20]])
    assert found.shape == (34, 32)
    torch.testing.assert_close(level[:16], low.expand(16), atol=0.05, rtol=0)
    torch.testing.assert_close(level[18:], high.expand(16), atol=0.05, rtol=0)
    torch.testing.assert_close(level[16:18], torch.lerp(low, high, torch.tensor([0.25, 0.75])), atol=0.05, rtol=0)


def test_what_is_struck_goes_to_the_runs_that_it_lies_in(asked):
    struck = [Struck(frame) for frame in (0, 100, 16 * 16 + 5, 18 * 16, 33 * 16)]
    scene_of_windows(tiny_memory(), torch.cat([A, A, B, A]), 3, SPANS, struck, n_frames=16)
    assert asked == [(0, 18, [0, 100, 261]), (1, 10, [5, 32]), (0, 10, [9 * 16])]
