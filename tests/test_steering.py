"""What people ask for moves the target: words, labels, examples."""

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch
from torch.nn.functional import normalize

from echoframe.errors import InputError
from echoframe.mappers import LabelMapper
from echoframe.mappers.label_prior import LabelPrior, LabelPriorConfig
from echoframe.mappers.networks import MapperConfig, build_mapper
from echoframe.mappers.steering import ALIKE, FLOOR, Steering, by_labels, from_words, moved, predicted, pull_at
from echoframe.mappers.steering import weighed as weighed_at
from echoframe.mappers.zero_shot import BridgeConfig, ZeroShotBridge

LABELS = ("bark", "howl", "rain")
SEEN = torch.tensor([[0.9, 0.1, 0.0]], dtype=torch.float64)
EAST, NORTH = torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0])


def weighed(chances: torch.Tensor, labels: Sequence[str], steering: Steering) -> torch.Tensor:
    """With labels none of which sounds like another."""
    return weighed_at(chances, labels, steering, places=torch.eye(len(labels)))


def prior() -> LabelPrior:
    made = LabelPrior(LabelPriorConfig(visual_dim=6, audio_dim=3, labels=LABELS, n_classes=4, per_label=1)).eval()
    made.vectors[:, 0] = torch.eye(3)
    made.table[:, :3] = torch.eye(3)
    return made


def frames(label: int) -> tuple[torch.Tensor, torch.Tensor]:
    visual = torch.zeros(1, 2, 6)
    visual[:, :, 2 + label] = 1.0
    return visual, torch.ones(1, 2, dtype=torch.bool)


def test_the_words_are_an_expert_beside_the_picture():
    half = weighed(SEEN, LABELS, Steering(named={"howl": 1.0}, weight=0.5))[0]
    product = torch.tensor([math.sqrt(0.9 * FLOOR), math.sqrt(0.1), 0.0], dtype=torch.float64)
    assert half.tolist() == pytest.approx((product / product.sum()).tolist())
    both = weighed(SEEN, LABELS, Steering(named={"bark": 0.5, "howl": 0.5}, weight=0.5))[0]
    assert both[0] / both[1] == pytest.approx(math.sqrt(9))  # words that name both leave it to the picture


def test_labels_that_neither_names_are_out_however_many_there_are():
    labels = ("seen", "said", *(f"other {n}" for n in range(1000)))
    seen = torch.zeros(1, len(labels), dtype=torch.float64)
    seen[0, 0] = 1.0
    found = weighed(seen, labels, Steering(named={"said": 1.0}, weight=0.5))[0]
    assert found[:2].tolist() == pytest.approx([0.5, 0.5])
    assert not found[2:].any()


def test_the_weight_goes_from_the_picture_alone_to_the_words_alone():
    shares = [float(weighed(SEEN, LABELS, Steering(named={"rain": 1.0}, weight=w / 10))[0, 2]) for w in range(11)]
    assert shares[0] == 0.0
    assert shares[10] == 1.0
    assert shares == sorted(shares)
    alone = weighed(SEEN, LABELS, Steering(named={"howl": 0.25, "rain": 0.75}, weight=1.0))[0]
    assert alone.tolist() == pytest.approx([0.0, 0.25, 0.75])


def test_labels_are_turned_up_down_and_off():
    assert weighed(SEEN, LABELS, Steering()) is SEEN
    up = weighed(SEEN, LABELS, Steering(factors={"howl": 9.0}))[0]
    assert up.tolist() == pytest.approx([0.5, 0.5, 0.0])
    assert weighed(SEEN, LABELS, Steering(factors={"bark": 0.0}))[0].tolist() == [0.0, 1.0, 0.0]
    assert weighed(SEEN, LABELS, Steering(unwanted=frozenset({"bark"})))[0].tolist() == [0.0, 1.0, 0.0]
    with pytest.raises(InputError, match="all that could be heard was turned off"):
        weighed(SEEN, LABELS, Steering(unwanted=frozenset({"bark", "howl"})))


