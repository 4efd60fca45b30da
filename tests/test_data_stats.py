"""The figures of a set of clips, as values, a table and a picture."""

import json
from dataclasses import replace

import pytest
from PIL import Image

from echoframe.bundles.labels import vggsound_labels
from echoframe.data.clip_list import ClipRow
from echoframe.data.ledger import Entry, open_ledger
from echoframe.data.stats import Coverage, collect, draw, table, to_json
from echoframe.data.units import size_words, time_words

FACTS = {
    "size": 1_000_000,
    "video_s": 10.0,
    "audio_s": 9.96,
    "width": 640,
    "height": 360,
    "frame_rate": 29.97,
    "sample_rate": 44_100,
    "peak_db": -3.0,
}


def row(n: int, label: str = "dog barking", split: str = "train") -> ClipRow:
    return ClipRow(youtube_id=f"{n // 2:011d}", start_s=n, label=label, split=split)


def filled(tmp_path):
    with open_ledger(tmp_path) as ledger:
        ledger.add([*(row(n) for n in range(6)), row(6, "cat purring", "test"), row(7, "", "")])
        for n in range(4):
            ledger.done(row(n).key, file="x", facts=FACTS | ({"peak_db": None, "black": True} if n == 0 else {}))
        ledger.lost(row(4).key, reason="removed", detail="gone")
        return list(ledger.entries())


def test_counts(tmp_path):
    stats = collect(filled(tmp_path))
    assert stats.whole == Coverage(n_listed=8, n_done=4, n_lost=1)
    assert stats.whole.n_wanted == 3
    assert stats.splits == {
        "train": Coverage(n_listed=6, n_done=4, n_lost=1),
        "test": Coverage(n_listed=1, n_done=0),
        "no split": Coverage(n_listed=1, n_done=0),
    }
    assert stats.labels == {
        "dog barking": Coverage(n_listed=6, n_done=4, n_lost=1),
        "cat purring": Coverage(n_listed=1, n_done=0),
        "no label": Coverage(n_listed=1, n_done=0),
    }
    assert stats.labels["cat purring"].share == 0.0
    assert stats.lost == {"removed": 1}
    assert set(stats.duration_s.values()) == {10.0}
    assert (stats.durations, stats.resolutions) == ({"10.0": 4}, {"640x360": 4})
    assert (stats.frame_rates, stats.sample_rates) == ({"29.97": 4}, {"44100": 4})
    assert (stats.n_films, stats.n_silent, stats.n_black, stats.n_still) == (2, 1, 1, 0)
    assert stats.bytes == 4_000_000
    assert stats.hours == 40 / 3600
    assert stats.n_unlisted == 0


def test_lengths_and_what_is_only_nearly_silent(tmp_path):
    """101 clips of 0.1 s to 10.1 s: the quantiles are exact; a clip without sound is not a silent one."""
    rows = [row(n) for n in range(101)]
    with open_ledger(tmp_path) as ledger:
        ledger.add(rows)
        for n, one in enumerate(rows):
            peak_db = (-59.0, -61.0, None)[n % 3]
            without = {"audio_s": None, "sample_rate": 0, "peak_db": None} if n >= 90 else {}
            facts = FACTS | {"video_s": 0.1 + n / 10, "audio_s": 0.05, "peak_db": peak_db, "frame_rate": 30000 / 1001}
            ledger.done(one.key, file="x", facts=facts | without)
        stats = collect(ledger.entries())
    expected = {"min": 0.1, "1%": 0.2, "10%": 1.1, "50%": 5.1, "90%": 9.1, "99%": 10.0, "max": 10.1}
    assert stats.duration_s == pytest.approx(expected)
    assert len(stats.durations) == 101
    assert stats.frame_rates == {"29.97": 101}
    assert stats.n_silent == 60
    assert "lengths: 0.20 s (1 of 100 is shorter), 5.10 s in the middle, 10.00 s" in table(stats)


def test_clips_of_which_nothing_was_measured(tmp_path):
    """As unpacking a mirror leaves them until they are verified."""
    with open_ledger(tmp_path) as ledger:
        ledger.add([row(0)])
        ledger.done(row(0).key, file="x", facts={"size": 7, "sha256": ""})
        stats = collect(ledger.entries())
    assert (stats.bytes, stats.hours, stats.duration_s, stats.resolutions, stats.n_silent) == (7, 0.0, {}, {}, 0)
    assert "lengths" not in table(stats)
    draw(stats, tmp_path / "x.png")


def test_against_the_official_list(tmp_path):
    official = [row(0), row(4, "", ""), row(100), row(101, "cat purring", "test")]
    stats = collect(filled(tmp_path), official)
    assert stats.whole == Coverage(n_listed=4, n_done=1, n_lost=1)
    assert stats.lost == {"removed": 1}
    assert stats.labels == {
        "cat purring": Coverage(n_listed=1, n_done=0),
        "dog barking": Coverage(n_listed=3, n_done=1, n_lost=1),  # one label and split is the ledger's
    }
    assert set(stats.splits) == {"train", "test"}
    assert (stats.n_unlisted, stats.bytes) == (3, 1_000_000)
    assert "3 clips more are here and not on the list" in table(stats)


def test_a_table_and_plain_values(tmp_path):
    stats = collect(filled(tmp_path))
    text = table(stats)
    assert text.startswith(
        f"4 of 8 clips are here (50.0%), 1 are lost, 3 not tried yet; 2 videos, {time_words(3600 * stats.hours)}, "
        f"{size_words(stats.bytes)}; 1 silent, 1 black, 0 with one unchanging picture\n"
    )
    assert " 0.0 " not in text.splitlines()[0]
    assert "| train | 6 | 4 | 1 | 1 | 66.7% |" in text
    assert "| removed | 1 |" in text
    values = json.loads(json.dumps(to_json(stats)))
    assert values["whole"] == {"n_listed": 8, "n_done": 4, "n_lost": 1}
    assert values["durations"] == {"10.0": 4}


def test_nothing_yet(tmp_path):
    stats = collect([])
    assert stats.whole.share == 0.0
    assert table(stats).startswith("0 of 0 clips are here (0.0%)")
    assert to_json(stats)["duration_s"] == {}
    draw(stats, tmp_path / "x.png")


def test_many_labels(tmp_path):
    names = [name for name, _ in vggsound_labels()]
    rows = [row(n, names[n % len(names)]) for n in range(3 * len(names))]
    entries = []
    for n, one in enumerate(rows):
        line = Entry(row=one, state="wanted", reason="", detail="", file="", facts={}, tries=0, changed="")
        if n % 7 > n % len(names) / 60:
            facts = FACTS | {"video_s": 10.0 - (n % 30 == 0) * 0.5, "width": 320 + 10 * (n % 20)}
            line = replace(line, state="done", file="x", facts=facts)
        elif n % 3:
            line = replace(line, state="lost", reason=("removed", "private", "copyright", "age")[n % 4])
        entries.append(line)
    stats = collect(entries, rows)
    assert "the 10 least covered" in table(stats)
    assert len(table(stats).splitlines()) < 50
    draw(stats, tmp_path / "stats.png")
    with Image.open(tmp_path / "stats.png") as picture:
        assert picture.size == (1560, 960)
