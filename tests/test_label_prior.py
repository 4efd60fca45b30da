"""The label prior: what it sees by hand, how it draws, that it learns from photographs, and every complaint."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from echoframe.errors import BundleError, ConfigError, InputError
from echoframe.mappers.label_prior import LabelPrior, LabelPriorConfig, load_label_prior, save_label_prior

TINY = LabelPriorConfig(
    visual_dim=7,
    audio_dim=5,
    labels=("dog barking", "cat meowing", "raining"),
    n_classes=4,
    per_label=3,
)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def clips(n_clips: int, n_frames: int, seed: int = 0) -> torch.Tensor:
    features = random(n_clips, n_frames, 3, seed=seed).abs()
    return torch.cat([features, random(n_clips, n_frames, 4, seed=seed + 1).softmax(dim=2)], dim=2)


def mask_for(visual: torch.Tensor) -> torch.Tensor:
    return torch.ones(visual.shape[:2], dtype=torch.bool)


@pytest.fixture
def seeded():
    """What a test draws, such as first weights and what is dropped, is the same each time."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield


def some_prior(config: LabelPriorConfig = TINY) -> LabelPrior:
    prior = LabelPrior(config)
    with torch.no_grad():
        prior.table.copy_(torch.tensor([[1.0, 0.5, 0, 0], [0, 0.5, 1, 0], [0, 0, 0, 0.2]]))
        prior.vectors.copy_(nn.functional.normalize(random(3, 3, 5), dim=2))
        prior.counts.copy_(torch.tensor([3.0, 1, 2]))
        prior.learned.weight.copy_(random(3, 7, seed=5))
    return prior.eval()


def test_without_a_learned_share_the_table_speaks():
    prior = some_prior(replace(TINY, frame_sharpness=1.0, learned_share=0.0))
    visual = torch.tensor([[[0.1, 0.2, 0.3, 0.5, 0.2, 0.3, 0.0], [0, 0, 0, 0, 1.0, 0, 0]]])
    first, second = torch.tensor([0.6, 0.4, 0.0]), torch.tensor([0.5, 0.5, 0.0])
    floor = 1e-3 / 3
    expected = ((first + floor) / (first + floor).sum() + (second + floor) / (second + floor).sum()) / 2
    torch.testing.assert_close(prior.probabilities(visual, mask_for(visual))[0], expected, atol=1e-5, rtol=0)


def test_frame_sharpness_keeps_the_unlikely_from_adding_up():
    visual = torch.tensor([[[0.0, 0, 0, 0.25, 0.25, 0.1, 0.4]]])
    flat, sharp = (some_prior(replace(TINY, frame_sharpness=power, learned_share=0)) for power in (1.0, 4.0))
    probability = [prior.probabilities(visual, mask_for(visual))[0, 2].item() for prior in (flat, sharp)]
    assert probability[1] > 2 * probability[0]


def test_the_two_readers_are_mixed():
    visual = clips(2, 3)
    found = [
        some_prior(replace(TINY, learned_share=share)).probabilities(visual, mask_for(visual)) for share in (0, 0.25, 1)
    ]
    torch.testing.assert_close(found[1], 0.75 * found[0] + 0.25 * found[2])
    torch.testing.assert_close(found[2].sum(dim=1), torch.ones(2))
    by_hand = some_prior().scores(visual).softmax(dim=2).mean(dim=1)
    torch.testing.assert_close(found[2], by_hand)


