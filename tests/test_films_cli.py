"""The command with films as people have them: the sound is always made, and what is left out is said in one line."""

import json
import os
import shutil
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import soundfile
import torch

from echoframe import read_provenance
from echoframe.apps import cli
from echoframe.jobs.together import render_together
from echoframe.loading import remake
from echoframe.media.video import probe
from echoframe.options import Request
from echoframe.sound import Sound
from fakes import FakeGenerator, calls_of, fake_model
from planted_video import write_video
from tiny_bundles import write_tiny_mini


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_mini(path)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("film") / "tiny.mp4", n_frames=5, rate=Fraction(10))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def generate(bundle, tmp_path, capsys):
    """Runs the command into tmp_path/out: its exit code, what it says, and the kinds of the files that are there then."""

    def run(*args: object) -> tuple[int, str, list[str]]:
        words = [str(arg) for arg in args]
        code = cli.main(["generate", *words, "-o", str(tmp_path / "out"), "--model", str(bundle), "--duration", "0.3"])
        out = tmp_path / "out"
        kinds = sorted({path.suffix for path in out.iterdir()}) if out.is_dir() else []
        return code, capsys.readouterr().err, kinds

    return run


def test_a_picture_that_no_container_holds_still_gets_its_sound(generate, tmp_path):
    film = write_video(tmp_path / "film.wmv", n_frames=5, rate=Fraction(10), codec="wmv2")
    code, said, kinds = generate(film)
    assert (code, kinds) == (0, [".json", ".wav"])
    assert said.count("\n") == 1
    assert "film.wmv: only the sound was written: no container here can hold wmv2 video and a sound; --reenc" in said
    assert "only the sound" in json.loads((tmp_path / "out" / "film.wav.json").read_text())["notes"][0]
    code, said, kinds = generate(film, "--reencode")
    assert (code, kinds) == (0, [".json", ".mp4", ".wav"])
    assert "its picture was written again, as H.264" in said
    assert probe(tmp_path / "out" / "film.mp4").video_codec == "h264"


def test_a_film_goes_into_a_container_that_holds_it(generate, tmp_path):
    chrome = write_video(tmp_path / "chrome.mkv", n_frames=5, rate=Fraction(10)).rename(tmp_path / "chrome.webm")
    assert generate(chrome)[0] == 0
    named = write_video(tmp_path / "vp8.webm", n_frames=5, rate=Fraction(10), codec="libvpx").rename(
        tmp_path / "vp8.mp4"
    )
    assert generate(named)[0] == 0
    films = [name for name in names(tmp_path / "out") if not name.endswith((".json", ".wav"))]
    assert films == ["chrome.mp4", "vp8.webm"]


def test_a_gif_becomes_a_film_that_players_show(generate, tmp_path):
    film = write_video(tmp_path / "a.gif", n_frames=5, rate=Fraction(10), codec="gif", pix_fmt="gray")
    code, said, kinds = generate(film)
    assert (code, kinds) == (0, [".json", ".mov", ".wav"])
    assert "its picture is still a GIF" in said
    assert generate(film, "--reencode")[0] == 0
    assert probe(tmp_path / "out" / "a.mp4").video_codec == "h264"


def test_a_picture_written_again_is_not_one_that_was_copied(bundle, tmp_path, capsys):
    film = write_video(tmp_path / "a.gif", n_frames=5, rate=Fraction(10), codec="gif", pix_fmt="gray")
    out = tmp_path / "b.mov"

    def generate(*args: object) -> tuple[int, str]:
        command = ["generate", *args, "-o", out, "--model", bundle, "--json"]
        code = cli.main([str(arg) for arg in command])
        said = capsys.readouterr()
        return code, said.err if code else json.loads(said.out)["status"]

    again, short = "--reencode", ("--duration", "0.3")
    assert generate(film, *short, again) == (0, "made")
    assert (probe(out).video_codec, read_provenance(tmp_path / "b.mov.json").reencoded) == ("h264", True)
    assert generate(film, *short, again) == (0, "kept")
    code, said = generate(film, *short)
    assert (code, said.count("\n")) == (2, 1)
    assert "b.mov: is an earlier result, made with its picture written again as H.264; replace it with --over" in said
    assert generate(film, *short, "--overwrite") == (0, "made")
    assert (probe(out).video_codec, generate(film, *short)) == ("gif", (0, "kept"))
    code, said = generate(film, *short, again)
    assert (code, "made with its picture copied; replace it" in said) == (2, True)
    assert generate(film, *short, again, "--overwrite") == (0, "made")
    out = tmp_path / "c.mov"
    assert generate("--from", tmp_path / "b.mov.json") == (0, "remade")
    assert probe(out).video_codec == "h264"


