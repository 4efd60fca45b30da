"""Mappers: planted maps are learned, padding never matters, what is saved is what is loaded, and every complaint."""

import json
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import torch
from torch import nn

from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.mappers.networks import (
    MapperConfig,
    MapperKind,
    MapperNetwork,
    build_mapper,
    load_mapper,
    masked_mean,
    save_mapper,
)

KINDS = get_args(MapperKind)
TINY = MapperConfig(visual_dim=8, audio_dim=6, hidden_dim=32, depth=2, n_heads=4, dropout=0.0, n_frames=12)


def tiny(kind: MapperKind, **changes) -> MapperNetwork:
    return build_mapper(replace(TINY, kind=kind, **changes)).eval()


def clips(batch: int = 4, frames: int = 7, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.tensor([frames, 1, frames // 2, frames - 1])[torch.arange(batch) % 4]
    return torch.randn(batch, frames, 8, generator=generator), torch.arange(frames)[None] < lengths[:, None]


@pytest.mark.parametrize("kind", KINDS)
def test_fits_a_planted_linear_map(kind):
    generator = torch.Generator().manual_seed(1)
    planted = torch.randn(8, 6, generator=generator)
    mapper = build_mapper(replace(TINY, kind=kind)).train()
    optimizer = torch.optim.Adam(mapper.parameters(), lr=3e-3)
    losses = []
    for _ in range(300):
        # a clip is one point seen with a little noise, so that every kind can find the map in few steps
        visual = torch.randn(32, 1, 8, generator=generator) + 0.1 * torch.randn(32, 5, 8, generator=generator)
        mask = torch.arange(5)[None] < torch.randint(1, 6, (32, 1), generator=generator)
        target = nn.functional.normalize(masked_mean(visual, mask) @ planted, dim=1)
        loss = (mapper(visual, mask) - target).square().sum(dim=1).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) / 10 < losses[0] / 10


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("filling", [0.0, 1e4, float("nan"), float("inf")])
def test_padding_never_changes_a_result(kind, filling):
    mapper, (visual, _) = tiny(kind), clips()
    mask = torch.ones(4, 7, dtype=torch.bool)
    plain = mapper(visual, mask)
    padding, padded = torch.full((4, 5, 8), filling), torch.zeros(4, 5, dtype=torch.bool)
    behind = mapper(torch.cat([visual, padding], dim=1), torch.cat([mask, padded], dim=1))
    before = mapper(torch.cat([padding, visual], dim=1), torch.cat([padded, mask], dim=1))
    torch.testing.assert_close(behind, plain, atol=1e-6, rtol=0)
    torch.testing.assert_close(before, plain, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_batch_of_4_equals_4_of_1(kind):
    mapper, (visual, mask) = tiny(kind), clips()
    single = torch.cat([mapper(visual[i : i + 1], mask[i : i + 1]) for i in range(4)])
    torch.testing.assert_close(mapper(visual, mask), single, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_same_result_without_gradients(kind):
    mapper, (visual, mask) = tiny(kind), clips()
    with torch.inference_mode():
        fast = mapper(visual, mask).clone()  # torch's transformer takes another path here
    torch.testing.assert_close(mapper(visual, mask), fast, atol=1e-6, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
def test_result_is_of_unit_length_and_depends_on_the_frames(kind):
    mapper, (visual, mask) = tiny(kind), clips()
    result = mapper(visual, mask)
    assert result.shape == (4, 6)
    torch.testing.assert_close(result.norm(dim=1), torch.ones(4))
    assert (result - mapper(visual.flip(0), mask)).abs().max() > 1e-3


@pytest.mark.parametrize(("kind", "ordered"), [("mlp", 0), ("residual_mlp", 0), ("bilstm", 1), ("transformer", 1)])
def test_which_kinds_see_the_order_of_frames(kind, ordered):
    mapper, (visual, _) = tiny(kind), clips()
    mask = torch.ones(4, 7, dtype=torch.bool)
    difference = (mapper(visual, mask) - mapper(visual.flip(1), mask)).abs().max()
    assert (difference > 1e-5) == bool(ordered)


def test_seed_gives_the_weights_and_leaves_the_global_state():
    before = torch.random.get_rng_state()
    first, again, other = build_mapper(TINY, seed=3), build_mapper(TINY, seed=3), build_mapper(TINY, seed=4)
    assert torch.equal(torch.random.get_rng_state(), before)
    weights = [m.state_dict()["project_in.weight"] for m in (first, again, other)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_log_probability_input_is_zero_for_absent_classes():
    raw = tiny("mlp")
    mapper = tiny("mlp", input="log_probability")
    mapper.load_state_dict(raw.state_dict())
    probabilities = torch.softmax(torch.randn(2, 3, 8, generator=torch.Generator().manual_seed(0)) * 5, dim=2)
    mask = torch.tensor([[True, True, False], [True, True, True]])
    by_hand = (probabilities + 1e-4).log() - torch.tensor(1e-4).log()
    torch.testing.assert_close(mapper(probabilities, mask), raw(by_hand, mask), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_saved_and_loaded(kind, dtype, tmp_path):
    mapper, (visual, mask) = tiny(kind, visual_space="eyes", audio_space="ears"), clips()
    save_mapper(mapper, tmp_path / "mapper", dtype=dtype)
    loaded = load_mapper(tmp_path / "mapper")
    assert loaded.config == mapper.config
    assert not loaded.training
    assert all(w.dtype == torch.float32 for w in loaded.state_dict().values())
    tolerance = 1e-7 if dtype is None else 1e-2
    torch.testing.assert_close(loaded(visual, mask), mapper(visual, mask), atol=tolerance, rtol=0)
    assert sorted(p.name for p in (tmp_path / "mapper").iterdir()) == ["config.json", "model.safetensors"]


def test_all_padding_is_refused():
    visual, mask = clips()
    mask[2] = False
    with pytest.raises(InputError, match=r"clip \[2\] of the batch is all padding"):
        tiny("mlp")(visual, mask)


def test_another_visual_size_is_refused():
    with pytest.raises(InputError, match="have 9 numbers, this mapper takes 8"):
        tiny("mlp")(torch.zeros(1, 2, 9), torch.ones(1, 2, dtype=torch.bool))


def test_too_many_frames_for_a_transformer_are_refused():
    with pytest.raises(InputError, match="a clip has 13 frames, but this mapper takes at most 12"):
        tiny("transformer")(torch.zeros(1, 13, 8), torch.ones(1, 13, dtype=torch.bool))


def test_base_class_has_no_embed():
    with pytest.raises(NotImplementedError):
        MapperNetwork(TINY).embed(torch.zeros(1, 1, 8), torch.ones(1, 1, dtype=torch.bool))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"depth": 0}, r"mapper: sizes \(.*\) and dropout 0\.\d+; every size has to be positive"),
        ({"dropout": 1.0}, "dropout in"),
        ({"kind": "bilstm", "hidden_dim": 33}, "hidden_dim 33 of a bilstm has to be a multiple of 2"),
        ({"kind": "transformer", "n_heads": 5}, "hidden_dim 32 of a transformer has to be a multiple of 5"),
    ],
)
def test_impossible_sizes_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        replace(TINY, **changes)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("kind", "gru", 'kind "gru" is not known; known are mlp, residual_mlp, bilstm, transformer'),
        ("input", "logits", 'input "logits" is not known; known are raw, log_probability'),
        ("pooling", "max", 'pooling "max" is not known; known are mean, attention'),
        ("audio_scaling", "zca", 'audio_scaling "zca" is not known; known are none, centre, whiten'),
    ],
)
def test_unknown_choices_are_refused(name, value, message):
    config = replace(TINY)
    object.__setattr__(config, name, value)  # past the type checker that only tests have
    with pytest.raises(ConfigError, match=message):
        config.__post_init__()


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_mapper(tiny("residual_mlp"), tmp_path)
    return tmp_path


def edit_config(directory: Path, **changes) -> None:
    path = directory / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "gru"}, "(?s)config.json: not a mapper's config .*gru"),
        ({"widht": 3}, "unknown key widht; known keys are kind"),
        ({"depth": "two"}, "not a mapper's config"),
    ],
)
def test_config_of_another_kind_is_refused(saved, changes, message):
    edit_config(saved, **changes)
    with pytest.raises(BundleError, match=message):
        load_mapper(saved)


def test_weights_of_another_shape_are_refused(saved):
    edit_config(saved, audio_dim=7)
    with pytest.raises(
        BundleError, match=r"model.safetensors: project_out.1.bias: found \(6,\), expected \(7,\); the file belongs"
    ):
        load_mapper(saved)


@pytest.mark.parametrize("kind", ["mlp", "residual_mlp", "bilstm", "transformer"])
def test_a_new_mapper_answers_no_longer_than_a_unit_vector(kind):
    mapper = build_mapper(replace(TINY, kind=kind, audio_dim=512)).eval()
    visual = torch.randn((32, 4, TINY.visual_dim), generator=torch.Generator().manual_seed(0))
    lengths = mapper.regress(visual, torch.ones(32, 4, dtype=torch.bool)).norm(dim=1)
    assert 0.01 < float(lengths.mean().detach()) < 1.2
