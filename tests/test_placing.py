"""Which recordings answer a target and where they lie, and how they become sound."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echoframe.errors import AudioError
from echoframe.library import Found, Piece, placing
from echoframe.library.entries import Kind
from echoframe.library.mixing import mixed
from echoframe.library.placing import as_recorded, bed, level_gain_db, on_onsets, placed, stretches, strokes
from echoframe.sound.placed import Placed, within
from echoframe.timing.cues import Onset
from planted_sounds import RATE, tone


def found(
    name: str,
    start_s: float,
    stop_s: float,
    kind: Kind = "event",
    *,
    score: float = 0.5,
    onsets_s: Sequence[float] = (),
    loop_s: tuple[float, float] | None = None,
) -> Found:
    piece = Piece(
        start_s=start_s,
        stop_s=stop_s,
        kind=kind,
        loudness_lufs=-20.0,
        peak_db=-3.0,
        onsets_s=tuple(onsets_s),
        loop_s=loop_s,
    )
    return Found(
        path=Path(f"/sounds/{name}.wav"),
        piece=piece,
        score=score,
        similarity=0.0,
        sample_rate=RATE,
        channels=1,
        words={},
    )


def ambience(name: str, stop_s: float, *, score: float = 0.5, loop_s: tuple[float, float] | None = None) -> Found:
    return found(name, 0.0, stop_s, "ambience", score=score, loop_s=loop_s)


def struck(*times_s: float) -> list[Onset]:
    return [Onset(time_s=time_s, strength=1.0, confidence=0.9) for time_s in times_s]


def chance(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def layers(laid: Sequence[Placed]) -> set[str]:
    return {each.layer for each in laid}


def test_a_bed_lasts_from_the_beginning_to_the_end_without_a_gap():
    laid = bed([ambience("rain", 8.0), ambience("wind", 5.0)], duration_s=30.0, random=chance())
    assert laid[0].at_s == 0
    assert laid[-1].end_s == pytest.approx(30.0)
    for one, other in zip(laid, laid[1:], strict=False):
        assert one.file != other.file
        assert other.at_s == pytest.approx(one.end_s - one.fade_out_s)
        assert other.fade_in_s == pytest.approx(one.fade_out_s)  # so that their power stays


def test_one_ambience_alone_goes_on_from_its_loop_points():
    laid = bed([ambience("rain", 8.0, loop_s=(1.0, 7.0))], duration_s=20.0, random=chance())
    assert (laid[0].in_s, laid[0].out_s) == (0.0, 8.0)
    assert (laid[1].in_s, laid[1].out_s) == (1.0, 7.0)
    assert laid[-1].end_s == pytest.approx(20.0)


def test_a_longer_ambience_is_begun_somewhere_in_it():
    starts = {bed([ambience("rain", 60.0)], duration_s=4.0, random=chance(seed))[0].in_s for seed in range(5)}
    assert len(starts) == 5
    assert all(0 <= start <= 56 for start in starts)


def test_events_meet_the_onsets_with_what_is_heard_to_begin_in_them():
    takes = [found(name, 1.0, 2.0, onsets_s=[1.2]) for name in ("one", "two", "three")]
    laid = on_onsets(takes, struck(0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5), duration_s=7.0, random=chance())
    assert [each.at_s + placing.BEFORE_S / each.speed for each in laid] == pytest.approx(
        [0.5, 1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    )
    assert all(each.in_s == pytest.approx(1.2 - placing.BEFORE_S) and each.out_s == 2.0 for each in laid)
    assert all(one.file != other.file for one, other in zip(laid, laid[1:], strict=False))
    assert len({each.speed for each in laid}) == len({each.gain_db for each in laid}) == 7
    assert all(2 ** (-0.5 / 12) <= each.speed <= 2 ** (0.5 / 12) for each in laid)


def test_a_soft_onset_has_a_soft_event_and_one_before_the_beginning_loses_what_lies_before():
    take = [found("one", 0.0, 1.0, onsets_s=[0.0])]
    loud, soft = Onset(time_s=0.0, strength=1.0, confidence=1.0), Onset(time_s=1.0, strength=0.0, confidence=1.0)
    first, second = on_onsets(take, [loud, soft], duration_s=2.0, random=chance())
    assert first.at_s == 0
    assert second.gain_db < first.gain_db - 12 + 2 * placing.LOUDER_DB + 1e-9
    early = [found("one", 0.5, 1.0, onsets_s=[0.6])]
    (only,) = on_onsets(early, struck(0.0), duration_s=1.0, random=chance())
    assert only.at_s == 0
    assert only.in_s == pytest.approx(0.6)


def test_where_nothing_is_struck_for_long_events_come_as_they_were_recorded():
    laid = on_onsets([found("one", 0.0, 1.0, onsets_s=[0.1])], struck(1.0, 8.0), duration_s=9.0, random=chance())
    between = [each for each in laid if 2.0 < each.at_s < 7.5]
    assert between
    assert all(each.end_s <= 8.0 - placing.REST_S + 1e-6 for each in between)


def test_each_onset_of_a_piece_that_is_not_part_of_the_one_before_is_a_stroke():
    piece = found("drum", 0.0, 3.0, onsets_s=[0.1, 0.15, 1.0, 2.0])
    assert [(round(each.in_s, 2), round(each.out_s, 2)) for each in strokes(piece)] == [
        (0.09, 0.99),
        (0.99, 1.99),
        (1.99, 3.0),
    ]
    assert [(each.in_s, each.out_s) for each in strokes(found("hum", 0.5, 2.0))] == [(0.5, 2.0)]


def test_events_near_to_each_other_in_a_recording_stay_together():
    some = [found("dog", 0.0, 0.5), found("dog", 1.0, 1.5), found("dog", 9.0, 9.5), found("cat", 1.6, 2.0)]
    assert [(each.found.path.stem, each.in_s, each.out_s) for each in stretches(some)] == [
        ("cat", 1.6, 2.0),
        ("dog", 0.0, 1.5),
        ("dog", 9.0, 9.5),
    ]


def test_recordings_come_one_after_the_other_with_pauses_to_the_end():
    laid = as_recorded([found("one", 0.0, 1.0), found("two", 0.0, 2.0)], duration_s=12.0, random=chance())
    assert laid[-1].end_s <= 12.0 + 1e-6
    assert laid[-1].end_s > 10.0
    for one, other in zip(laid, laid[1:], strict=False):
        assert one.file != other.file
        assert 0.2 <= other.at_s - one.end_s <= 1.0
    assert laid[0].speed == 1.0
    assert any(each.speed != 1.0 for each in laid[2:])


def test_rain_stays_rain_and_a_dog_has_the_meadow_under_it():
    rain, meadow = ambience("rain", 9.0, score=0.8), ambience("meadow", 9.0, score=0.45)
    dog = found("dog", 0.0, 1.0, score=0.5, onsets_s=[0.0])
    asked = {"duration_s": 4.0, "random": chance()}
    assert layers(placed([dog], [rain], struck(1.0), **asked)) == {"ambience"}
    both = placed([dog], [meadow], struck(1.0), **asked)
    assert layers(both) == {"ambience", "events"}
    under = next(each for each in both if each.layer == "ambience")
    assert under.gain_db == level_gain_db(meadow.piece) + placing.UNDER_DB
    assert layers(placed([dog], [meadow], [], **asked)) == {"events"}
    assert layers(placed([], [rain], struck(1.0), **asked)) == {"ambience"}
    assert layers(placed([dog], [], [], **asked)) == {"events"}
    assert placed([], [], [], **asked) == []


def test_what_is_much_further_away_than_the_nearest_is_not_heard():
    near, far = found("near", 0.0, 1.0, score=0.6), found("far", 0.0, 1.0, score=0.4)
    laid = placed([near, far], [], [], duration_s=30.0, random=chance())
    assert {Path(each.file).stem for each in laid} == {"near"}


def test_a_piece_is_brought_to_the_common_level_by_its_peak_if_it_has_no_loudness():
    click = Piece(start_s=0.0, stop_s=0.01, kind="event", loudness_lufs=-math.inf, peak_db=-20.0)
    assert level_gain_db(click) == 11.0
    whisper = Piece(start_s=0.0, stop_s=1.0, kind="event", loudness_lufs=-69.0, peak_db=-50.0)
    assert level_gain_db(whisper) == placing.MOST_GAIN_DB


def event(**asked: object) -> Placed:
    return Placed(**{"layer": "events", "file": "a.wav", "in_s": 0.0, "out_s": 1.0, "at_s": 0.5} | asked)  # type: ignore[arg-type]


def test_a_passage_cuts_off_what_is_longer_and_fades_with_its_neighbours():
    laid = [event(layer="ambience", at_s=0.0, out_s=4.0), event(at_s=3.5), event(at_s=4.5)]
    first, second = within(laid, 10.0, 14.0, fade_in_s=0.3, fade_out_s=0.2)
    assert (first.at_s, first.fade_in_s, first.fade_out_s) == (10.0, 0.3, 0.2)
    assert (second.at_s, second.end_s, second.fade_in_s, second.fade_out_s) == (13.5, 14.0, 0.0, 0.2)


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("recordings")
    soundfile.write(folder / "mono.wav", tone(2.0, 100), RATE, subtype="FLOAT")
    soundfile.write(folder / "stereo.wav", np.stack([tone(2.0, 100), tone(2.0, 200)], axis=1), RATE, subtype="FLOAT")
    soundfile.write(folder / "four.wav", np.stack([tone(2.0, 100)] * 4, axis=1), RATE, subtype="FLOAT")
    return {path.stem: str(path) for path in folder.iterdir()}


def test_the_mix_is_the_sum_of_the_parts_in_their_places(files):
    one, other = event(file=files["mono"], in_s=0.25, out_s=1.25), event(file=files["mono"], at_s=1.0, gain_db=-6.0)
    sound = mixed([one, other], n_samples=2 * RATE, sample_rate=RATE, channels=1)[0]
    own = torch.from_numpy(tone(2.0, 100))
    expected = torch.zeros(2 * RATE)
    expected[RATE // 2 : RATE // 2 + RATE] += own[RATE // 4 : RATE // 4 + RATE]
    expected[RATE : 2 * RATE] += own[:RATE] * 10 ** (-6 / 20)
    assert torch.allclose(sound, expected, atol=1e-6)


@pytest.mark.parametrize(("name", "channels"), [("mono", 2), ("stereo", 2), ("stereo", 1), ("four", 2)])
def test_channels_are_kept_or_mixed(files, name, channels):
    sound = mixed([event(file=files[name], at_s=0.0)], n_samples=RATE, sample_rate=RATE, channels=channels)
    own = soundfile.read(files[name], dtype="float32", always_2d=True)[0].T[:, :RATE]
    expected = own if len(own) == channels else np.repeat(own.mean(axis=0, keepdims=True), channels, axis=0)
    assert np.allclose(sound.numpy(), expected, atol=1e-6)


def test_a_faster_recording_is_higher_and_shorter(files):
    sound = mixed([event(file=files["mono"], at_s=0.0, speed=1.25)], n_samples=RATE, sample_rate=RATE, channels=1)[0]
    assert float(sound[round(0.81 * RATE) :].abs().max()) < 1e-3
    heard = sound[: round(0.8 * RATE)]
    assert int(torch.fft.rfft(heard).abs().argmax()) / 0.8 == pytest.approx(125, abs=2)


def test_two_that_fade_into_each_other_keep_their_power(tmp_path):
    for seed in (0, 1):
        soundfile.write(
            tmp_path / f"{seed}.wav", 0.1 * np.random.default_rng(seed).standard_normal(2 * RATE), RATE, subtype="FLOAT"
        )
    one = event(file=str(tmp_path / "0.wav"), at_s=0.0, out_s=2.0, fade_out_s=1.0)
    other = event(file=str(tmp_path / "1.wav"), at_s=1.0, out_s=2.0, fade_in_s=1.0)
    sound = mixed([one, other], n_samples=3 * RATE, sample_rate=RATE, channels=1)[0]
    parts = sound.reshape(12, -1).square().mean(dim=1)
    assert float(parts.max() / parts.min()) < 1.2


def test_a_recording_that_is_not_there_any_more_is_one_line(tmp_path):
    with pytest.raises(
        AudioError, match=r"gone\.wav: .*; the library lists it: run echoframe library add on its folder again"
    ):
        mixed([event(file=str(tmp_path / "gone.wav"))], n_samples=RATE, sample_rate=RATE, channels=1)