def test_what_is_unwanted_leaves_its_chance_to_labels_that_do_not_sound_like_it():
    labels = ("trumpet", "trombone", "cornet", "rain", "wind")
    seen = torch.tensor([[0.6, 0.2, 0.1, 0.06, 0.04]], dtype=torch.float64)
    places = torch.eye(5)
    places[1] = normalize(places[0] * (ALIKE + 0.1) + places[1], dim=0)
    steering = Steering(unwanted=frozenset({"trumpet"}), akin=frozenset({"cornet"}))
    found = weighed_at(seen, labels, steering, places=places)[0]
    assert found.tolist() == pytest.approx([0, 0.2, 0.1, 0.42, 0.28])
    turned_up = replace(steering, factors={"trumpet": 1.0})  # a label by its name is above words
    assert weighed_at(seen, labels, turned_up, places=places)[0].tolist() == pytest.approx(seen[0].tolist())


def test_where_all_sound_like_what_is_unwanted_they_are_heard_in_its_place():
    places = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]])
    found = weighed_at(
        SEEN + torch.tensor([0.0, 0.0, 0.1]), LABELS, Steering(unwanted=frozenset({"bark"})), places=places
    )
    assert found[0].tolist() == pytest.approx([0, 0.5, 0.5])


def test_a_target_moves_along_the_places_of_labels_where_no_labels_led_to_it():
    places = {"east": EAST, "north": NORTH}
    target = normalize(torch.tensor([[3.0, 1.0]]), dim=1)
    named = by_labels(target, Steering(named={"north": 1.0}, weight=1.0), places)
    assert torch.allclose(named, NORTH[None])
    off = by_labels(target, Steering(factors={"east": 0.0}), places)
    assert torch.allclose(off, NORTH[None])
    doubled = by_labels(target, Steering(factors={"north": 2.0}), places)
    assert torch.allclose(doubled, normalize(torch.tensor([[3.0, 2.0]]), dim=1))
    assert torch.allclose(by_labels(target, Steering(factors={"north": 1.0}), places), target)
    behind = by_labels(-NORTH[None], Steering(factors={"north": 5.0}), places)
    assert torch.allclose(behind, -NORTH[None])  # what is not there is not turned up


def test_vectors_move_the_target_and_what_is_not_wanted_is_taken_out():
    half = moved(EAST[None], Steering(prompt=NORTH, weight=0.5))
    assert torch.allclose(half, normalize(EAST + NORTH, dim=0)[None])
    assert torch.allclose(moved(half, Steering(negative=NORTH)), EAST[None])
    assert torch.allclose(moved(-NORTH[None], Steering(negative=NORTH)), -NORTH[None])
    assert torch.allclose(moved(EAST[None], Steering(example=NORTH, pull=1.0)), NORTH[None])
    assert pull_at(0.5) == 0.75


def test_a_mapper_by_way_of_labels_draws_from_what_is_left():
    mapper = prior()
    assert isinstance(mapper, LabelMapper)
    visual, mask = frames(0)
    plain, chances = predicted(mapper, visual, mask, seeds=[1], steering=Steering(), places={})
    assert torch.equal(plain, mapper(visual, mask, seeds=[1]))
    assert max(chances, key=lambda name: chances[name]) == "bark"
    assert sum(chances.values()) == pytest.approx(1)
    rain, _ = predicted(mapper, visual, mask, seeds=[1], steering=Steering(named={"rain": 1.0}, weight=1.0), places={})
    assert torch.equal(rain, torch.eye(3)[2:])


