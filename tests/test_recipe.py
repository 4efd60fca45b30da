"""The recipe's programs on small data: the judge, the Frechet distance, the flow's batches, the page of results."""

import json
import re
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from planted_video import write_video
from tiny_bundles import write_tiny_mini

RECIPE = Path(__file__).parents[1] / "recipes" / "mini"


@pytest.fixture(autouse=True)
def recipe(monkeypatch):
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(RECIPE))
    yield
    for name in set(sys.modules) - before:
        if str(RECIPE) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def test_the_judge_finds_labels_where_they_are_and_nothing_in_noise():
    import judge

    names = [f"label {n}" for n in range(8)]
    places = 2 * random(8, 200)
    train = torch.nn.functional.normalize(
        torch.cat([places + 0.5 * random(8, 200, seed=s) for s in range(1, 31)]), dim=1
    )
    judged = judge.fit_judge(train, names * 30, set(names[:6]))
    assert judged.names == names[:6]
    test = torch.nn.functional.normalize(places[:6] + 0.5 * random(6, 200, seed=99), dim=1)
    top1, top5 = judged.hits(test, names[:6])
    assert top1.all()
    assert top5.all()
    top1, top5 = judged.hits(test, [*names[1:6], names[0]])
    assert not top1.any()
    placed = judged.place(train)
    assert placed.shape == (240, 128)
    torch.testing.assert_close(placed.square().mean(0), torch.ones(128), atol=1e-3, rtol=0)


def test_the_frechet_distance_of_gaussians_is_the_known_one():
    import judge

    points = random(4000, 3).double()
    points = (points - points.mean(0)) @ torch.linalg.inv(torch.linalg.cholesky(torch.cov(points.T))).T  # exactly unit
    moved = points * torch.tensor([2.0, 1.0, 1.0]) + torch.tensor([0.0, 3.0, 0.0])
    assert judge.frechet_distance(points, points) == pytest.approx(0, abs=1e-6)
    assert judge.frechet_distance(points, moved) == pytest.approx(9 + (2 - 1) ** 2, rel=1e-6)
    few = points[:3]  # fewer points than dimensions of freedom
    assert judge.frechet_distance(few, few) == pytest.approx(0, abs=1e-5)


def write_corpus(work: Path) -> None:
    (work / "corpus").mkdir(parents=True)
    index = [{"label": f"label {n % 2}", "split": "train" if n < 6 else "test", "recording": str(n)} for n in range(8)]
    (work / "corpus" / "scenes.json").write_text(json.dumps(index))
    np.save(work / "corpus" / "blocks.npy", random(8, 7, 512).numpy().astype(np.float16))


def test_crops_begin_where_their_embedding_does_and_only_train_scenes_are_drawn(tmp_path):
    import flow

    write_corpus(tmp_path)
    tokens = torch.arange(8 * 64).reshape(8, 64, 1).expand(8, 64, 4).half()
    scenes = flow.Scenes(tmp_path)
    crops, conditions = scenes.batch(tokens, 40, 22, torch.Generator().manual_seed(0))
    assert crops.shape == (40, 22, 4)
    for crop, condition in zip(crops, conditions, strict=True):
        scene, first = divmod(int(crop[0, 0]), 64)
        assert scene < 6
        assert torch.equal(crop[:, 0], torch.arange(scene * 64 + first, scene * 64 + first + 22))
        block = round(first * 0.16 / flow.BLOCK_HOP_S)
        torch.testing.assert_close(condition, scenes.embedding(scene, block, block + 2))
    assert len({int(crop[0, 0]) for crop in crops}) > 10
    whole, _ = scenes.batch(tokens, 3, 64, torch.Generator().manual_seed(0))
    assert (whole[:, 0, 0] % 64 == 0).all()


def test_the_flow_loss_is_least_for_the_right_direction():
    import flow
    from stage import FlowConfig

    tokens, condition = random(16, 5, 3), torch.nn.functional.normalize(random(16, 4), dim=1)
    config = FlowConfig()

    def knowing(noisy, level, _):
        return (noisy - tokens) / level[:, None, None]  # = noise - tokens

    assert flow.flow_loss(knowing, tokens, condition, config, torch.Generator().manual_seed(0)) < 1e-6
    nothing = flow.flow_loss(lambda noisy, *_: 0 * noisy, tokens, condition, config, torch.Generator().manual_seed(0))
    assert nothing == pytest.approx(2, abs=0.4)


def test_conditions_are_blurred_a_little_and_one_in_ten_is_dropped():
    import flow
    from stage import FlowConfig

    condition = torch.nn.functional.normalize(random(2000, 512), dim=1)
    seen = []

    def watch(noisy, _, given):
        seen.append(given)
        return noisy

    flow.flow_loss(watch, random(2000, 1, 1), condition, FlowConfig(), torch.Generator().manual_seed(0))
    (given,) = seen
    kept = given.norm(dim=1) > 0.5
    assert 0.87 < kept.float().mean() < 0.93
    cosines = (given * condition).sum(1)[kept]
    assert 0.93 < cosines.min() < cosines.mean() < 0.9999


def test_the_page_names_every_clip_and_opens_from_disk(tmp_path, monkeypatch, capsys):
    import showcase

    write_tiny_mini(tmp_path / "tiny")
    (tmp_path / "films").mkdir()
    for name in ("one", "two & three"):
        write_video(tmp_path / "films" / f"{name}.mp4", n_frames=10, rate=Fraction(10))
    out = tmp_path / "out"
    monkeypatch.setattr(
        sys, "argv", ["showcase.py", str(tmp_path / "films"), "-o", str(out), "--model", str(tmp_path / "tiny")]
    )
    showcase.main()
    page = (out / "index.html").read_text()
    assert "<h2>two &amp; three.mp4</h2>" in page
    for file in re.findall(r'src="([^"]+)"', page):
        assert (out / file.replace("&amp;", "&")).is_file(), file
    assert "dog barking" in page
    assert "2/2" in capsys.readouterr().out
