"""The command as a user meets it: files that appear, one line per failure, exit codes."""

import json
import signal
import subprocess
import sys
import time
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from PIL import Image

from echoframe import load, pipeline
from echoframe.apps import cli
from echoframe.errors import OutputError
from echoframe.jobs import results
from echoframe.media.loudness import integrated_loudness
from echoframe.media.video import probe
from planted_video import write_video
from tiny_bundles import write_tiny_clip_clap, write_tiny_mini


@pytest.fixture(scope="session")
def bundle(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("bundle") / "tiny"
    write_tiny_mini(path)
    return path


@pytest.fixture(scope="session")
def films(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("films")
    write_video(folder / "one.mp4", n_frames=20, rate=Fraction(10))
    write_video(folder / "two.mp4", n_frames=15, rate=Fraction(10))
    return folder


@pytest.fixture
def out(tmp_path) -> Path:
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


def run(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_film_becomes_sound_film_picture_and_record(bundle, films, out, capsys):
    assert run("generate", films / "one.mp4", "-o", out, "--model", bundle, "--picture") == 0
    assert names(out) == ["one.mp4", "one.mp4.json", "one.png", "one.png.json", "one.wav", "one.wav.json"]
    samples, rate = soundfile.read(out / "one.wav")
    assert (len(samples), rate) == (32_000, 16_000)  # 20 frames at 10 fps
    assert probe(out / "one.mp4").has_audio
    with Image.open(out / "one.png") as picture:
        assert picture.width > 1000
    assert "one.wav" in capsys.readouterr().out


def test_a_second_run_skips_what_is_done_and_a_changed_file_is_made_again(bundle, films, out, capsys):
    command = ["generate", films, "-o", out, "--model", bundle, "--no-mux", "--duration", 0.5]
    assert run(*command) == 0
    before = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert run(*command) == 0
    assert capsys.readouterr().out.count("done before") == 2
    assert {path: path.stat().st_mtime_ns for path in out.iterdir()} == before
    (out / "one.wav").write_bytes(b"altered")
    assert run(*command) == 1
    assert "one.wav: is an earlier result, changed since it was written; replace it with" in capsys.readouterr().err
    assert run(*command, "--overwrite") == 0
    assert capsys.readouterr().out.count("done before") == 1
    assert soundfile.info(out / "one.wav").frames == 8000
    assert run(*command, "--seed", 1, "--overwrite") == 0
    assert "done before" not in capsys.readouterr().out


def test_from_a_record_the_same_samples_come_back(bundle, films, out, tmp_path):
    assert run("generate", films / "one.mp4", "-o", out, "--model", bundle, "--candidates", 2, "--seed", 5) == 0
    (tmp_path / "again").mkdir()
    assert run("generate", "--from", out / "one.wav.json", "-o", tmp_path / "again") == 0
    assert (tmp_path / "again" / "one.wav").read_bytes() == (out / "one.wav").read_bytes()
    then, now = (json.loads((folder / "one.wav.json").read_text()) for folder in (out, tmp_path / "again"))
    assert then["result"]["samples_sha256"] == now["result"]["samples_sha256"]
    assert len(then["result"]["candidate_scores"][0]) == 2


def test_a_record_of_another_clip_is_refused(bundle, films, out, capsys):
    assert run("generate", films / "one.mp4", "-o", out, "--model", bundle, "--no-mux", "--duration", 0.2) == 0
    assert run("generate", films / "two.mp4", "--from", out / "one.wav.json", "-o", out) == 2
    assert "the input has changed, give the original file" in capsys.readouterr().err
    assert run("generate", films, "--from", out / "one.wav.json", "-o", out) == 2
    assert "was made from one clip, 2 are given" in capsys.readouterr().err


def test_one_failure_among_many_is_counted(bundle, films, out, tmp_path, capsys):
    bad = tmp_path / "bad.mp4"
    bad.write_text("no film")
    assert run("generate", films / "one.mp4", bad, "-o", out, "--model", bundle, "--duration", 0.3) == 1
    errors = capsys.readouterr().err
    assert "bad.mp4" in errors
    assert "1 of 2 clips done, 1 failed" in errors
    assert names(out) == ["one.mp4", "one.mp4.json", "one.wav", "one.wav.json"]


def test_a_still_and_globs_and_a_named_file(bundle, out, tmp_path):
    Image.new("RGB", (64, 48), (200, 30, 30)).save(tmp_path / "still.png")
    assert run("generate", tmp_path / "st*.png", "-o", out, "--model", bundle, "--duration", 0.4) == 0
    assert names(out) == ["still.wav", "still.wav.json"]
    assert run("generate", tmp_path / "still.png", "-o", out / "named.flac", "--model", bundle, "--duration", 0.4) == 0
    assert soundfile.info(out / "named.flac").frames == 6400


def test_a_large_photograph_is_no_reason_to_warn(bundle, out, tmp_path, monkeypatch):
    Image.new("RGB", (64, 48)).save(tmp_path / "still.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow warns of more, and refuses twice as many
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert run("generate", tmp_path / "still.png", "-o", out, "--model", bundle, "--duration", 0.3) == 0
    assert [str(each.message) for each in seen if "pixels" in str(each.message)] == []


def test_a_film_in_its_own_folder_keeps_its_name(bundle, tmp_path):
    write_video(tmp_path / "film.mp4", n_frames=5, rate=Fraction(10))
    before = (tmp_path / "film.mp4").read_bytes()
    assert run("generate", tmp_path / "film.mp4", "-o", tmp_path, "--model", bundle) == 0
    assert names(tmp_path) == ["film.mp4", "film.sound.mp4", "film.sound.mp4.json", "film.wav", "film.wav.json"]
    assert (tmp_path / "film.mp4").read_bytes() == before


def test_a_second_run_over_a_folder_does_not_feed_on_the_first(bundle, tmp_path, capsys):
    write_video(tmp_path / "film.mp4", n_frames=5, rate=Fraction(10))
    Image.new("RGB", (64, 48)).save(tmp_path / "film.jpg")  # its thumbnail
    Image.new("RGB", (64, 48)).save(tmp_path / "still.png")
    command = ["generate", tmp_path, "-o", tmp_path, "--model", bundle, "--picture", "--duration", 0.3]
    assert run(*command) == 0
    made = ["film.png", "film.sound.mp4", "film.wav", "still.sound.png", "still.wav"]
    records = [f"{name}.json" for name in made]
    assert names(tmp_path) == sorted([*made, *records, "film.jpg", "film.mp4", "still.png"])
    capsys.readouterr()
    assert run(*command) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert all("done before" in line for line in lines)


def test_files_that_are_not_ours_are_kept_unless_forced(bundle, films, out, capsys):
    (out / "one.wav").write_bytes(b"the true recording")
    command = ["generate", films / "one.mp4", "-o", out, "--model", bundle, "--duration", 0.3, "--no-mux"]
    assert run(*command) == 2
    assert "one.wav: exists and was not written by EchoFrame; move it" in capsys.readouterr().err
    assert (out / "one.wav").read_bytes() == b"the true recording"
    assert run(*command, "--force") == 0
    assert soundfile.info(out / "one.wav").frames == 4800


def test_from_a_record_that_cannot_be_met_to_the_bit_says_what_changed(bundle, films, out, tmp_path, capsys):
    assert run("generate", films / "one.mp4", "-o", out / "a.wav", "--model", bundle, "--duration", 0.3) == 0
    record = json.loads((out / "a.wav.json").read_text())
    record["machine"]["versions"]["torch"] = "0.1"
    record["result"]["samples_sha256"] = "0" * 64
    (out / "a.wav.json").write_text(json.dumps(record))
    assert run("generate", "--from", out / "a.wav.json", "-o", tmp_path / "b.wav") == 0
    assert "not the same samples as then; changed: torch 0.1 -> " in capsys.readouterr().err
    assert run("generate", "--from", out / "a.wav.json", "-o", tmp_path / "b.wav", "--seed", 3, "--steps", 2) == 2
    assert "a.wav.json: a record fixes --seed, --steps; leave out either" in capsys.readouterr().err
    record["bundle"]["sha256"] = "0" * 64
    (out / "a.wav.json").write_text(json.dumps(record))
    assert run("generate", "--from", out / "a.wav.json", "-o", tmp_path / "b.wav") == 2
    assert "is not what the sound was made with, tiny-mini 0.1 (sha256 000000000000)" in capsys.readouterr().err


def test_a_fault_of_ours_costs_one_clip(bundle, films, out, capsys, monkeypatch):
    mux = results.mux

    def faulty(video: Path, *args: Any, **options: Any) -> tuple[str, ...]:
        if video.stem == "one":
            raise ZeroDivisionError("a fault")
        return mux(video, *args, **options)

    monkeypatch.setattr(results, "mux", faulty)
    command = ["generate", "-o", out, "--model", bundle, "--duration", 0.3]
    assert run(*command, films) == 1
    assert "one.mp4: unexpected ZeroDivisionError: a fault" in capsys.readouterr().err
    assert names(out) == ["two.mp4", "two.mp4.json", "two.wav", "two.wav.json"]
    assert run(*command, films / "one.mp4") == 1
    assert capsys.readouterr().err == "echoframe: unexpected ZeroDivisionError: a fault; --debug shows where\n"
    with pytest.raises(ZeroDivisionError):
        run(*command, films / "one.mp4", "--debug")


def test_a_film_that_the_named_container_cannot_hold_is_refused_at_once(bundle, films, out, capsys, monkeypatch):
    monkeypatch.setattr(pipeline.EchoFrame, "render", None)  # nothing is made for nothing
    assert run("generate", films / "one.mp4", "-o", out / "a.webm", "--model", bundle, "--duration", 0.3) == 2
    assert "a.webm: webm cannot hold h264 video; name it a.mp4 instead" in capsys.readouterr().err
    assert names(out) == []


def test_sounds_are_brought_to_the_loudness_asked_for(bundle, films, out):
    loud = {}
    for name, asked in (("usual", []), ("quiet", ["--loudness", "-40"]), ("made", ["--loudness", "off"])):
        assert run("generate", films / "one.mp4", "-o", out / f"{name}.flac", "--model", bundle, *asked) == 0
        samples, rate = soundfile.read(out / f"{name}.flac", dtype="float32")
        loud[name] = integrated_loudness(torch.from_numpy(samples)[None], rate)
        assert np.abs(samples).max() <= 10 ** (-1 / 20) or name == "made"
    assert loud["usual"] == pytest.approx(-23, abs=0.2)
    assert loud["quiet"] == pytest.approx(-40, abs=0.2)
    assert json.loads((out / "made.flac.json").read_text())["settings"]["loudness_lufs"] is None


def test_the_own_sound_is_mixed_under_and_recorded(bundle, out, tmp_path):
    write_video(tmp_path / "film.mp4", n_frames=10, rate=Fraction(10))
    command = ["generate", tmp_path / "film.mp4", "-o", out, "--model", bundle]
    assert run(*command, "--original-level", -6) == 0
    assert json.loads((out / "film.wav.json").read_text())["original_level_db"] == -6.0


def test_an_avi_becomes_a_container_that_players_know(bundle, out, tmp_path):
    write_video(tmp_path / "film.avi", n_frames=10, rate=Fraction(10), codec="mpeg4", options={})
    (tmp_path / "words.avi").write_text("no film")
    films = [tmp_path / "film.avi", tmp_path / "words.avi"]
    assert run("generate", *films, "-o", out, "--model", bundle, "--duration", 0.3) == 1
    assert names(out) == ["film.mp4", "film.mp4.json", "film.wav", "film.wav.json"]


@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9, 0.999])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_film_cut_off_anywhere_is_used_or_refused_but_never_half_done(share, suffix, bundle, tmp_path, out, capsys):
    write_video(tmp_path / f"whole{suffix}", n_frames=30, rate=Fraction(10))
    data = (tmp_path / f"whole{suffix}").read_bytes()
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(data[: int(share * len(data))])
    code = run("generate", cut, "-o", out, "--model", bundle, "--duration", 0.3)
    if code == 0:  # what is left of it can be shown: a container without its index at the end
        assert names(out) == sorted([f"cut{suffix}", f"cut{suffix}.json", "cut.wav", "cut.wav.json"])
    else:
        assert code == 2
        errors = capsys.readouterr().err.splitlines()
        assert len(errors) == 1
        assert f"cut{suffix}" in errors[0]
        assert names(out) == []


def test_clip_clap_audioldm_in_the_hubs_layout_with_the_bridge(films, out, tmp_path):
    write_tiny_clip_clap(tmp_path / "hubbish")
    command = ["generate", films / "one.mp4", "-o", out, "--model", tmp_path / "hubbish", "--picture"]
    assert run(*command, "--duration", 0.5, "--candidates", 2) == 0
    record = json.loads((out / "one.wav.json").read_text())
    assert len(record["result"]["nearest"]) == 5
    samples, _ = soundfile.read(out / "one.wav")
    assert np.isfinite(samples).all()
    assert len(samples) == 8000


BAD = [
    (["nothing.mp4"], "nothing.mp4: no such file"),
    (["empty"], "empty: there is no video or still image in this folder"),
    (["*.avi"], r"*.avi: matches no file; check the pattern"),
    (["text.mp4"], "text.mp4: "),
    (["zero.mp4"], "zero.mp4: "),
    (["zip.mp4"], "zip.mp4: "),
    (["cut.mp4"], "cut.mp4: "),
    (["sound.wav"], "sound.wav: no video stream (found: audio"),
    (["ok.mp4", "-o", "text.mp4/none"], "text.mp4: is a file, expected an output folder"),
    (
        ["ok.mp4", "-o", "out.wv"],
        'out.wv: suffix ".wv" is not a format that can be written; use one of .wav, .flac, .mp3',
    ),
    (["https://example.org/a.mp4"], "https://example.org/a.mp4: is an address, not a file; download it first"),
    (["-1pRmoJIGQc.mp4"], "-1pRmoJIGQc.mp4: a name that begins with a dash reads as an option; write ./-1pRm"),
    (["ok.mp4", "-o", "empty", "zip.mp4"], "unexpected zip.mp4; write all names next to each other"),
    (["ok.mp4", "-o", "ok.mp4"], "ok.mp4: would overwrite an input"),
    (["ok.mp4", "text.mp4", "-o", "one.wav"], "one.wav: is one output file, but there are 2 clips"),
    (["ok.mp4", "other/ok.mp4", "-o", "empty"], "would both make empty/ok.wav"),
    (["ok.mp4", "--duration", "0"], "duration 0.0 s: expected a number of seconds above 0"),
    (["ok.mp4", "--duration", "-3"], "duration -3.0 s: expected a number of seconds above 0"),
    (["ok.mp4", "--duration", "nan"], "duration nan s: expected a number of seconds above 0"),
    (["ok.mp4", "--duration", "4000"], "duration 4000 s: longer than 3600 s; use --force to allow it"),
    (["ok.mp4", "--steps", "0"], "steps 0: expected 1 to 1000"),
    (["ok.mp4", "--guidance", "-1"], "guidance -1.0: expected 0 or more"),
    (["ok.mp4", "--scheduler", "magic"], '"magic" is not known; choose one of ddim'),
    (["ok.mp4", "--original-level", "nan"], "original level nan dB: expected decibels, such as -12"),
    (["ok.mp4", "--loudness", "5"], "loudness 5.0 LUFS: expected -70 to 0; -23 is usual"),
    (["ok.mp4", "--loudness", "loud"], "argument --loudness: invalid lufs value: 'loud'"),
    (["ok.mp4", "--seed", "-1"], "seed -1: expected a whole number"),
    (["ok.mp4", "--seeds", "4-0"], "seeds 4-0: expected numbers such as 0-4 or 0,3,7, at most 1000 of them"),
    (["ok.mp4", "--seeds", "0-1000"], "seeds 0-1000: expected numbers such as"),
    (["ok.mp4", "--seeds", "1", "--samples", "2"], "seeds 1 and samples 2 exclude each other; leave out one"),
    (["ok.mp4", "--samples", "0"], "samples 0: expected 1 to 1000"),
    (["ok.mp4", "--candidates", "0"], "candidates 0: expected 1 to 64"),
    (["ok.mp4", "--model", "maxi"], '"maxi": no such model or directory; known models are mini, audioldm-s'),
    (["ok.mp4", "--model", "audioldm-s"], '"echoframe models pull audioldm-s" fetches it once'),
    (["ok.mp4", "--device", "cuda"], "cuda"),
    (["still.png", "-o", "empty/a.mp4"], "is a still image, so no video can be made of it"),
    (["--from", "text.mp4"], "text.mp4: not valid JSON"),
    ([], "no clip; give a video, a still image or a folder of them"),
    (
        ["ok.mp4", "--sedd", "3"],
        "no such option --sedd (did you mean --seed or --seeds?); see echoframe generate --help",
    ),
    (["ok.mp4", "--steps", "many"], "invalid int value: 'many'; see echoframe generate --help"),
]


@pytest.fixture(scope="session")
def bad_folder(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("bad")
    (folder / "empty").mkdir()
    (folder / "other").mkdir()
    write_video(folder / "ok.mp4", n_frames=10, rate=Fraction(10))
    write_video(folder / "other" / "ok.mp4", n_frames=10, rate=Fraction(10))
    (folder / "text.mp4").write_text("this is no film")
    (folder / "zero.mp4").touch()
    (folder / "zip.mp4").write_bytes(b"PK\x03\x04" + bytes(300))
    (folder / "cut.mp4").write_bytes((folder / "ok.mp4").read_bytes()[:60])
    soundfile.write(folder / "sound.wav", np.zeros(8000), 8000)
    Image.new("RGB", (32, 32)).save(folder / "still.png")
    return folder


@pytest.mark.parametrize(("args", "words"), BAD, ids=[" ".join(args) or "nothing" for args, _ in BAD])
def test_bad_input_is_one_line_and_writes_nothing(args, words, bad_folder, bundle, monkeypatch, capsys):
    monkeypatch.chdir(bad_folder)
    monkeypatch.setenv("HF_HUB_CACHE", str(bad_folder / "hub"))
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    before = sorted(bad_folder.rglob("*"))
    model = [] if "--model" in args else ["--model", str(bundle)]
    try:
        code = cli.main(["generate", *args, *model])
    except SystemExit as stop:  # argparse's own complaints
        code = stop.code
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert len(lines) == 1
    assert words in lines[0]
    assert sorted(bad_folder.rglob("*")) == before


@pytest.mark.parametrize("harm", ["missing", "resized", "flipped"])
def test_a_harmed_bundle_is_named(harm, films, out, tmp_path, capsys):
    write_tiny_mini(tmp_path / "harmed")
    weights = tmp_path / "harmed" / "mapper" / "model.safetensors"
    if harm == "missing":
        weights.unlink()
    else:
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data if harm == "flipped" else data[:-2])
    assert run("generate", films / "one.mp4", "-o", out, "--model", tmp_path / "harmed") == 2
    error = capsys.readouterr().err
    assert "mapper/model.safetensors" in error
    assert {"missing": "missing, expected", "resized": "bytes, expected", "flipped": "altered"}[harm] in error
    assert names(out) == []


def test_a_full_disk_leaves_nothing(bundle, films, out, capsys, monkeypatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run("generate", films / "one.mp4", "-o", out, "--model", bundle, "--duration", 0.2) == 2
    assert "the disk is full" in capsys.readouterr().err
    assert names(out) == []


def test_debug_shows_the_trace(bundle, films, out):
    with pytest.raises(OutputError, match="is not a format that can be written"):
        run("generate", films / "one.mp4", "-o", out / "none.wv", "--model", bundle, "--debug")


def test_interrupted_between_writing_leaves_no_half_file(bundle, films, out, capsys, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(results, "mux", interrupted)
    assert run("generate", films / "one.mp4", "-o", out, "--model", bundle, "--duration", 0.2) == 130
    assert "interrupted" in capsys.readouterr().err
    assert names(out) == []


@pytest.mark.parametrize(
    ("doing", "stop", "code"),
    [("importing", signal.SIGINT, 130), ("making", signal.SIGINT, 130), ("making", signal.SIGTERM, 143)],
)
def test_ctrl_c_and_kill_end_a_real_process(doing, stop, code, bundle, films, out, tmp_path):
    """How far the process is, it says itself: seconds mean something else on every machine."""
    command = [sys.executable, "-X", "importtime", "-m", "echoframe", "generate", films / "one.mp4", "-o", out]

    def is_at_work() -> bool:
        """Its name is in the lock by then."""
        return any(path.stat().st_size for path in out.glob(".lock"))

    with (tmp_path / "errors").open("w+") as errors:
        process = subprocess.Popen(
            [*command, "--model", bundle, "--steps", "1000", "--duration", "3000"],  # minutes of work
            stderr=errors,
            # a shell starts its background jobs with Ctrl-C ignored, and so all that runs below them
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        try:
            while not (" torch." in (tmp_path / "errors").read_text() if doing == "importing" else is_at_work()):
                assert process.poll() is None, (tmp_path / "errors").read_text()
                time.sleep(0.05)
            assert names(out) == ([] if doing == "importing" else [".lock"])
            process.send_signal(stop)
            # Python itself may end by the signal once it was interrupted within an exec; a shell says 130 to both
            assert process.wait(timeout=600) in (code, -stop), (tmp_path / "errors").read_text()
        finally:
            process.kill()
    assert names(out) == []


def test_a_library_that_makes_an_error_of_being_stopped_is_stopped_all_the_same(monkeypatch, capsys):
    def stopped_within(_: object) -> int:
        try:
            signal.raise_signal(signal.SIGTERM)
        except SystemExit as end:
            raise ValueError("could not determine the shape") from end
        return 0

    monkeypatch.setattr("echoframe.apps.generate.generate", stopped_within)
    before = signal.getsignal(signal.SIGTERM)
    try:
        assert run("generate", "a.mp4") == 143
    finally:
        signal.signal(signal.SIGTERM, before)
    assert capsys.readouterr().err == ""


def test_the_shortest_sound_has_a_picture_too(bundle, films, out):
    command = ["generate", films / "one.mp4", "-o", out, "--model", bundle, "--duration", 0.002, "--picture"]
    assert run(*command, "--candidates", 2, "--no-mux") == 0
    assert soundfile.info(out / "one.wav").frames == 32


def test_models_list_info_check(bundle, capsys):
    assert run("models", "list") == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in ("mini", "audioldm-s", "audioldm-m-vitb32"))
    assert run("models", "info", bundle) == 0
    assert "residual_mlp" in capsys.readouterr().out
    assert run("models", "check", bundle) == 0
    assert "mapper: residual_mlp, 2 files with the right size and sha256" in capsys.readouterr().out
    assert run("models", "pull", "mini") == 0
    assert "comes with the package" in capsys.readouterr().out
    assert run("models", "info", "maxi") == 2
    assert "known models are mini" in capsys.readouterr().err


def test_pulling_without_a_hub_says_how_to_go_on(monkeypatch, tmp_path, capsys):
    def unreachable(*_: object, **__: object) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("echoframe.bundles.hub.snapshot_download", unreachable)
    monkeypatch.setattr("echoframe.bundles.hub.HfApi.model_info", unreachable)
    assert run("models", "pull", "audioldm-s") == 2
    assert 'work without it: "mini" comes with the package' in capsys.readouterr().err


def test_version_and_no_command(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out.startswith("echoframe 0.")
    assert run() == 2
    assert "generate" in capsys.readouterr().out


def test_a_bar_on_a_terminal(bundle, films, out, monkeypatch, capsys):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert run("generate", films, "-o", out, "--model", bundle, "--duration", 0.2, "--no-mux") == 0
    assert "2/2" in capsys.readouterr().err


def test_help_loads_no_torch():
    code = (
        "import sys, echoframe\nfrom echoframe.apps.cli import main\n"
        "try:\n    main(['generate', '--help'])\nexcept SystemExit:\n    pass\n"
        "assert 'torch' not in sys.modules and 'numpy' not in sys.modules, 'heavy imports'"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_longer_sound_than_the_film_holds_the_last_frame(bundle, films, out):
    assert run("generate", films / "one.mp4", "-o", out, "--model", bundle, "--duration", 21, "--no-mux") == 0
    assert soundfile.info(out / "one.wav").frames == 21 * 16_000


def test_all_parts_of_a_long_film_are_seen(bundle, tmp_path):
    write_video(tmp_path / "long.mp4", n_frames=48, rate=Fraction(2))  # 24 s
    sound = load(bundle).generate(tmp_path / "long.mp4")
    assert sound.times_s == pytest.approx([1.5 + 3 * i for i in range(8)], abs=1.3)  # the middles of eight parts
    assert len({frame.mean() for frame in sound.frames}) == 8


def test_a_video_is_opened_five_times_at_most(bundle, films, out, monkeypatch):
    import av

    opened: list[str] = []
    plain = av.open

    def counted(file, *args, **more):
        opened.extend([str(file)] if "one.mp4" in str(file) and "w" not in (*args, more.get("mode")) else [])
        return plain(file, *args, **more)

    monkeypatch.setattr(av, "open", counted)
    assert run("generate", films / "one.mp4", "-o", out, "--model", bundle, "--duration", 12) == 0
    # to look at it, to watch it, to read every part's frames, to measure its length for the copy, to copy
    assert 0 < len(opened) <= 5, opened
