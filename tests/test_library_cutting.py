"""Where recordings are cut, looped and measured: planted clicks, tones and noises."""

from fractions import Fraction

import numpy as np
import pytest
import soundfile

from echoframe.errors import AudioError, InputError
from echoframe.library import read_piece
from echoframe.library.cutting import MOST_AMBIENCES, MOST_EVENTS, cut
from echoframe.library.listening import FIRST_S, listen
from echoframe.library.loops import loop_points
from echoframe.library.recording import level_db, open_recording
from planted_sounds import RATE, click_at, noise, tone
from planted_video import write_film, write_video


def levels(sound: np.ndarray, hop: int) -> np.ndarray:
    return level_db(np.square(sound[: len(sound) // hop * hop].reshape(-1, hop).astype(np.float64)).mean(axis=1))


def test_three_clicks_are_three_events_at_their_times(tmp_path):
    path = tmp_path / "clicks.wav"
    soundfile.write(path, np.stack([click_at([0.5, 2.0, 3.2], 5.0)] * 2, axis=1), RATE)
    heard = listen(path)
    assert (heard.sample_rate, heard.channels, heard.duration_s, heard.reason) == (RATE, 2, 5.0, "")
    assert [piece.kind for piece in heard.pieces] == ["event"] * 3
    for piece, time_s, waveform in zip(heard.pieces, (0.5, 2.0, 3.2), heard.waveforms, strict=True):
        assert time_s - 0.025 <= piece.start_s <= time_s
        assert time_s + 0.3 <= piece.stop_s <= time_s + 0.5  # its tail falls by 60 dB in 0.4 s
        (onset_s,) = piece.onsets_s
        assert onset_s == pytest.approx(time_s, abs=0.03)
        assert piece.peak_db == pytest.approx(-6, abs=1.0)
        assert -40 < piece.loudness_lufs < 0
        assert len(waveform) == round((piece.stop_s - piece.start_s) * RATE)
        assert piece.loop_s is None


def test_a_steady_noise_is_ambiences_of_equal_length(tmp_path):
    path = tmp_path / "rain.flac"
    soundfile.write(path, noise(24.0, 0.1), RATE)
    heard = listen(path)
    assert [piece.kind for piece in heard.pieces] == ["ambience"] * 3
    assert [piece.start_s for piece in heard.pieces] == pytest.approx([0, 8, 16])
    assert {len(waveform) for waveform in heard.waveforms} == {8 * RATE}


def test_events_are_taken_out_of_what_goes_on_around_them():
    """Wind, 40 dB under two knocks: both, and the wind before, between and after them."""
    sound = noise(20.0, 0.005) + click_at([6.0, 13.0], 20.0)
    spans = cut(levels(sound, RATE // 100))
    events = [span for span in spans if span.kind == "event"]
    assert [span.start / 100 for span in events] == pytest.approx([6.0, 13.0], abs=0.03)
    assert all(0.1 <= (span.stop - span.start) / 100 <= 0.7 for span in events)
    ambiences = [span for span in spans if span.kind == "ambience"]
    assert len(ambiences) == 3
    assert not any(span.start < event.start < span.stop for span in ambiences for event in events)


def test_a_bell_keeps_its_tail():
    times = np.arange(9 * RATE) / RATE
    bell = np.sin(2 * np.pi * 440 * times) * 10 ** (-60 / 20 * times / 7.0)  # 60 dB in seven seconds
    spans = cut(levels(np.concatenate([np.zeros(RATE), bell, np.zeros(RATE)]), RATE // 100))
    assert len(spans) == 1
    assert spans[0].start == pytest.approx(100, abs=2)
    assert spans[0].stop >= 100 + 580


def test_there_is_an_end_to_the_pieces_of_a_file():
    clicks = np.full(100 * 600, -120.0)
    clicks[::100] = np.linspace(-40, -10, 600)  # one a second, the later the louder
    spans = cut(clicks)
    assert len(spans) == MOST_EVENTS
    assert spans[0].start >= 100 * (600 - MOST_EVENTS) - 1
    assert [*spans] == sorted(spans)
    long = cut(np.full(360_000, -30.0))
    assert len(long) == MOST_AMBIENCES
    assert long[0].start == 0
    assert long[-1].stop > 358_000
    assert cut(np.zeros(0)) == cut(np.full(500, -110.0)) == []


def test_a_loop_joins_a_period_to_a_period():
    times = np.arange(6 * RATE) / RATE
    rhythm = np.sin(2 * np.pi * 300 * times) * (0.2 + np.square(np.sin(np.pi * times / 0.75))) + noise(6.0, 0.001)
    found = loop_points(rhythm.astype(np.float32), RATE)
    assert found is not None
    start, stop = found
    assert start < 1.6 * RATE < 3 * RATE <= stop < 6 * RATE
    period = 0.75 * RATE
    assert abs((stop - start) / period - round((stop - start) / period)) < 0.01
    joined = np.concatenate([rhythm[stop - 40 : stop], rhythm[start : start + 40]])
    assert np.abs(np.diff(joined)).max() < 1.2 * np.abs(np.diff(rhythm)).max()


def test_a_noise_is_joined_without_a_click():
    rain = noise(4.0, 0.1)
    found = loop_points(rain, RATE)
    assert found is not None
    start, stop = found
    assert 0 < start <= 1.02 * RATE < 2 * RATE <= stop <= 4 * RATE
    assert abs(rain[start] - rain[stop - 1]) < np.quantile(np.abs(np.diff(rain)), 0.8)
    n = round(0.02 * RATE)
    one, other = rain[start - n : start + n], rain[stop - n : stop + n]
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) > 0.15  # of 20 ms without a choice it would be 0
    assert loop_points(noise(0.05, 0.1), RATE) is None
    assert loop_points(np.zeros(4 * RATE, dtype=np.float32), RATE) is None


def test_a_long_file_is_read_in_blocks_and_cut_in_its_first_hour(tmp_path, monkeypatch):
    path = tmp_path / "night.wav"
    with soundfile.SoundFile(path, "w", samplerate=1000, channels=1, subtype="PCM_U8") as file:
        quiet = np.zeros(600_000, dtype=np.float32)
        for hour in range(3):
            for part in range(6):
                block = quiet.copy()
                block[300_000:300_400] = 0.5 * (1 if hour == 0 else part % 2)
                file.write(block)
    longest = []
    read = soundfile.SoundFile.read

    def watched(self, frames=-1, *args, **options):
        longest.append(frames)
        return read(self, frames, *args, **options)

    monkeypatch.setattr("echoframe.library.recording._BLOCK", 100_000)
    monkeypatch.setattr(soundfile.SoundFile, "read", watched)
    heard = listen(path)
    assert heard.duration_s == pytest.approx(3 * FIRST_S)
    assert heard.detail == "only its first 60 minutes are cut"
    assert [piece.start_s for piece in heard.pieces] == pytest.approx([300 + 600 * i for i in range(6)], abs=0.05)
    assert 0 < max(longest) <= 100_000
    assert sum(longest) < 2.2 * 3_600_000  # twice the first hour, and no more


def test_a_file_a_little_longer_than_the_hour_is_not_broken(tmp_path, monkeypatch):
    monkeypatch.setattr("echoframe.library.listening.FIRST_S", 2.0)
    for duration_s, detail in (
        (1.9, ""),
        (2.0, ""),
        (2.7, "only its first 0 minutes are cut"),
        (60.0, "only its first"),
    ):
        soundfile.write(tmp_path / "a.wav", tone(duration_s, 300.0), RATE)
        heard = listen(tmp_path / "a.wav")
        assert (heard.reason, heard.duration_s) == ("", duration_s)
        assert heard.detail.startswith(detail)
        assert bool(heard.detail) == bool(detail)
        assert heard.pieces[-1].stop_s <= 2.0


def test_films_and_compressed_sounds_are_heard_as_well(tmp_path):
    film = write_video(tmp_path / "film.mp4", n_frames=50, tone_hz=440.0)
    heard = listen(film)
    assert (heard.reason, heard.channels) == ("", 2)
    assert heard.duration_s == pytest.approx(2.0, abs=0.1)
    assert heard.pieces
    for suffix in ("mp3", "ogg", "aiff"):
        path = tmp_path / f"tone.{suffix}"
        soundfile.write(path, tone(2.0, 500.0), RATE)
        heard = listen(path)
        assert (heard.reason, heard.sample_rate) == ("", RATE), suffix
        assert heard.duration_s == pytest.approx(2.0, abs=0.1)
        assert np.abs(np.fft.rfft(heard.waveforms[0])).argmax() * RATE / len(heard.waveforms[0]) == pytest.approx(
            500, abs=3
        )


def test_what_cannot_be_used_says_why(tmp_path):
    def of(name: str, sound: np.ndarray, rate: int = RATE) -> str:
        soundfile.write(tmp_path / name, sound, rate, subtype="FLOAT")
        heard = listen(tmp_path / name)
        assert not heard.pieces
        return f"{heard.reason}: {heard.detail}"

    assert of("silent.wav", np.full(RATE, 1e-4)) == "silent: its peak is -80 dBFS, which nobody hears"
    assert of("short.wav", tone(0.01, 500.0)) == "too-short: 0.010 s; expected 0.05 s or more"
    broken = tone(1.0, 500.0)
    broken[77] = np.nan
    assert of("nan.wav", broken).startswith("broken: holds NaN or infinite samples")
    assert of("slow.wav", tone(1.0, 500.0), 900).startswith("broken: its header says 900 Hz; expected 1000 to 768000")
    (tmp_path / "none.mp3").write_bytes(b"")
    assert listen(tmp_path / "none.mp3").detail.startswith("is empty (0 bytes)")
    (tmp_path / "text.wav").write_text("no sound at all " * 100)
    assert listen(tmp_path / "text.wav").reason == "broken"
    mute = write_video(tmp_path / "mute.mp4", n_frames=10)
    assert (listen(mute).reason, listen(mute).detail[:13]) == ("no-sound", "has no sound ")
    assert listen(tmp_path / "gone.wav").reason == "unreadable"
    assert (listen(tmp_path / "short.wav", lies="it lies").reason, listen(tmp_path / "short.wav", lies="x").detail) == (
        "broken",
        "x",
    )


def test_a_file_that_breaks_off_is_broken(tmp_path):
    path = tmp_path / "tone.flac"
    soundfile.write(path, noise(4.0, 0.3), RATE)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    heard = listen(path)
    assert heard.reason == "broken"
    assert "breaks off at" in heard.detail or "are there; copy it again" in heard.detail


def test_a_piece_is_read_as_it_is(tmp_path):
    sound = np.stack([tone(3.0, 300.0), tone(3.0, 700.0)], axis=1)
    soundfile.write(tmp_path / "a.wav", sound, RATE, subtype="FLOAT")
    samples, rate = read_piece(tmp_path / "a.wav", 1.0, 1.5)
    assert rate == RATE
    assert np.array_equal(samples, sound[RATE : RATE * 3 // 2].T)
    assert read_piece(tmp_path / "a.wav", 2.9, 4.0)[0].shape == (2, round(0.1 * RATE))
    assert read_piece(tmp_path / "a.wav", 1.0, 1.0)[0].shape == (2, 0)
    film = write_film(tmp_path / "a.mkv", {Fraction(0): np.ascontiguousarray(sound.T)}, n_frames=3)
    recording = open_recording(film)
    assert recording.by == "ffmpeg"
    later, rate = read_piece(film, 1.0, 1.5)
    whole, _ = read_piece(film, 0.0, 3.0)
    assert np.array_equal(later, whole[:, rate : rate * 3 // 2])
    with pytest.raises(InputError, match="no such file"):
        read_piece(tmp_path / "none.wav", 0, 1)
    (tmp_path / "b.wav").write_bytes(b"no sound" * 99)
    with pytest.raises(AudioError, match="cannot be read as a sound"):
        read_piece(tmp_path / "b.wav", 0, 1)
