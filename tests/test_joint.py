"""Windows of a long sound: where they lie, what they say together, and stretches of a row."""

import pytest
import torch

from echoframe.errors import InputError
from echoframe.generators.asked import check_embeddings
from echoframe.generators.joint import plan_spans, predict
from echoframe.media.stretches import Rows, drawn_rows, stretches


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("longest", "overlap"), [(1, 0), (2, 0), (4, 1), (8, 2), (64, 16)])
def test_windows_cover_all_places_with_one_length_and_their_overlap(longest, overlap):
    for total in [*range(1, 40), 500, 3750]:
        spans = plan_spans(total, longest=longest, overlap=overlap)
        lengths = {stop - start for start, stop in spans}
        assert len(lengths) == 1
        assert lengths.pop() <= longest
        assert (spans[0][0], spans[-1][1]) == (0, total)
        for (_, stop), (start, _) in zip(spans[:-1], spans[1:], strict=True):
            assert stop - start >= overlap
        assert len(spans) <= 1 + total / max(longest - overlap, 1)


@pytest.mark.parametrize("dim", [1, 2])
def test_windows_of_one_sound_are_that_sound_whatever_their_overlap(dim):
    sound = random(2, 30, 30, 3)
    for longest, overlap in ((30, 7), (12, 3), (5, 1), (4, 0)):
        spans = plan_spans(30, longest=longest, overlap=overlap)
        target = torch.zeros(2, len(spans), 1)
        found = predict(lambda rows, _: rows, sound, target, None, spans=spans, guidance=1.0, n_rows=3, dim=dim)
        torch.testing.assert_close(found, sound)


def test_where_two_windows_differ_the_result_goes_over_from_one_to_the_other():
    def network(rows, conditions):
        return conditions[:, None].expand(rows.shape)

    spans, target = [(0, 10), (6, 16)], torch.tensor([[[0.0], [1.0]]])
    found = predict(network, torch.zeros(1, 16, 1), target, None, spans=spans, guidance=1.0, n_rows=8)[0, :, 0]
    torch.testing.assert_close(found[6:10], torch.tensor([0.125, 0.375, 0.625, 0.875]))
    assert (found[:6] == 0).all()
    assert (found[10:] == 1).all()


def test_every_window_is_told_its_own_target_and_guided_away_from_its_items_negative():
    spans, latents = plan_spans(20, longest=8, overlap=2), torch.zeros(2, 20, 1)
    target = torch.arange(2 * len(spans), dtype=torch.float32).reshape(2, -1, 1)
    negative = torch.tensor([[100.0], [200.0]])
    calls: list[int] = []

    def network(rows, conditions):
        calls.append(len(rows))
        return rows + conditions[:, None]

    found = [
        predict(network, latents, target, negative, spans=spans, guidance=3.0, n_rows=n_rows) for n_rows in (1, 2, 8)
    ]
    assert calls == [2] * 6 + [4, 2, 4, 2] + [6, 6]
    for other in found[1:]:
        torch.testing.assert_close(other, found[0])
    # the first window's beginning is its alone: 3 * target - 2 * negative
    torch.testing.assert_close(found[0][:, 0, 0], 3 * target[:, 0, 0] - 2 * negative[:, 0])
    torch.testing.assert_close(found[0][:, -1, 0], 3 * target[:, -1, 0] - 2 * negative[:, 0])


def test_a_negative_is_one_for_all_windows():
    with pytest.raises(InputError, match=r"negative: shape \(1, 2, 3\), expected \(1, 3\): one row for each of the"):
        check_embeddings(torch.ones(1, 2, 3), torch.ones(1, 2, 3), n=1, n_windows=2, dim=3)


@pytest.mark.parametrize("context", [0, 3, 100])
def test_stretches_follow_each_other_and_never_go_back(context):
    for total in (1, 7, 8, 50):
        parts = stretches(total, longest=7, context=context)
        assert [place for part in parts for place in range(part.start, part.stop)] == list(range(total))
        assert all(part.low == max(part.start - context, 0) for part in parts)
        assert all(part.high == min(part.stop + context, total) for part in parts)


def test_rows_are_the_same_whatever_the_pieces_and_only_those_that_are_asked_for_are_held():
    row = random(100, 3)
    rows = Rows(iter(row.split([1, 30, 0, 50, 19])))
    for low, high in ((0, 10), (5, 5), (5, 40), (38, 60), (90, 100)):
        assert torch.equal(rows.between(low, high), row[low:high])
        assert len(rows._held) <= high - low + 50


def test_drawn_rows_are_those_of_one_draw():
    whole = random(500, 4, 8)
    rows = drawn_rows((4, 8), torch.Generator().manual_seed(0))
    for low in range(0, 500, 50):
        assert torch.equal(rows.between(max(low - 20, 0), low + 50), whole[max(low - 20, 0) : low + 50])
