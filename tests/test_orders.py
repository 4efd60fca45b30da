"""Many clips: lists of them, shares of the work, several at once, and files for editors."""

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from echoframe.apps import cli
from echoframe.errors import InputError, VideoError
from echoframe.jobs.orders import Order, Wish, read_wishes, share_of
from echoframe.jobs.plans import Job
from echoframe.jobs.together import render_together
from echoframe.loading import load
from echoframe.lock import exclusive_lock
from echoframe.media.video import probe
from echoframe.options import Request
from echoframe.provenance import Machine, changed_versions, read_provenance
from fakes import DIM, calls_of, fake_model
from listed_films import names, write_films
from planted_video import write_video


@pytest.fixture(scope="module")
def films(tmp_path_factory) -> Path:
    return write_films(tmp_path_factory.mktemp("films"))


def generate(folder: Path, *args: object) -> int:
    words = ["generate", "--model", folder / "tiny", "--quiet", "--no-mux", *args]
    return cli.main([str(word) for word in words])


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_list_says_what_is_made_of_each_clip(films, tmp_path, capsys):
    rows = "Path,seed,duration,out\none.mp4,3,0.2,\n\ntwo.mp4,,,calm/rain.flac\none.mp4,4,,b\nno.mp4,,,\n"
    clips = written(films / "clips.csv", rows)
    assert generate(films, "--list", clips, "-o", tmp_path, "--duration", 0.1, "--seed", 9) == 1
    assert "no.mp4: no such file" in capsys.readouterr().err
    made = ["b/one.wav", "calm/rain.flac", "one.wav"]
    assert names(tmp_path) == sorted([*made, *(f"{name}.json" for name in made)])
    found = [read_provenance(tmp_path / f"{name}.json").settings for name in made]
    assert [(each.seed, each.duration_s) for each in found] == [(4, 0.1), (9, 0.1), (3, 0.2)]


def test_a_list_is_read_as_a_spreadsheet_writes_it(tmp_path):
    (tmp_path / "a.csv").write_bytes(b'\xef\xbb\xbfpath\r\n"rain, heavy.mp4"\r\n')
    assert read_wishes(tmp_path / "a.csv") == [
        Wish(where=f"{tmp_path / 'a.csv'}, line 2", clip=tmp_path / "rain, heavy.mp4")
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,colour\na.mp4,red\n", "columns path, colour; expected path, and no others than seed, duration, out"),
        ("a.mp4\n", "columns a.mp4; expected path, and no others"),
        ("path,path\na,b\n", "columns path, path; expected path, and no others"),
        ("", "columns none; expected path"),
        ("path,seed\n", "a.csv: lists no clip; write one in each line below the header"),
        ("path,seed\n,1\n", "a.csv, line 2: has no path; write the name of a clip"),
        ("path,seed\na.mp4\n", "a.csv, line 2: 1 cells, the header has 2; quote a name that holds a comma"),
        ("path,seed\na.mp4,x\n", 'line 2: seed "x", duration ""; expected numbers or nothing'),
        ("path,duration\na.mp4,-1\n", "line 2: duration -1.0 s: expected a number of seconds above 0"),
    ],
)
def test_a_list_that_cannot_be_understood(text, words, tmp_path):
    with pytest.raises(InputError, match=words):
        read_wishes(written(tmp_path / "a.csv", text))


def test_a_list_that_is_none_or_says_things_twice(films, tmp_path, capsys):
    assert generate(films, "--list", tmp_path / "none.csv") == 2
    assert "none.csv: cannot be read as UTF-8 text" in capsys.readouterr().err
    clips = written(films / "twice.csv", "path,seed\none.mp4,1\none.mp4,2\n")
    assert generate(films, "--list", clips, films / "two.mp4") == 2
    assert "twice.csv: a list names the clips; leave out " in capsys.readouterr().err
    assert generate(films, "--list", clips, "-o", tmp_path) == 2
    assert f"would both make {tmp_path}/one.wav" in capsys.readouterr().err
    written(clips, "path,seed\none.mp4,1\none.mp4,2\ntwo.mp4,\n")
    assert generate(films, "--list", clips, "-o", tmp_path / "third", "--duration", 0.1, "--batch-size", 3) == 1
    assert capsys.readouterr().err.count("would both make") == 2
    assert names(tmp_path / "third") == ["two.wav", "two.wav.json"]
    assert generate(films, "--list", clips, "-o", tmp_path, "--seeds", "1-2") == 2
    assert "twice.csv, line 2: has a seed of its own; leave out --seeds" in capsys.readouterr().err
    assert names(tmp_path) == ["third/two.wav", "third/two.wav.json"]


def test_shares_are_all_of_the_work_and_each_clip_once():
    clips = [Path(f"{i}.mp4") for i in range(7)]
    orders = [Order(job=Job(clip=clip, sound=None, film=None, picture=None), request=Request()) for clip in clips]
    shares = [[order.job.clip for order in share_of(orders, (i, 3))] for i in (1, 2, 3)]
    assert [len(share) for share in shares] == [3, 2, 2]
    assert sorted(clip for share in shares for clip in share) == clips


