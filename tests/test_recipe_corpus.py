"""The recipe's corpus stage on small sounds: scenes, augmentation, the plan, several manifests."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

pytestmark = pytest.mark.usefixtures("recipe")
RATE = 16_000


def random(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def tone(hz: float, seconds: float = 1.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE).astype(np.float32)


def strongest_hz(samples: np.ndarray) -> float:
    return float(np.fft.rfftfreq(len(samples), 1 / RATE)[np.abs(np.fft.rfft(samples)).argmax()])


def test_speed_moves_a_tone_by_a_semitone_at_most_and_not_always_the_same():
    import augment

    found = [strongest_hz(augment.change_speed(tone(1000), random(seed))) for seed in range(20)]
    assert 1000 / 2 ** (1 / 12) - 2 < min(found) < 990
    assert 1010 < max(found) < 1000 * 2 ** (1 / 12) + 2


def test_the_equaliser_changes_each_band_by_six_decibels_at_most():
    import augment

    noise = random(1).standard_normal(RATE * 4).astype(np.float32)
    for seed in range(5):
        changed = augment.equalise(noise, random(seed))
        gains = 20 * np.log10(np.abs(np.fft.rfft(changed)) / np.abs(np.fft.rfft(noise)))
        assert np.abs(gains).max() < 6.01
        assert np.ptp(gains) > 1


def test_a_room_stands_behind_the_sound_and_dies_away():
    import augment

    click = np.zeros(RATE, np.float32)
    click[100] = 1.0
    heard = augment.add_room(click, random())
    assert heard[100] == pytest.approx(1.0, abs=0.2)
    assert not heard[:100].round(6).any()
    energy = [np.square(heard[start : start + 1600]).sum() for start in (101, 3301, 12_000)]
    assert energy[0] > energy[1] > 100 * energy[2]
    behind = np.std(heard - click) / np.std(click)
    assert 10 ** (-24 / 20) * 0.99 < behind < 10 ** (-10 / 20) * 1.01


def test_the_ambience_is_far_behind_and_as_long_as_the_sound():
    import augment

    sound = tone(500, 2.0)
    heard = augment.add_ambience(sound, random(2).standard_normal(7000).astype(np.float32), random())
    behind = 20 * np.log10(np.std(heard - sound) / np.std(sound))
    assert len(heard) == len(sound)
    assert -36.1 < behind < -23.9


@pytest.mark.parametrize("seconds", [0.3, 7.0, 15.0])
@pytest.mark.parametrize("varied", [False, True])
def test_a_scene_is_as_long_as_every_other_and_its_ends_do_not_click(seconds, varied):
    import corpus

    scene = corpus.make_scene(tone(440, seconds), random(), varied=varied)
    assert scene.shape == (corpus.SCENE,)
    assert np.abs(scene).max() == pytest.approx(0.5, abs=0.02)
    assert abs(scene[0]) < 1e-3
    assert abs(scene[-1]) < 1e-3
    if seconds < 1:  # repeated to the end, with pauses
        assert np.abs(scene[-3 * RATE :]).max() > 0.2
        assert (np.abs(scene) < 1e-4).mean() > 0.05


def test_every_label_has_its_number_of_scenes_the_recordings_first():
    import corpus
    from stage import CorpusConfig

    rows = [{"label": "few", "split": "train"}] * 2 + [{"label": "many", "split": "train"}] * 9
    rows += [{"label": "many", "split": "test"}, {"label": "few", "split": "val"}]
    plan = corpus.plan_scenes(rows, CorpusConfig(min_items=4, max_items=6))
    few, many, held_out = plan[:4], plan[4:10], plan[10:]
    assert sorted(few) == [(0, False), (0, True), (1, False), (1, True)]
    assert len({i for i, _ in many}) == 6
    assert not any(varied for _, varied in many)
    assert held_out == [(11, False), (12, False)]


def write_manifest(folder: Path, label: str, n: int) -> Path:
    folder.mkdir()
    with (folder / "manifest.csv").open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["file", "label", "recording", "source", "licence", "duration_s", "split"])
        for k in range(n):
            soundfile.write(folder / f"{k}.wav", tone(300 + 100 * k, 0.5), RATE)
            writer.writerow([f"{k}.wav", label, f"{label}/{k}", "made here", "CC0", 0.5, "train"])
    return folder / "manifest.csv"


def test_several_manifests_are_one_corpus(tmp_path):
    import corpus

    manifests = [write_manifest(tmp_path / "one", "bell", 2), write_manifest(tmp_path / "other", "horn", 3)]
    rows = corpus.read_recordings(manifests, tmp_path)
    assert [row["label"] for row in rows] == ["bell"] * 2 + ["horn"] * 3
    waves = np.load(tmp_path / "waves.npy")
    assert len(waves) == 5 * RATE // 2
    last = waves[rows[4]["start"] : rows[4]["start"] + rows[4]["length"]]
    assert strongest_hz(last) == pytest.approx(500, abs=3)
    assert corpus.read_recordings([], tmp_path) == rows  # what is there is not read again
    assert json.loads((tmp_path / "waves.json").read_text()) == rows