def test_learns_what_a_table_that_takes_both_for_a_dog_gets_wrong(seeded):
    prior = LabelPrior(replace(TINY, learned_share=0.5)).train()
    prior.table[0] = 0.3
    optimizer = torch.optim.Adam(prior.parameters(), lr=3e-2)
    label = torch.arange(60) % 2
    frames = clips(60, 1)[:, 0]
    frames[:, 0] = 4.0 * label
    for _ in range(150):
        loss = nn.functional.cross_entropy(prior.scores(frames), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mask = torch.ones(60, 1, dtype=torch.bool)
    learned = prior.eval().scores(frames).softmax(dim=1)
    assert (learned.argmax(dim=1) == label).float().mean() > 0.95
    assert (prior.probabilities(frames[:, None], mask)[label == 1, 1] > 0.4).all()


def test_draws_recordings_as_often_as_their_labels_are_likely():
    prior = some_prior(replace(TINY, sharpness=1.0))
    visual = clips(1, 4)
    likely = prior.probabilities(visual, mask_for(visual))[0]
    drawn = prior(visual.expand(600, -1, -1), torch.ones(600, 4, dtype=torch.bool), seeds=range(600))
    nearest = (drawn @ prior.vectors.flatten(0, 1).T).argmax(dim=1)
    assert (drawn - prior.vectors.flatten(0, 1)[nearest]).abs().max() < 1e-6
    shares = torch.bincount(nearest // 3, minlength=3) / 600
    torch.testing.assert_close(shares, likely, atol=0.06, rtol=0)
    assert set(nearest.tolist()) <= {0, 1, 2, 3, 6, 7}  # only what `counts` says is real


def test_sharpness_keeps_to_what_is_likely():
    visual = clips(1, 4).expand(200, -1, -1)
    sharp = some_prior(replace(TINY, sharpness=50.0))
    drawn = sharp(visual, mask_for(visual), seeds=range(200))
    best = int(sharp.probabilities(visual[:1], mask_for(visual[:1]))[0].argmax())
    nearest = (drawn @ sharp.vectors.flatten(0, 1).T).argmax(dim=1)
    assert (nearest // 3 == best).float().mean() > 0.9


def test_the_seed_chooses_and_nothing_else_does():
    prior, visual = some_prior(replace(TINY, sharpness=0.5)), clips(4, 7)
    mask = mask_for(visual)
    one = prior(visual, mask, seeds=[1, 2, 3, 4])
    torch.testing.assert_close(one.norm(dim=1), torch.ones(4))
    single = torch.cat([prior(visual[i : i + 1], mask[i : i + 1], seeds=[i + 1]) for i in range(4)])
    torch.testing.assert_close(one, single)
    assert any(not torch.equal(one, prior(visual, mask, seeds=[n] * 4)) for n in range(5, 9))
    torch.testing.assert_close(prior(visual, mask), prior(visual, mask, seeds=[0] * 4))


@pytest.mark.parametrize("filling", [0.0, float("nan")])
def test_padding_never_changes_a_result(filling):
    prior, visual = some_prior(), clips(2, 7)
    longer = torch.cat([visual, torch.full((2, 3, 7), filling)], dim=1)
    mask = torch.cat([mask_for(visual), torch.zeros(2, 3, dtype=torch.bool)], dim=1)
    torch.testing.assert_close(prior.probabilities(longer, mask), prior.probabilities(visual, mask_for(visual)))


@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_saved_and_loaded(dtype, tmp_path):
    prior, visual = some_prior(), clips(2, 3)
    save_label_prior(prior, tmp_path, dtype=dtype)
    again = load_label_prior(tmp_path)
    assert again.config == prior.config
    assert not again.training
    expected = prior.probabilities(visual, mask_for(visual))
    found = again.probabilities(visual, mask_for(visual))
    torch.testing.assert_close(found, expected, atol=1e-6 if dtype is None else 2e-2, rtol=0)


def test_a_seed_for_each_clip():
    visual = clips(2, 3)
    with pytest.raises(InputError, match="1 seeds for 2 clips; give one for each"):
        some_prior()(visual, mask_for(visual), seeds=[1])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"kind": "mlp"}, 'kind "mlp".*expected "label_prior"'),
        ({"labels": ()}, "0 labels.*one label at least"),
        ({"audio_dim": 0}, "expected.*positive sizes"),
        ({"n_classes": 8}, "8 classes in a frame of 7 numbers; lower n_classes"),
        ({"sharpness": 0.0}, "sharpness 0.0.*expected the first two above 0"),
        ({"learned_share": 1.5}, "learned_share 1.5; .*a share from 0 to 1"),
    ],
)
def test_impossible_configs_are_refused(changes, words):
    with pytest.raises(ConfigError, match=words):
        replace(TINY, **changes)


@pytest.mark.parametrize("changes", [{"kind": "mlp"}, {"per_label": 0}, {"colour": 1}])
def test_another_config_is_refused(changes, tmp_path):
    save_label_prior(some_prior(), tmp_path)
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(BundleError, match=r"config.json: not a label prior's config .*fetch the bundle again"):
        load_label_prior(tmp_path)
