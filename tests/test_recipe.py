"""The recipe's programs on small data: the judge, the Frechet distance, the flow's batches, the page of results."""

import json
import re
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from echoframe.evaluation.judges import Heard
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


def test_the_log_spectral_distance_of_a_gain_is_the_gain():
    import judge

    noise = 0.1 * random(16_000)
    assert judge.log_spectral_distance(noise, noise) == 0
    assert judge.log_spectral_distance(noise, 0.5 * noise) == pytest.approx(6.02, abs=0.01)
    assert judge.log_spectral_distance(noise, 0 * noise) > 20


def drawn_clips(work: Path):
    import flow
    import mapper
    import stage

    index = [
        {"label": x, "split": "train", "recording": f"{x}{n}"} for x in ("dog barking", "raining") for n in range(80)
    ]
    (work / "corpus").mkdir(parents=True)
    (work / "corpus" / "scenes.json").write_text(json.dumps(index))
    places = torch.nn.functional.normalize(random(2, 1, 512), dim=2).repeat_interleave(80, 0)
    blocks = 8 * places + 0.2 * random(160, 7, 512)
    np.save(work / "corpus" / "blocks.npy", blocks.numpy().astype(np.float16))
    scenes = flow.Scenes(work)
    return scenes, mapper.DrawnClips(scenes, random(1000, 16), random(1000, seed=1), stage.DrawnClipsConfig(n_frames=2))


def test_targets_are_stretches_of_scenes_of_a_label_the_picture_shows(tmp_path):
    scenes, clips = drawn_clips(tmp_path)
    frames, mask, target, label = clips.batch(30, torch.Generator().manual_seed(0))
    assert frames.shape == (30, 2, 1000)
    torch.testing.assert_close(frames.sum(2), torch.ones(30, 2))
    assert mask.all()
    torch.testing.assert_close(clips.embeddings(torch.tensor([3]), 1, 5)[0], scenes.embedding(3, 1, 5))
    shown = [clips.labels[n] for n in clips.shown.tolist()]
    assert {clips.labels[n] for n in label.tolist()} <= set(shown)
    whole = [torch.stack([scenes.embedding(n, 0, 7) for n in scenes.by_label[x]]).mean(0) for x in clips.labels]
    nearest = (target @ torch.stack(whole).T).argmax(1)
    assert torch.equal(nearest, label)


@pytest.fixture
def drawn_work(tmp_path) -> Path:
    """A work folder with scenes of two labels in two splits, and a classifier."""
    from safetensors.torch import save_file

    drawn_clips(tmp_path)
    path = tmp_path / "corpus" / "scenes.json"
    index = json.loads(path.read_text())
    for n, row in enumerate(index):
        row["split"] = "val" if n % 4 == 0 else "train"
    path.write_text(json.dumps(index))
    (tmp_path / "visual_encoder").mkdir()
    weights = {"classifier.weight": random(1000, 16), "classifier.bias": random(1000, seed=1)}
    save_file(weights, tmp_path / "visual_encoder" / "model.safetensors")
    return tmp_path


def test_drawn_clips_as_an_embedding_set(drawn_work):
    import embeddings
    import flow
    from echoframe.data.embedding_reader import EmbeddingSets

    out = embeddings.write_embeddings(drawn_work, drawn_work / "set", n_train=40, n_val=10)
    sets = EmbeddingSets([out])
    train, val = sets.rows("train"), sets.rows("val")
    assert (len(train), len(val)) == (80, 20)
    assert [int((sets.labels[val] == x).sum()) for x in ("dog barking", "raining")] == [10, 10]
    assert (sets.encoders.visual.name, sets.encoders.audio.name) == (embeddings.VISUAL_SPACE, embeddings.AUDIO_SPACE)
    clips = sets.load(val)
    torch.testing.assert_close(clips.visual.float().sum(dim=2), torch.ones(20, 4), atol=2e-3, rtol=0)
    # each target is a stretch of a validation recording of its label, which no train clip has
    scenes = flow.Scenes(drawn_work, "val")
    stretches = {
        label: torch.stack([scenes.embedding(n, i, j) for n in rows for i in range(7) for j in range(i + 4, 8)])
        for label, rows in scenes.by_label.items()
    }
    for audio, label in zip(clips.audio, sets.labels[val], strict=True):
        assert (stretches[str(label)] @ audio).max() > 0.9999
    again = embeddings.write_embeddings(drawn_work, drawn_work / "again", n_train=40, n_val=10)
    assert (again / "shard-00000.parquet").read_bytes() == (out / "shard-00000.parquet").read_bytes()


