"""The programs around cues: made films and their times, and that the network learns from them."""

import csv
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from echoframe.timing.onset_net import load_onset_net

TIMING = Path(__file__).parents[1] / "recipes" / "timing"


@pytest.fixture
def films(recipe, monkeypatch):
    monkeypatch.syspath_prepend(str(TIMING))
    import made_films

    return made_films


def test_every_scene_is_a_film_whose_events_are_known_and_in_sight(films):
    for kind, scene in films.SCENES.items():
        film = films.make(kind, "plain", 3, length_s=2.0, size=(64, 36), rates=(Fraction(10),))
        frames = list(film.frames)
        assert len(frames) == 20
        assert all(frame.shape == (36, 64, 3) and frame.dtype == np.uint8 for frame in frames)
        assert film.struck == sorted(film.struck)
        assert all(0 <= time < 2.0 for time in film.struck)
        assert len(film.places) == len(film.struck)
        assert all(0 <= x <= 1 and 0 <= y <= 1 for x, y in film.places)
        assert np.abs(np.diff(np.stack(frames).astype(int), axis=0)).max() > 10 or kind == "flashing"
        if scene in films.CALM_LEARNED.values() or scene in films.CALM.values():
            assert film.struck == []
    assert {*films.UNSEEN_KINDS} <= {*films.KINDS} - {*films.LEARNED, *films.MET}


def test_what_happens_out_of_sight_does_not_count(films):
    assert films._in_sight(0.5, 0.5, (0.0, 0.0, 1.0)) == pytest.approx((0.5 * 9 / 16, 0.5))
    assert films._in_sight(0.5, 0.5, (0.6, 0.0, 1.0)) is None  # the camera has gone to the right
    assert films._in_sight(0.1, 0.5, (0.0, 0.0, 2.0)) is None  # it has come near


def test_the_network_learns_from_made_films(films, tmp_path):
    folder = tmp_path / "films"
    folder.mkdir()
    with (folder / "films.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("file", "kind", "look", "seed", "frame_rate", "struck", "places"))
        for kind in ("hammering", "drifting"):
            film = films.make(kind, "plain", 0, length_s=2.0, size=(64, 36), rates=(Fraction(10),))
            films.write(film, folder / f"{kind}_plain_0.mp4")
            struck = " ".join(f"{time:.4f}" for time in film.struck)
            places = " ".join(f"{x:.3f}:{y:.3f}" for x, y in film.places)
            writer.writerow((f"{kind}_plain_0.mp4", kind, "plain", 0, 10.0, struck, places))
    out = tmp_path / "net"
    command = [sys.executable, str(TIMING / "learn.py"), "--films", str(folder), "--held", str(folder)]
    done = subprocess.run([*command, "--out", str(out), "--steps", "2"], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 films, 40 frames" in done.stdout
    assert "held, threshold" in done.stdout
    assert sum(weight.numel() for weight in load_onset_net(out).parameters()) < 1_000_000
