"""Which recordings become mini's memory."""

import pytest
import torch
from torch.nn.functional import normalize

pytestmark = pytest.mark.usefixtures("recipe")


def row(label: str, recording: str, *, split: str = "train", free: str = "y") -> dict[str, str]:
    return {"label": label, "recording": recording, "split": split, "may_be_remembered": free}


def test_the_typical_one_comes_first_and_then_the_furthest():
    from remember import spread_out

    points = normalize(torch.tensor([[1.0, 0.1], [1.0, 0.0], [1.0, -0.1], [0.0, 1.0], [0.9, -0.2]]), dim=1)
    assert spread_out([0, 1, 2, 3, 4], points, 2) == [0, 3]
    assert spread_out([1, 2], points, 5) == [1, 2] or spread_out([1, 2], points, 5) == [2, 1]


def test_only_train_recordings_that_may_be_passed_on_are_remembered_each_once_before_its_other_pieces():
    from remember import choose

    rows = [
        row("dog", "a"),
        row("dog", "a"),
        row("dog", "b"),
        row("dog", "c", free="n"),
        row("dog", "d", split="val"),
        row("bell", "e"),
    ]
    embeddings = normalize(torch.randn(6, 4, generator=torch.Generator().manual_seed(0)), dim=1)
    assert choose(rows, embeddings, 2) == [0, 2, 5]
    assert choose(rows, embeddings, 3) == [0, 1, 2, 5]


def test_what_lies_far_from_its_label_is_not_remembered():
    from remember import choose

    rows = [row("rain", str(n)) for n in range(10)]
    embeddings = normalize(
        torch.tensor([[1.0, 0.02 * n, 0.0] for n in range(5)] + [[0.3, 0.0, 1.0 + n] for n in range(5)]), dim=1
    )
    rows += [row("rain", f"not free {n}", free="n") for n in range(10)]
    embeddings = torch.cat([embeddings, normalize(torch.tensor([[1.0, 0.0, 0.0]] * 10), dim=1)])
    assert set(choose(rows, embeddings, 8)) == {0, 1, 2, 3, 4}


def test_a_prior_answers_with_what_is_remembered():
    from echoframe.generators.memory import Memory, MemoryConfig, Remembered
    from echoframe.mappers.label_prior import LabelPrior, LabelPriorConfig
    from remember import meet
    from tiny_mel_flow import tiny_codec

    codec = tiny_codec()
    memory = Memory(
        MemoryConfig(),
        entries=[Remembered(sound=f"{n}.ogg", label="dog", source="s", licence="CC0-1.0") for n in range(2)],
        embeddings=torch.eye(6)[2:4],
        tokens=torch.zeros(4, codec.channels),
        starts=torch.tensor([0, 2, 4]),
        steady=torch.tensor([True, True]),
        codec=codec,
    )
    prior = LabelPrior(LabelPriorConfig(visual_dim=12, n_classes=4, audio_dim=6, per_label=3, labels=("bell", "dog")))
    prior.vectors[0, 0, 0] = 1.0
    meet(prior, memory)
    assert prior.counts.tolist() == [1, 2]
    assert torch.equal(prior.vectors[1], torch.cat([torch.eye(6)[2:4], torch.zeros(1, 6)]))
    assert float(prior.vectors[0, 0, 0]) == 1.0


def test_the_labeller_learns_what_kinds_have_in_common(recipe):
    from remember import found_labels, learn_labels

    random = torch.Generator().manual_seed(0)
    centres = torch.eye(12)[:3]
    which = torch.randint(3, (90,), generator=random)
    points = normalize(centres[which] + 0.1 * torch.randn(90, 12, generator=random), dim=1)
    names = [("bell", "dog", "rain")[n] for n in which.tolist()]
    labeller = learn_labels(points[:60], names[:60], steps=200)
    assert labeller.names == ("bell", "dog", "rain")
    rows = [row(name, str(n), split="train" if n < 60 else "val") for n, name in enumerate(names)]
    assert found_labels(labeller, rows, points) == 1.0