def test_a_bridge_is_one_too_and_its_answer_is_the_mean_that_it_was():
    text = torch.eye(3)
    config = BridgeConfig(visual_dim=3, audio_dim=3, labels=LABELS, scale=2.0)
    bridge = ZeroShotBridge(config, visual_text=text, audio_text=text)
    visual, mask = torch.rand(2, 4, 3), torch.ones(2, 4, dtype=torch.bool)
    assert isinstance(bridge, LabelMapper)
    assert bridge.chances(visual, mask).sum(dim=1).tolist() == pytest.approx([1, 1])
    assert torch.equal(bridge(visual, mask), bridge.answer(bridge.chances(visual, mask), [0, 0]))
    target, chances = predicted(
        bridge, visual[:1], mask[:1], seeds=[0], steering=Steering(factors={"bark": 0.0}), places={}
    )
    assert (float(target[0, 0]), chances["bark"]) == (0.0, 0.0)


def test_a_label_lies_where_its_recordings_or_its_text_do():
    mapper = LabelPrior(LabelPriorConfig(visual_dim=6, audio_dim=2, labels=("a", "b"), n_classes=4, per_label=3))
    mapper.vectors[0] = torch.tensor([[3.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    mapper.vectors[1] = torch.tensor([[0.0, 2.0], [1.0, 0.0], [1.0, 0.0]])
    mapper.counts[:] = torch.tensor([2, 1])  # what is left over does not count
    assert torch.allclose(mapper.places, torch.stack([normalize(EAST + NORTH, dim=0), NORTH]))
    config = BridgeConfig(visual_dim=3, audio_dim=3, labels=LABELS)
    bridge = ZeroShotBridge(config, visual_text=torch.eye(3), audio_text=2 * torch.eye(3))
    assert torch.equal(bridge.places, torch.eye(3))


def test_a_regression_has_no_chances():
    mapper = build_mapper(MapperConfig(kind="mlp", visual_dim=3, audio_dim=2, hidden_dim=4, depth=1)).eval()
    visual, mask = torch.rand(1, 4, 3), torch.ones(1, 4, dtype=torch.bool)
    assert not isinstance(mapper, LabelMapper)
    target, chances = predicted(mapper, visual, mask, seeds=[0], steering=Steering(), places={})
    assert torch.equal(target, mapper(visual, mask))
    assert chances == {}
    steering = Steering(named={"north": 1.0}, weight=1.0)
    assert torch.allclose(
        predicted(mapper, visual, mask, seeds=[0], steering=steering, places={"north": NORTH})[0], NORTH[None]
    )


def test_without_a_picture_words_or_an_example_are_the_target():
    mapper = prior()
    named = Steering(named={"howl": 1.0}, weight=0.1)  # there is nothing to weigh it against
    assert torch.equal(from_words(mapper, seeds=[0], steering=named, places={}), torch.eye(3)[1:2])
    vector = Steering(prompt=NORTH, weight=0.1, negative=EAST)
    assert torch.allclose(from_words(mapper, seeds=[0], steering=vector, places={}), NORTH[None])
    like = Steering(example=EAST, pull=0.5)
    assert torch.allclose(from_words(mapper, seeds=[0], steering=like, places={}), EAST[None])
    network = build_mapper(MapperConfig(kind="mlp", visual_dim=3, audio_dim=2, hidden_dim=4, depth=1)).eval()
    by_place = from_words(network, seeds=[0], steering=Steering(named={"n": 1.0}), places={"n": NORTH})
    assert torch.allclose(by_place, NORTH[None])
    with pytest.raises(InputError, match="no picture and no prompt: give a video"):
        from_words(mapper, seeds=[0], steering=Steering(), places={})


def test_what_a_generator_steers_away_from_is_the_negative_or_the_unwanted_labels():
    places = {"east": EAST, "north": NORTH}
    assert Steering().away(places) is None
    assert Steering(unwanted=frozenset({"not here"})).away(places) is None
    negative = Steering(negative=EAST).away(places)
    both = Steering(unwanted=frozenset({"east", "north"})).away(places)
    assert negative is not None
    assert both is not None
    assert torch.equal(negative, EAST[None])
    assert torch.allclose(both, normalize(EAST + NORTH, dim=0)[None])