def test_a_film_that_cannot_be_copied_in_the_end_costs_no_sound(generate, tiny, tmp_path, monkeypatch):
    import av.error

    def refuse(*_: object) -> None:
        raise av.error.ArgumentError(22, "Invalid argument")

    monkeypatch.setattr("echoframe.media.mux._copies", refuse)
    code, said, kinds = generate(tiny)
    assert (code, kinds) == (0, [".json", ".wav"])
    assert "only the sound was written: its picture cannot be copied into mp4 (invalid argument); --reencode" in said
    out = tmp_path / "out" / "tiny.wav"
    before = out.stat().st_mtime_ns
    assert generate(tiny, "--json") == (0, "", kinds)
    assert out.stat().st_mtime_ns == before  # it is done: the film is not tried for again
    code, said, kinds = generate(tiny, "--reencode")
    assert (code, kinds) == (0, [".json", ".mp4", ".wav"])
    assert "its picture was written again, as H.264" in said


def test_half_written_files_stay_where_other_shares_may_be_writing(tiny, generate, tmp_path):
    partial = tmp_path / "out" / ".other.0123abcd.tmp.wav"
    partial.parent.mkdir()
    partial.write_bytes(b"half")
    assert generate(tiny, "--shard", "1/2")[0] == 0
    assert partial.is_file()
    assert generate(tiny)[0] == 0
    assert not partial.exists()


class Quiet(FakeGenerator):
    """The fake generator, in which nothing can be heard before its `sounds_at`-th call."""

    def __init__(self, sounds_at: int) -> None:
        super().__init__()
        self.sounds_at = sounds_at

    def generate(self, target, **options):
        waveform = super().generate(target, **options)
        return waveform if len(self.calls) >= self.sounds_at else torch.zeros_like(waveform)


def test_silence_is_drawn_again(tiny):
    model = fake_model(generator=Quiet(3))
    sound = model.generate(tiny)
    assert sound.provenance.result.redrawn == (2,)
    assert sound.provenance.notes == ()
    assert float(sound.waveform.abs().max()) > 0.001
    seeds = [call["seeds"][0] for call in calls_of(model)]
    assert len(set(seeds)) == 3
    again = remake(fake_model(generator=Quiet(3)), sound.provenance)
    assert torch.equal(again.waveform, sound.waveform)
    # a record from before silence was drawn again
    old = replace(sound.provenance, result=replace(sound.provenance.result, redrawn=()))
    assert not remake(fake_model(generator=Quiet(3)), old).waveform.any()


def test_silence_of_clips_made_together_is_drawn_again(tiny):
    model = fake_model(generator=Quiet(2))
    info = probe(tiny)
    asked = [(info, model.resolve(info, Request(seed=seed))) for seed in (1, 2)]
    sounds = render_together(model, asked)
    assert [len(call["seeds"]) for call in calls_of(model)] == [2, 2]
    for (_, settings), sound in zip(asked, sounds, strict=True):
        assert isinstance(sound, Sound)
        assert sound.provenance.result.redrawn == (1,)
        assert torch.equal(sound.waveform, fake_model(generator=Quiet(2)).render(info, settings).waveform)


def test_silence_that_stays_is_said(tiny, tmp_path):
    model = fake_model(generator=Quiet(100))
    sound = model.generate(tiny)
    assert len(calls_of(model)) == 4
    (note,) = sound.provenance.notes
    assert note == "nothing can be heard in the sound, though it was drawn 4 times; try another seed or length"
    sound.save(tmp_path / "a.wav")
    assert read_provenance(tmp_path / "a.wav.json").notes == (note,)


def test_the_candidate_that_can_be_heard_is_kept(tiny):
    class Half(FakeGenerator):
        def generate(self, target, **options):
            waveform = super().generate(target, **options)
            waveform[:-1] = 0
            return waveform

    sound = fake_model(generator=Half()).generate(tiny, candidates=3)
    assert float(sound.waveform.abs().max()) > 0.001


