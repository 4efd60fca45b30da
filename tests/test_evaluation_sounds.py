"""Folders of sounds: found, paired, and taken as a protocol hears them."""

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echoframe.errors import AudioError, InputError
from echoframe.evaluation.known_lists import name_of_list
from echoframe.evaluation.sounds import Listening, find_sounds, listen, pair, read_clips
from planted_video import write_video

RATE = 16_000


def write(path, samples, rate=RATE, **how):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, rate, **how)
    return path


def tone(seconds=1.0, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def folders(tmp_path, **names):
    for folder, stems in names.items():
        for stem in stems:
            write(tmp_path / folder / f"{stem}.wav", tone())
    return {folder: tmp_path / folder for folder in names}


def test_pairs_are_found_by_stem_and_what_lacks_or_is_too_much_is_listed(tmp_path):
    found = pair(folders(tmp_path, reference="abc", one="bcd", two="abcd"))
    assert found.stems == ("b", "c")
    assert found.missing == {"reference": ("d",), "one": ("a",)}
    assert not found.extra
    found = pair(folders(tmp_path, reference="abc", one="bcd", two="abcd"), wanted=["c", "b", "e"])
    assert found.stems == ("b", "c")
    assert found.missing == dict.fromkeys(("reference", "one", "two"), ("e",))
    assert found.extra == {"reference": ("a",), "one": ("d",), "two": ("a", "d")}


def test_a_film_beside_its_sound_does_not_count_twice(tmp_path):
    write(tmp_path / "a.wav", tone())
    write_video(tmp_path / "a.mp4", n_frames=5)
    (tmp_path / "a.json").write_text("{}")
    (tmp_path / ".b.wav").write_bytes(b"")
    assert find_sounds(tmp_path) == {"a": tmp_path / "a.wav"}
    write(tmp_path / "a.flac", tone())
    with pytest.raises(InputError, match="a.wav: a.flac has the same stem; keep one"):
        find_sounds(tmp_path)


def test_folders_that_cannot_be_paired(tmp_path):
    with pytest.raises(InputError, match="no such folder; give a folder of sound files"):
        find_sounds(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="no sound in it; expected files ending in .wav"):
        find_sounds(tmp_path / "empty")
    both = folders(tmp_path, reference="ab", one="cd")
    with pytest.raises(InputError, match=r"in every folder \(.*reference has 2, as a, .*one has 2, as c\)"):
        pair(both)
    with pytest.raises(InputError, match="no file name is in every folder among the 1 wanted"):
        pair(folders(tmp_path, reference="ab", one="ab"), wanted=["x"])


@pytest.mark.parametrize(
    ("subtype", "channels", "rate"),
    [("PCM_16", 1, 8000), ("PCM_24", 2, 44_100), ("FLOAT", 6, 96_000), ("DOUBLE", 1, 48_000)],
)
def test_any_format_rate_and_channels_are_heard_alike(tmp_path, subtype, channels, rate):
    samples = np.repeat(tone(rate=rate)[:, None], channels, axis=1)
    found = listen(write(tmp_path / "a.wav", samples, rate, subtype=subtype), Listening())
    assert found.sample_rate == rate
    assert found.waveform.shape == (1, rate)
    np.testing.assert_allclose(found.waveform[0].numpy(), tone(rate=rate), atol=1e-4)
    assert not found.is_cut
    assert not found.is_silent


def test_channels_mean_and_length_are_as_the_protocol_says(tmp_path):
    path = write(
        tmp_path / "a.wav", np.stack([np.full(3 * RATE, 0.5), np.full(3 * RATE, 0.1)], axis=1), subtype="FLOAT"
    )
    assert listen(path, Listening()).waveform.mean() == pytest.approx(0.3)
    assert listen(path, Listening(channels="first")).waveform.mean() == pytest.approx(0.5)
    centred = listen(path, Listening(centred=True, clip_s=2))
    assert centred.waveform.shape == (1, 2 * RATE)
    assert centred.is_cut
    assert centred.is_silent  # nothing is left of a constant


def test_three_hours_are_heard_for_ten_seconds(tmp_path):
    path = tmp_path / "long.wav"
    with soundfile.SoundFile(path, "w", 8000, 1, subtype="PCM_U8") as file:
        for _ in range(180):
            file.write(np.zeros(60 * 8000))
    found = listen(path, Listening())
    assert found.waveform.shape == (1, 80_000)
    assert found.is_cut


def test_a_film_is_heard_too(tmp_path):
    write_video(tmp_path / "a.mp4", n_frames=50, tone_hz=440.0)
    found = listen(tmp_path / "a.mp4", Listening(clip_s=1))
    assert found.waveform.shape == (1, found.sample_rate)
    assert found.is_cut
    assert not found.is_silent
    write_video(tmp_path / "mute.mp4", n_frames=5)
    with pytest.raises(AudioError, match=re.escape("mute.mp4: has no sound (only video); leave it out")):
        listen(tmp_path / "mute.mp4", Listening())


@pytest.mark.parametrize("suffix", [".wav", ".mp4"])
def test_what_is_no_sound_is_named(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"not a sound at all" * 100)
    with pytest.raises(AudioError, match=r"a\.(wav: not a sound|mp4: not a film) that can be read"):
        listen(path, Listening())


def test_empty_and_broken_samples_are_named(tmp_path):
    with pytest.raises(AudioError, match="empty.wav: holds no samples; give a sound that is not empty"):
        listen(write(tmp_path / "empty.wav", np.zeros(0)), Listening())
    samples = tone()
    samples[7] = np.nan
    with pytest.raises(AudioError, match="nan.wav: holds NaN or infinite samples"):
        listen(write(tmp_path / "nan.wav", samples, subtype="FLOAT"), Listening())


def test_a_list_of_clips_gives_names_and_labels(tmp_path):
    path = tmp_path / "list.csv"
    path.write_text('name,label\na.mp4,"dog, barking"\nb.c,\n')
    assert read_clips(path) == {"a": "dog, barking", "b.c": ""}
    (tmp_path / "list.tsv").write_text("x\ty\n")
    assert read_clips(tmp_path / "list.tsv") == {"x": "y"}
    path.write_text("id\n")
    with pytest.raises(InputError, match="lists no clip; expected rows of NAME,label"):
        read_clips(path)
    with pytest.raises(InputError, match="cannot be read .*; give a CSV file with rows"):
        read_clips(tmp_path / "none.csv")


def test_a_list_that_papers_use_is_known_by_what_it_holds():
    shared = Path(__file__).parents[2] / "shared" / "vggsound" / "test.csv"
    if not shared.is_file():
        pytest.skip("the official list is not here")
    names = [line.split(",")[0].removesuffix(".mp4") for line in shared.read_text().splitlines()]
    assert name_of_list(names) == "all 15,446 clips of VGGSound's official test list"
    assert "no list known by name" in name_of_list(names[1:])