def test_shares_may_be_made_in_one_folder_at_the_same_time(films, tmp_path, capsys):
    command = [films / "one.mp4", films / "two.mp4", "-o", tmp_path, "--duration", 0.1]
    with exclusive_lock(tmp_path, "another share", share="2-of-2"):
        assert generate(films, *command, "--shard", "1/2") == 0
        assert generate(films, *command, "--shard", "2/2") == 2
        assert generate(films, *command) == 2
    assert capsys.readouterr().err.count("in use by another share") == 2
    assert names(tmp_path) == ["one.wav", "one.wav.json"]
    assert generate(films, *command, "--shard", "2/2") == 0
    assert names(tmp_path) == ["one.wav", "one.wav.json", "two.wav", "two.wav.json"]
    assert generate(films, *command, "--shard", "3/3") == 0  # which has none of two clips


def test_clips_made_together_sound_as_alone_and_the_record_says_so(films, tmp_path, capsys):
    bad = written(tmp_path / "bad.mp4", "no film")
    clips = [films / "one.mp4", bad, films / "two.mp4"]
    command = ["--duration", 0.2, "--candidates", 2, "--batch-size", 3]
    assert generate(films, *clips, "-o", tmp_path / "made", *command) == 1
    assert "bad.mp4: " in capsys.readouterr().err
    assert generate(films, films / "one.mp4", "-o", tmp_path / "alone", *command) == 0
    together, alone = (soundfile.read(tmp_path / folder / "one.wav")[0] for folder in ("made", "alone"))
    assert np.abs(together - alone).max() < 1e-3
    record = read_provenance(tmp_path / "made" / "one.wav.json")
    assert record.machine.batch_size == 2
    assert changed_versions(record, Machine(device="cpu", dtype="float32")) == ["batch size 2 -> 1"]
    assert generate(films, *clips[::2], "-o", tmp_path / "made", *command, "--json") == 0
    assert [json.loads(line)["status"] for line in capsys.readouterr().out.splitlines()] == ["kept", "kept"]


def test_sounds_of_one_length_are_generated_in_one_call_whatever_their_windows(films):
    model, infos = fake_model(), [probe(films / f"{name}.mp4") for name in ("one", "two", "six")]
    lengths = (9.0, 9.0, 2.0)
    asked = [Request(seed=1, duration_s=length) for length in lengths]
    settings = [model.resolve(info, request) for info, request in zip(infos, asked, strict=True)]
    sounds = render_together(model, list(zip(infos, settings, strict=True)))
    assert [len(call["seeds"]) for call in calls_of(model)] == [2, 1]
    assert calls_of(model)[0]["target"].shape == (2, 3, DIM)
    for info, wanted, sound in zip(infos, settings, sounds, strict=True):
        assert not isinstance(sound, Exception)
        assert torch.equal(sound.waveform, fake_model().render(info, wanted).waveform)


def test_a_clip_that_fails_among_others_is_told_in_its_place(films, tmp_path):
    write_video(tmp_path / "gone.mp4", n_frames=5, rate=Fraction(10))
    model, infos = fake_model(), [probe(tmp_path / "gone.mp4"), probe(films / "one.mp4")]
    (tmp_path / "gone.mp4").write_bytes(b"no film any more")
    settings = [model.resolve(info, Request(duration_s=1)) for info in infos]
    failed, sound = render_together(model, list(zip(infos, settings, strict=True)))
    assert isinstance(failed, VideoError | InputError)
    assert not isinstance(sound, Exception)


@pytest.mark.parametrize("kind", ["wav", "flac"])
def test_files_for_editors_are_resampled_and_say_so(kind, films, tmp_path, capsys):
    command = [films / "one.mp4", "--duration", 0.3]
    assert generate(films, *command, "-o", tmp_path / "own.wav") == 0
    out = tmp_path / f"edit.{kind}"
    assert generate(films, *command, "-o", out, "--sample-rate", 48_000, "--channels", 2) == 0
    samples, rate = soundfile.read(out)
    assert (rate, samples.shape) == (48_000, (14_400, 2))
    assert np.array_equal(samples[:, 0], samples[:, 1])
    spectrum = np.abs(np.fft.rfft(samples[:, 0] * np.hanning(14_400))) ** 2
    assert spectrum[int(8500 * 0.3) :].sum() < 1e-4 * spectrum.sum()  # nothing above the model's 8 kHz
    record, own = (read_provenance(tmp_path / f"{name}.json") for name in (out.name, "own.wav"))
    assert (record.sample_rate, record.channels, own.sample_rate, own.channels) == (48_000, 2, None, None)
    assert record.result == own.result
    assert generate(films, "--from", f"{out}.json", "-o", tmp_path / "again.wav") == 0
    assert soundfile.info(tmp_path / "again.wav").samplerate == 48_000
    assert generate(films, "--from", f"{out}.json", "-o", tmp_path / "again.wav", "--channels", 1) == 2
    assert "a record fixes --channels; leave out either" in capsys.readouterr().err


def test_a_film_with_two_channels(films, tmp_path):
    words = ["generate", films / "one.mp4", "--model", films / "tiny", "--quiet", "-o", tmp_path / "a.mp4"]
    assert cli.main([str(word) for word in [*words, "--channels", 2]]) == 0
    import av

    with av.open(str(tmp_path / "a.mp4")) as film:
        assert film.streams.audio[0].channels == 2


def test_another_rate_is_another_result(films, tmp_path, capsys):
    command = [films / "one.mp4", "-o", tmp_path / "a.wav", "--duration", 0.1]
    assert generate(films, *command) == 0
    assert generate(films, *command, "--sample-rate", 22_050) == 2
    assert "made with sample rate None; replace it with --overwrite" in capsys.readouterr().err
    assert load(films / "tiny").generator.sample_rate == soundfile.info(tmp_path / "a.wav").samplerate