@pytest.mark.parametrize("stem", ["n" * 225, "字" * 80, os.fsdecode(b"caf\xe9"), "-1pRmoJIGQc"])
def test_names_that_file_systems_allow(stem, tiny, generate, tmp_path):
    (tmp_path / "in").mkdir()
    try:
        shutil.copy(tiny, tmp_path / "in" / f"{stem}.mp4")
    except OSError:
        pytest.skip("this file system does not allow the name")
    code, _, kinds = generate(tmp_path / "in" / f"{stem}.mp4")
    assert (code, kinds) == (0, [".json", ".mp4", ".wav"])
    (record,) = (tmp_path / "out").glob("*.wav.json")
    assert Path(read_provenance(record).input.path).name == f"{stem}.mp4"


def test_a_name_that_becomes_too_long_is_refused_first(tiny, generate, tmp_path, monkeypatch):
    monkeypatch.setattr("echoframe.apps.generate.load", None)
    shutil.copy(tiny, tmp_path / ("n" * 251 + ".mp4"))
    code, said, kinds = generate(tmp_path / ("n" * 251 + ".mp4"))
    assert (code, kinds) == (2, [])
    assert "its name would be 260 bytes long, expected at most 255; give a shorter one with -o" in said


def test_what_nobody_means_is_no_input(tiny, generate, tmp_path):
    (tmp_path / "in").mkdir()
    for name in ("clip.mp4", "._clip.mp4", ".hidden.mp4", ".clip.0123abcd.tmp.mp4"):
        shutil.copy(tiny, tmp_path / "in" / name)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / ".clip.0123abcd.tmp.wav").write_bytes(b"half")  # what a killed run left
    assert generate(tmp_path / "in")[0] == 0
    assert names(tmp_path / "out") == ["clip.mp4", "clip.mp4.json", "clip.wav", "clip.wav.json"]


def test_two_that_clash_are_refused_as_a_pair(tiny, generate, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        shutil.copy(tiny, tmp_path / folder / "clip.mp4")
    both = tmp_path / "a" / "clip.mp4", tmp_path / "b" / "clip.mp4"
    code, said, _ = generate(*both, tiny)
    assert code == 1
    assert f"{both[0]} and {both[1]} would both make" in said
    assert "1 of 3 clips done, 2 failed" in said
    assert names(tmp_path / "out") == ["tiny.mp4", "tiny.mp4.json", "tiny.wav", "tiny.wav.json"]


def test_two_that_clash_in_the_container_that_holds_the_film_are_refused_first(tiny, generate, tmp_path, monkeypatch):
    """What Chrome writes is H.264 named .webm: its film is an MP4, as the second row's is."""
    shutil.copy(tiny, tmp_path / "a.webm")
    listed = tmp_path / "clips.csv"
    listed.write_text(f"path,out\na.webm,\n{tiny},a.mp4\n")
    with monkeypatch.context() as patch:
        patch.setattr("echoframe.apps.generate.load", None)
        code, said, kinds = generate("--list", listed)
        assert (code, kinds, said.count("\n")) == (2, [], 1)
        assert f"a.webm and {tiny} would both make {tmp_path}/out/a.mp4; run them separately" in said
    listed.write_text(f"path,out\na.webm,\n{tiny},a.mp4\n{tiny},\nno.webm,\n{tiny},no.mp4\n")
    code, said, _ = generate("--list", listed)
    assert (code, said.count("would both make")) == (1, 2)
    assert "no.webm: no such file" in said
    made = ["no.mp4", "tiny.mp4", "tiny.wav"]
    assert names(tmp_path / "out") == sorted([*made, *(f"{name}.json" for name in made)])
    (tmp_path / "in").mkdir()
    kept = shutil.copy(tiny, tmp_path / "in" / "a.mp4").read_bytes()
    listed.write_text("path,out\na.webm,../in\nin/a.mp4,a.flac\n")
    assert "out/../in/a.mp4: would overwrite an input; choose another" in generate("--list", listed, "--force")[1]
    assert (names(tmp_path / "in"), (tmp_path / "in" / "a.mp4").read_bytes()) == (["a.mp4"], kept)


def test_a_film_that_breaks_off_is_said(generate, tmp_path):
    film = write_video(tmp_path / "film.mkv", n_frames=100, options={"g": "10"})
    content = film.read_bytes()
    film.write_bytes(content[: len(content) // 2])
    code, said, _ = generate(film)
    assert code == 0
    assert "film.mkv: breaks off at" in said
    assert soundfile.info(tmp_path / "out" / "film.wav").frames == 4800
