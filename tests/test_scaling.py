"""Scaled spaces: their statistics, and the way back."""

import pytest
import torch

from echoframe.errors import InputError
from echoframe.mappers.scaling import SHRINKAGE, Scaling


@pytest.fixture
def points():
    random = torch.Generator().manual_seed(0)
    return torch.randn((4000, 6), generator=random) @ torch.randn((6, 6), generator=random) + 3


@pytest.mark.parametrize("kind", ["none", "centre", "whiten"])
def test_there_and_back(kind, points):
    scaling = Scaling(kind, 6)
    torch.testing.assert_close(scaling(points), points)  # before it has learned anything
    scaling.fit(points)
    torch.testing.assert_close(scaling.undo(scaling(points)), points, atol=1e-4, rtol=1e-4)


def test_what_becomes_of_the_points(points):
    centred, whitened = Scaling("centre", 6), Scaling("whiten", 6)
    centred.fit(points)
    whitened.fit(points)
    torch.testing.assert_close(centred(points).mean(dim=0), torch.zeros(6), atol=1e-4, rtol=0)
    torch.testing.assert_close(centred(points).T.cov(), points.T.cov(), atol=1e-3, rtol=1e-4)
    # each variance v becomes v / (v + a tenth of the mean)
    values = torch.linalg.eigvalsh(points.T.cov())
    expected = values / (values + SHRINKAGE * values.mean())
    torch.testing.assert_close(torch.linalg.eigvalsh(whitened(points).T.cov()), expected, atol=1e-3, rtol=1e-3)


def test_the_symmetric_root_keeps_independent_directions_apart():
    points = torch.randn((4000, 3), generator=torch.Generator().manual_seed(1)) * torch.tensor([1.0, 2.0, 0.5])
    scaling = Scaling("whiten", 3)
    scaling.fit(points)
    forth = scaling.forth / scaling.forth.diagonal()
    torch.testing.assert_close(forth, torch.eye(3), atol=0.1, rtol=0)


def test_one_point_is_no_space():
    with pytest.raises(InputError, match="scaling: 1 embedding; expected two or more"):
        Scaling("centre", 3).fit(torch.ones(1, 3))
