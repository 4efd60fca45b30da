"""The program that chooses the ranking: which candidate a weighting takes, and what is written for a run to go on."""

import json
from pathlib import Path

import numpy as np
import pytest

from echoframe.options import RANK

RECIPES = Path(__file__).parents[1] / "recipes"
ROWS = [
    {
        "item": f"{n}.mp4",
        "label": "door slamming",
        "reasons": [{"target": 0.1 * k, "time": time, "soundness": 1.0} for k, time in enumerate(times)],
        "figures": [{"onset F1": time} for time in times],
    }
    for n, times in enumerate([(0.2, 0.8, 0.5, 0.1), (0.9, 0.3, 0.3, 0.1), (0.4, 0.6, 0.0, 0.2)])
]


@pytest.fixture
def choose_ranking(recipe, monkeypatch):
    for name in ("timing", "steering"):
        monkeypatch.syspath_prepend(str(RECIPES / name))
    import choose_ranking

    return choose_ranking


def test_a_weighting_takes_the_candidate_with_the_highest_total(choose_ranking):
    values = np.array([[own["onset F1"] for own in row["figures"]] for row in ROWS])
    nothing = dict.fromkeys(RANK, 0.0)
    assert choose_ranking.picked(ROWS, values, nothing | {"time": 1.0}, np.argmax).tolist() == [0.8, 0.9, 0.6]
    assert choose_ranking.picked(ROWS, values, nothing | {"target": 1.0}, np.argmax).tolist() == [0.1, 0.1, 0.2]
    assert choose_ranking.picked(ROWS, values, nothing | {"time": 1.0}, np.argmin).tolist() == [0.1, 0.1, 0.0]


def test_weightings_stand_beside_one_candidate_and_the_best_there_is(choose_ranking, capsys):
    choose_ranking.compare(ROWS, "onset F1")
    said = capsys.readouterr().out
    assert "onset F1, 3 items: one 0.367, the best there is 0.767\ncandidates differ in 3 of them\n" in said
    (time_alone,) = (line for line in said.splitlines() if line.startswith("| time alone"))
    assert time_alone.startswith("| time alone | 0.767 | 0.067 | +0.400 (+0.")


def test_a_line_that_was_broken_off_is_made_again(choose_ranking, tmp_path):
    work = tmp_path / "work.jsonl"
    assert choose_ranking.rows_of(work) == []
    work.write_text(json.dumps(ROWS[0]) + "\n" + json.dumps(ROWS[1])[:40])
    assert [row["item"] for row in choose_ranking.rows_of(work)] == ["0.mp4"]