def test_mappers_of_the_recipe_are_compared(drawn_work, monkeypatch, capsys):
    import compare_mappers
    import embeddings

    embeddings.write_embeddings(drawn_work, drawn_work / "embeddings", n_train=40, n_val=10)
    asked = ["--work", str(drawn_work), "--seeds", "2", "--epochs", "1", "--only", "residual_mlp-cosine"]
    monkeypatch.setattr(sys, "argv", ["compare_mappers.py", *asked])
    compare_mappers.main()
    said = capsys.readouterr().out
    assert "| residual_mlp small, cosine | 2 |" in said
    assert "| label mean (knows the label) | bound |" in said
    assert (drawn_work / "runs" / "compare.png").exists()
    compare_mappers.main()  # nothing is trained again
    assert "| residual_mlp small, cosine | 2 |" in capsys.readouterr().out


def test_every_loss_of_the_mapper_comes_down(tmp_path):
    import mapper
    from stage import MapperStageConfig

    scenes, clips = drawn_clips(tmp_path)
    config = MapperStageConfig(
        hidden_dim=16, depth=1, components=4, prior_dim=16, prior_depth=1, steps=200, batch_size=32
    )
    learner = mapper.build(config, scenes, clips).eval()
    learned, generator = mapper.train("small", tmp_path, config, scenes, clips)
    frames, mask, target, _ = clips.batch(256, generator)

    def losses() -> dict[str, float]:
        found = learner(frames, mask, target, generator=torch.Generator().manual_seed(0))
        return {name: value.item() for name, value in found.items()}

    before = losses()
    learner.mapper.load_state_dict(learned.state_dict())
    after = losses()
    assert set(after) == {"loss", "flow", "mse", "contrastive"}
    assert all(after[name] < before[name] for name in ("loss", "flow", "contrastive"))
    assert learned(frames, mask, seeds=range(256)).shape == (256, 512)
    top1, top5 = mapper.right_labels(learned, scenes, clips, generator) if len(clips.labels) >= 5 else (0.0, 1.0)
    assert 0 <= top1 <= top5 <= 1


class StandIn:
    """A model whose sounds are noise of a seed."""

    class Identity:
        sha256 = "0123456789abcdef"

    identity = Identity()

    def __init__(self) -> None:
        self.generator, self.asked = self, []

    def generate(self, target, *, duration_s, seeds, options):
        self.asked += list(seeds)
        return torch.stack([0.1 * random(16_000, seed=seed) for seed in seeds])

    def audio_encoder(self, waveforms, rate):
        return waveforms[:, :512]

    def yamnet(self, waveforms):
        return Heard(embeddings=waveforms[:, None, :5])


def test_what_was_heard_before_is_not_generated_again(tmp_path):
    import held_out
    from echoframe.options import SampleOptions

    class Few:
        rows = [5, 7, 9]
        embeddings = random(3, 512)

    model: Any = StandIn()
    few: Any = Few()
    options = SampleOptions(steps=2, guidance=1.0)
    heard = held_out.hear_generated(model, few, 1, options, tmp_path, model.yamnet)
    assert model.asked == [1_000_005, 1_000_007, 1_000_009]
    torch.testing.assert_close(heard[1].embedding, 0.1 * random(16_000, seed=1_000_007)[:512])
    assert heard[0].statistics["flatness_db"] > -6
    assert not heard[0].click.begins
    np.testing.assert_allclose(heard[1].scores, 0.1 * random(16_000, seed=1_000_007)[:5], rtol=1e-6)
    (lost,) = tmp_path.glob("measured/*/7_1_two_ears.npz")
    lost.unlink()
    again = held_out.hear_generated(model, few, 1, options, tmp_path, model.yamnet)
    np.testing.assert_array_equal(again[1].scores, heard[1].scores)
    assert model.asked[3:] == [1_000_007]
    assert again[2].statistics == heard[2].statistics
    assert again[2].floor == heard[2].floor
