"""Layouts of recordings in tokens: steady sounds without a seam, events at their gaps over their background, crops."""

import ast
from pathlib import Path

import pytest
import torch

from echoframe.generators import layout

PER_DB = 1 / 21.7


def made(levels: list[torch.Tensor], n_tokens: int, seed: int = 0) -> tuple[torch.Tensor, layout.Plan]:
    """Scenes of recordings of two numbers a token: its level, and its place in the recording."""
    steady = [layout.is_steady(level, PER_DB) for level in levels]
    sounds = layout.describe(levels, steady, PER_DB)
    tokens = torch.cat([torch.stack([level, torch.arange(len(level)).float()], dim=1) for level in levels])
    starts = torch.tensor([0] + [len(level) for level in levels[:-1]]).cumsum(0)
    plan = layout.plan(sounds, n_tokens, torch.Generator().manual_seed(seed))
    return layout.lay_out(tokens, starts, plan, torch.tensor([1.0, 0.0])), plan


def test_a_steady_sound_goes_on_without_a_seam():
    slope = torch.linspace(0.0, 0.3, 40)  # its end is 6.5 dB louder than its beginning
    assert layout.is_steady(slope, PER_DB)
    scenes, plan = made([slope], 200)
    steps = scenes[0, :, 0].diff().abs()
    assert steps.max() < 0.08  # 0.3 where its end met its beginning
    assert plan.first.min() == 0
    assert plan.shift.abs().max() == 0
    assert scenes[0, :, 0].min() >= 0


def test_one_blow_in_a_long_silence_is_not_steady():
    assert not layout.is_steady(torch.cat([torch.zeros(3), torch.full((60,), -3.0)]), PER_DB)
    assert not layout.is_steady(torch.zeros(5), PER_DB)


def test_an_event_is_repeated_at_its_gaps_over_its_own_background():
    bark = torch.cat([torch.zeros(4), torch.full((6,), -3.0), torch.zeros(4), torch.full((2,), -3.0)])
    scenes, plan = made([bark], 120)
    level = scenes[0, :, 0]
    onsets = ((level[1:] > -1) & (level[:-1] <= -1)).nonzero()[:, 0]
    assert len(onsets) > 6
    assert layout.natural_gap(bark, PER_DB) == 6
    pauses = onsets.diff()
    assert pauses.min() >= 4 + 3  # four tokens of bark, and at least half the gap
    assert pauses.max() <= 4 + 6 + 9 + 2
    assert pauses.unique().numel() > 1  # jittered
    assert level.min() == -3  # its own background, not silence
    other, _ = made([bark], 120, seed=1)
    assert not other.equal(scenes)
    assert made([bark], 120)[0].equal(scenes)


def test_a_sound_without_quiet_tokens_is_repeated_over_itself_turned_down():
    scenes, _ = made([torch.zeros(3)], 60)
    level = scenes[0, :, 0]
    assert level.max() == 0
    assert level.min() == pytest.approx(layout.QUIET_DB * PER_DB)


def test_a_long_recording_is_cropped_as_it_is():
    scenes, plan = made([torch.cat([torch.zeros(100), torch.full((100,), -2.0)])], 50)
    places = scenes[0, :, 1]
    assert places.equal(plan.start[0] + torch.arange(50.0))
    starts = {int(made([torch.zeros(60)], 50, seed=seed)[1].start[0]) for seed in range(60)}
    assert starts == set(range(11))


def test_many_recordings_are_laid_out_as_each_alone_would_be_in_kind():
    levels = [torch.linspace(0, -3, 8), torch.zeros(40), torch.zeros(300), torch.tensor([0.0])]
    scenes, plan = made(levels, 64)
    assert scenes.shape == (4, 64, 2)
    assert torch.isfinite(scenes).all()
    lengths = torch.tensor([len(level) for level in levels])
    assert (plan.first < lengths[:, None]).all()
    assert (plan.second < lengths[:, None]).all()
    assert (plan.first >= 0).all()
    sounds = layout.describe(levels, [False] * 4, PER_DB)
    assert sounds[torch.tensor([2, 0])].length.tolist() == [300, 8]
    assert sounds.to("cpu").gap.equal(sounds.gap)


def test_one_recording_alone_is_laid_out_as_among_others():
    level = torch.cat([torch.zeros(4), torch.full((6,), -3.0)])
    tokens, unit = torch.stack([level, torch.arange(10.0)], dim=1), torch.tensor([1.0, 0.0])
    generator = torch.Generator().manual_seed(0)
    scene = layout.scene_of(tokens, level, 60, unit, steady=False, per_db=PER_DB, generator=generator)
    assert scene.equal(made([level], 60)[0][0])


def test_it_imports_torch_alone():
    tree = ast.parse(Path(layout.__file__).read_text())
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names]
    names += [str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    assert {name.split(".")[0] for name in names} == {"dataclasses", "torch"}
