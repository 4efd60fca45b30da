"""Sounds that are made of a library: the recordings, their layers and record, stems, and a timeline for editors."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import numpy as np
import pytest
import soundfile
import torch

from echoframe.apps import cli
from echoframe.apps import generate as command
from echoframe.errors import AudioError, InputError
from echoframe.library import Library
from echoframe.loading import remake
from echoframe.options import Request, SampleOptions
from echoframe.pipeline import EchoFrame
from echoframe.provenance import read_provenance
from echoframe.sound import Sound, decoding
from echoframe.sound.placed import read_placed
from echoframe.timing.cues import Cues, Onset
from echoframe.timing.watch import Watched
from fakes import calls_of, fake_model
from planted_sounds import RATE, tone
from planted_video import BLUE, RED, write_video
from shelves import write_shelf

pytest.importorskip("sqlite_vec")
Shelf = tuple[EchoFrame, Library]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write_shelf(tmp_path_factory.mktemp("sounds"), fake_model())


@pytest.fixture
def shelf(path) -> Iterator[Shelf]:
    model = fake_model()
    with Library.open(path, model) as library:
        yield model, library


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Two shots of two seconds."""
    images = [np.full((48, 64, 3), colour, dtype=np.uint8) for colour in (RED, BLUE) for _ in range(50)]
    return write_video(tmp_path_factory.mktemp("films") / "film.mp4", images=images)


def summed(sound: Sound) -> torch.Tensor:
    return torch.stack(list(sound.layers.values())).sum(dim=0)


def test_the_sound_is_made_of_recordings_at_their_rate(shelf, film, path):
    model, library = shelf
    sound = model.generate(film, library=library, seed=1)
    assert (sound.sample_rate, tuple(sound.waveform.shape)) == (RATE, (2, 4 * RATE))
    assert sound.provenance.settings.library == str(path.resolve())
    assert sound.provenance.settings.sync == 0.5
    placed = sound.provenance.result.placed
    assert placed
    assert all(Path(str(each["file"])).is_file() for each in placed)
    assert all(0 <= each["at_s"] < 4 and each["layer"] in sound.layers for each in placed)
    assert list(sound.layers) == ["ambience", "events"]
    assert torch.allclose(summed(sound), sound.waveform, atol=1e-5)
    assert 0.1 < float(sound.waveform.abs().max()) <= 1
    assert "at 8 kHz" in repr(sound)
    assert not calls_of(model)


