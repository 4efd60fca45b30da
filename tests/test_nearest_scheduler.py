"""Which scheduler comes nearest to many steps: planted latents, and AudioLDM's structure with tiny random weights."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from echoframe.apps.cli import main
from echoframe.bundles.bundle import load_bundle
from echoframe.generators import LatentGenerator, nearest_scheduler
from echoframe.generators.nearest_scheduler import COMPARED, REFERENCE, distances, told
from echoframe.options import SampleOptions
from tiny_bundles import FAST, write_tiny_clip_clap, write_tiny_mini

DEFAULTS = SampleOptions(steps=25, guidance=2.5, scheduler="dpm++2m-lu")
TRUE = torch.tensor([[3.0, 4.0], [0.0, 2.0]])  # (targets, latents), of sizes 5 and 2
ERRORS = {"dpm++2m-lu": 0.5, "dpm++2m": 0.1, "ddim": 1.0, REFERENCE: 0.0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("schedulers") / "bundle"
    write_tiny_clip_clap(path)
    return path


class Planted(LatentGenerator):
    """Gives the true latents, apart by what `ERRORS` says of the scheduler; remembers what it was asked."""

    def __init__(self) -> None:
        self.asked: list[SampleOptions] = []

    def sample_latents(self, target: Tensor, *, duration_s: float, seeds: Any, options: Any = None, **_: Any) -> Tensor:
        assert (duration_s, list(seeds), len(target)) == (5.12, [0, 1], 2)
        self.asked.append(options)
        return (TRUE + torch.tensor([[ERRORS[options.scheduler], 0.0]]))[:, :, None, None]

    def _denoise(self, *_: Any, **__: Any) -> Tensor:
        return TRUE

    def _known(self, example: Tensor) -> Tensor:
        return example

    def _decode(self, latents: Any, random: Any) -> Iterator[Tensor]:
        yield TRUE

    def _n_steps(self, duration_s: float) -> int:
        return 1

    def _n_decoded(self, n_steps: int) -> int:
        return 1


def test_distances_are_shares_of_the_references_size() -> None:
    planted = Planted()
    found = distances(planted, torch.zeros(2, 3), defaults=DEFAULTS)
    assert [*found] == ["dpm++2m-lu", *COMPARED]
    for name, percent in found.items():
        assert percent == pytest.approx(100 * (ERRORS[name] / 5 + ERRORS[name] / 2) / 2, rel=1e-5)
    asked = [(options.scheduler, options.steps, options.guidance) for options in planted.asked]
    assert asked == [(REFERENCE, 200, 2.5), *((name, 25, 2.5) for name in found)]
    assert [*distances(planted, torch.zeros(2, 3), defaults=SampleOptions(scheduler="ddim"))] == ["ddim", "dpm++2m"]


def test_what_is_told() -> None:
    line = told({"dpm++2m-lu": 1.4, "dpm++2m": 3.0, "ddim": 10.9}, defaults=DEFAULTS)
    assert line == (
        "from 200 steps of unipc, 25 steps lie: dpm++2m-lu 1.40 %, dpm++2m 3.00 %, ddim 10.90 %; nearest is "
        "dpm++2m-lu, the default"
    )
    line = told({"dpm++2m-lu": 5.0, "dpm++2m": 3.0, "ddim": 10.9}, defaults=DEFAULTS)
    assert line.endswith(
        "nearest is dpm++2m, not the default; ask for it with --scheduler dpm++2m, and report it to EchoFrame"
    )


def test_check_compares_them_only_when_asked(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(nearest_scheduler, "REFERENCE_STEPS", 12)
    monkeypatch.setattr(nearest_scheduler, "DURATION_S", 0.32)
    assert main(["models", "check", str(bundle), "--schedulers"]) == 0
    line = capsys.readouterr().out.splitlines()[-1]
    numbers = dict(re.findall(r"([\w+-]+) ([\d.]+) %", line))
    assert line.startswith("generator: from 12 steps of unipc, 2 steps lie: ")
    assert [*numbers] == [FAST.scheduler, "ddim"]
    loaded = load_bundle(bundle, device="cpu")
    assert loaded.labels is not None
    found = distances(loaded.generator, loaded.labels.vectors[[0, -1]], defaults=FAST)
    assert {name: f"{percent:.2f}" for name, percent in found.items()} == numbers
    assert all(percent > 0 for percent in found.values())
    assert f"nearest is {min(found, key=lambda name: found[name])}" in line
    monkeypatch.setattr(nearest_scheduler, "distances", lambda *_, **__: pytest.fail("compared unasked"))
    assert main(["models", "check", str(bundle)]) == 0


def test_a_generator_without_schedulers_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tiny_mini(tmp_path / "mini")
    assert main(["models", "check", str(tmp_path / "mini"), "--schedulers"]) == 2
    words = "tiny-mini: its generator is a mel_flow, which has no schedulers to compare; leave out --schedulers"
    assert words in capsys.readouterr().err