def test_the_same_seed_lays_the_same_recordings_and_another_one_others(shelf, film):
    model, library = shelf
    one, same, other = (model.generate(film, library=library, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.waveform, same.waveform)
    assert one.provenance.result.placed == same.provenance.result.placed != other.provenance.result.placed
    again = remake(model.answered_by(library), one.provenance)
    assert torch.equal(again.waveform, one.waveform)


def test_candidates_are_heard_and_ranked(shelf, film):
    model, library = shelf
    best = model.generate(film, library=library, candidates=3)
    worst = model.generate(film, library=library, candidates=3, nth=3)
    (scores, *_) = best.provenance.result.candidate_scores
    assert len(scores) == 3
    assert best.provenance.result.candidate_scores == worst.provenance.result.candidate_scores
    assert best.embedding is not None


def test_events_meet_what_is_struck(shelf, film, monkeypatch):
    onsets = tuple(Onset(time_s=time_s, strength=1.0, confidence=0.8) for time_s in (0.5, 1.0, 2.5))
    monkeypatch.setattr(decoding, "watch", lambda clip, **_: Watched(cues=Cues(onsets=onsets)))
    model, library = shelf
    hum = {"prompt": "hum", "prompt_weight": 1.0, "library": library, "whole": True}
    sound = model.generate(film, **hum)
    events = [each for each in sound.provenance.result.placed if each["layer"] == "events"]
    assert [each["at_s"] for each in events[:3]] == pytest.approx([0.5, 1.0, 2.5], abs=0.011)
    loose = model.generate(film, sync=0.0, **hum)
    assert [each["at_s"] for each in loose.provenance.result.placed][0] == 0.0


def noise_like(library: Library) -> torch.Tensor:
    embedded = library._store.embedded()
    return torch.from_numpy(embedded.vectors[list(embedded.kinds).index("ambience")].copy())


def test_the_model_varies_the_recordings_in_the_band_that_it_knows(shelf, film):
    model, library = shelf
    plain = model.generate(film, library=library, seed=1)
    varied = model.generate(film, library=library, seed=1, blend=0.4)
    (call,) = calls_of(model)
    assert call["options"].variation == 0.4
    assert call["example"].shape == (1, 4000)
    assert list(varied.layers) == ["ambience", "events", "varied"]
    assert torch.allclose(summed(varied), varied.waveform, atol=1e-5)
    assert [each["at_s"] for each in varied.provenance.result.placed] == [
        each["at_s"] for each in plain.provenance.result.placed
    ]


def test_what_the_model_cannot_hold_stays_as_it_was_recorded(shelf):
    model, library = shelf
    voice = library.voice(model.generator)
    options = SampleOptions()
    laid = voice.place(noise_like(library)[None], duration_s=4.0, seed=0, options=options, cues=None)
    plain = voice.layers(laid, torch.zeros(1, 4000), duration_s=4.0, blend=0.0)
    varied = voice.layers(laid, torch.zeros(1, 4000), duration_s=4.0, blend=0.5)
    low, high = slice(4 * 20, 4 * 450), slice(4 * 550, 4 * 3900)  # of 8000 Hz; the model knows 500
    before, after = (torch.fft.rfft(layers["ambience"][0]).abs() for layers in (plain, varied))
    assert float(before[low].square().mean()) > 0
    assert torch.allclose(before[high], after[high], rtol=1e-2, atol=1e-2 * float(before.max()))
    assert float(after[low].max()) < 0.02 * float(before[low].max())


def test_a_short_sound_is_varied_too_and_a_sound_without_a_picture_is_laid(shelf):
    model, library = shelf
    short = model.generate(None, prompt="hum", library=library, duration_s=0.5, blend=1.0)
    assert short.waveform.shape == (2, RATE // 2)
    assert calls_of(model)[0]["duration_s"] == 4.0


def test_what_cannot_be_done_with_a_library_is_one_line(shelf, film, tmp_path):
    model, library = shelf
    with pytest.raises(InputError, match="this library is not open; give generate the library itself"):
        model.resolve(command.probe(film), Request(library="my.library"))
    with pytest.raises(InputError, match=r"blend 0\.5: there is no library whose recordings could be varied"):
        model.generate(film, blend=0.5)
    with (
        Library.create(tmp_path / "empty.library", model) as empty,
        pytest.raises(InputError, match="holds no sounds; add some"),
    ):
        model.generate(film, library=empty)


def test_recordings_that_are_gone_are_left_out_or_told(tmp_path, film):
    folder = tmp_path / "sounds"
    folder.mkdir()
    soundfile.write(folder / "hum.wav", tone(1.0, 30), RATE)
    soundfile.write(folder / "whistle.wav", tone(1.0, 80), RATE)
    model = fake_model()
    with Library.create(tmp_path / "my.library", model) as library:
        library.add(folder)
        (folder / "hum.wav").unlink()
        sound = model.generate(film, library=library)
        assert {Path(str(each["file"])).name for each in sound.provenance.result.placed} == {"whistle.wav"}
        shutil.move(folder, tmp_path / "elsewhere")
        with pytest.raises(InputError, match="all others that fit are not there any more; echoframe library check"):
            model.generate(film, library=library)


def test_a_recording_that_breaks_is_told(tmp_path, film):
    soundfile.write(tmp_path / "hum.wav", tone(1.0, 30), RATE)
    model = fake_model()
    with Library.create(tmp_path / "my.library", model) as library:
        library.add(tmp_path / "hum.wav")
        (tmp_path / "hum.wav").write_bytes(b"RIFF")
        with pytest.raises(AudioError, match=r"hum\.wav: .*; the library lists it: run echoframe library add"):
            model.generate(film, library=library)


@pytest.fixture
def made(tmp_path, path, film, monkeypatch) -> Path:
    """A folder with all that the command makes of the film."""
    monkeypatch.setattr(command, "load", lambda *_, **__: fake_model())
    out = tmp_path / "made"
    assert run(film, "-o", out, "--library", path, "--stems", "--timeline", out / "edit.otio", "--blend", 0.5) == 0
    return out


def run(*args: object) -> int:
    return cli.main(["generate", *map(str, args), "--quiet"])


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    capsys.readouterr()
    assert run(*args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_stems_sum_to_the_mix(made):
    names = sorted(path.name for path in made.iterdir() if path.suffix != ".json")
    assert names == ["edit.otio", "film.ambience.wav", "film.events.wav", "film.mp4", "film.varied.wav", "film.wav"]
    mix, rate = soundfile.read(made / "film.wav")
    stems = [soundfile.read(made / f"film.{layer}.wav")[0] for layer in ("ambience", "events", "varied")]
    assert rate == RATE
    assert mix.shape == (4 * RATE, 2)
    assert np.square(np.sum(stems, axis=0) - mix).mean() < 1e-6 * np.square(mix).mean()
    assert read_provenance(made / "film.events.wav.json").outputs.keys() == set(names)


def test_the_timeline_has_the_film_and_every_recording_at_its_frame(made, film):
    otio = pytest.importorskip("opentimelineio")
    timeline = otio.adapters.read_from_file(str(made / "edit.otio"))
    placed = read_placed(read_provenance(made / "film.wav.json").result.placed)
    (shots,) = timeline.video_tracks()
    assert [clip.duration().value for clip in shots] == [50, 50]
    found = []
    for track in timeline.audio_tracks():
        assert track.name.split(" ")[0] in ("ambience", "events")
        found += [(track.range_of_child(clip), clip) for clip in track.find_clips()]
    found.sort(key=lambda each: (each[1].metadata["echoframe"]["at_s"], each[0].start_time.value))
    for (span, clip), each in zip(found, placed, strict=True):
        start = span.start_time.value
        assert start == round(each.at_s * 25)
        assert start + span.duration.value == max(round(each.end_s * 25), start + 1)
        assert clip.source_range.start_time.value == round(each.in_s * 25)
        assert Path(url2pathname(urlsplit(clip.media_reference.target_url).path)) == Path(each.file)
        assert clip.metadata["echoframe"]["gain_db"] == each.gain_db
        assert [effect.time_scalar for effect in clip.effects] == ([each.speed] if each.speed != 1 else [])


def test_a_sound_without_a_library_is_one_clip_beside_the_film(tmp_path, film, monkeypatch):
    otio = pytest.importorskip("opentimelineio")
    monkeypatch.setattr(command, "load", lambda *_, **__: fake_model())
    (tmp_path / "edits").mkdir()
    assert run(film, "-o", tmp_path, "--timeline", tmp_path / "edits", "--seeds", "0-1") == 0
    timeline = otio.adapters.read_from_file(str(tmp_path / "edits" / "film.s1.otio"))
    (track,) = timeline.audio_tracks()
    (clip,) = track
    assert (track.name, clip.duration().value, clip.media_reference.name) == ("sound", 100, "film.s1.wav")
    assert run(film, "-o", tmp_path, "--timeline", tmp_path / "edits", "--seeds", "0-1") == 0  # done before


def test_names_that_do_not_fit_are_told_before_anything_is_made(tmp_path, film, path, capsys):
    assert "stems: only a sound that is made of a library has layers" in refused(
        capsys, film, "--stems", "-o", tmp_path
    )
    line = refused(capsys, film, "-o", tmp_path, "--timeline", tmp_path / "edit.xml")
    assert 'edit.xml: suffix ".xml" is not a timeline\'s; use .otio' in line
    line = refused(capsys, film, "-o", tmp_path, "--samples", 2, "--timeline", tmp_path / "edit.otio")
    assert "edit.otio: is one timeline, but there are 2 sounds; give a folder with --timeline" in line
    assert not list(tmp_path.iterdir())


def test_a_record_makes_the_same_again(made, tmp_path):
    again = tmp_path / "again"
    assert run("--from", made / "film.wav.json", "-o", again, "--stems") == 0
    assert (again / "film.wav").read_bytes() == (made / "film.wav").read_bytes()
    assert (again / "film.events.wav").read_bytes() == (made / "film.events.wav").read_bytes()
