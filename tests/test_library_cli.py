"""`echoframe library`: add, search by film, text and sound, info, remove, check; one line for each failure."""

import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from echoframe.apps import cli
from echoframe.apps import library as command
from fakes import fake_model
from planted_sounds import RATE, click_at, noise, tone
from planted_video import BLUE, RED, write_video

pytest.importorskip("sqlite_vec")
PAGE = (Path(__file__).parents[1] / "docs" / "library.md").read_text(encoding="utf-8")


@pytest.fixture(autouse=True)
def loaded(monkeypatch) -> list[object]:
    """What models were asked for; all are the fake one."""
    asked: list[object] = []
    monkeypatch.setattr(command, "load", lambda name, device: asked.append(name) or fake_model())
    monkeypatch.setattr("echoframe.apps.generate.load", lambda name, **_: fake_model())
    return asked


@pytest.fixture
def sounds(tmp_path) -> Path:
    folder = tmp_path / "sounds"
    folder.mkdir()
    soundfile.write(folder / "a door slams.wav", tone(1.0, 30), RATE)
    soundfile.write(folder / "wind.flac", noise(9.0, 0.1), RATE)
    soundfile.write(folder / "clicks.wav", click_at([0.5, 1.5], 2.5), RATE)
    return folder


@pytest.fixture
def library(tmp_path, sounds) -> Path:
    assert run("add", sounds, "-o", tmp_path / "my.library", "--quiet") == 0
    return tmp_path / "my.library"


def run(*args: object) -> int:
    return cli.main(["library", *map(str, args)])


def refused(capsys: pytest.CaptureFixture[str], *args: object) -> str:
    capsys.readouterr()
    assert run(*args) == 2
    (line,) = capsys.readouterr().err.splitlines()
    return line


def test_files_are_added_and_what_is_lost_is_told(tmp_path, sounds, capsys, loaded):
    path = tmp_path / "my.library"
    assert run("add", sounds, "-o", path) == 0
    found = capsys.readouterr()
    assert found.out == f"{path}: 3 files (3 new, 0 known, 0 moved, 0 duplicates), 0 lost\n"
    assert found.err == "3 of 3 files done, 0 failed\n"
    assert loaded == ["mini"]
    (sounds / "empty.mp3").write_bytes(b"")
    shutil.copy(sounds / "wind.flac", sounds / "same.flac")
    assert run("add", sounds, "-o", path, "--workers", 1) == 1
    found = capsys.readouterr()
    assert found.out == f"{path}: 5 files (1 new, 3 known, 0 moved, 1 duplicates), 1 lost (1 broken)\n"
    assert f"echoframe: {sounds}/empty.mp3: broken: is empty (0 bytes)" in found.err
    assert loaded == ["mini", "fake"]  # the library's own


def test_a_table_of_what_is_said(library, sounds, capsys):
    capsys.readouterr()
    assert run("search", library, "door slams", "--top", 1) == 0
    head, row = capsys.readouterr().out.splitlines()
    assert head.split() == ["score", "begins", "ends", "kind", "LUFS", "file"]
    score, begins, ends, kind, _, *file = row.split()
    assert (begins, ends, kind, " ".join(file)) == ("0.00", "1.00", "event", str(sounds / "a door slams.wav"))
    assert float(score) == 1.0
    assert head.index("file") == row.index(str(sounds))
    assert run("search", library, "zebras") == 0
    assert capsys.readouterr().out == "nothing fits\n"


def test_a_film_is_answered_shot_by_shot(tmp_path, library, capsys):
    images = [picture(colour) for colour in (RED, BLUE) for _ in range(50)]
    film = write_video(tmp_path / "film.mp4", images=images)
    capsys.readouterr()
    assert run("search", library, film, "--top", 2, "--json") == 0
    (line,) = capsys.readouterr().out.splitlines()
    values = json.loads(line)
    assert values["query"] == str(film)
    assert [(part["start_s"], part["stop_s"]) for part in values["parts"]] == [(0.0, 2.0), (2.0, 4.0)]
    for part in values["parts"]:
        assert len(part["found"]) == 2
        assert part["found"][0]["score"] >= part["found"][1]["score"]
    assert run("search", library, film, "--top", 1) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("shot")] == ["shot 1, 0.00 to 2.00 s", "shot 2, 2.00 to 4.00 s"]
    assert len(lines) == 7


def picture(colour: tuple[int, int, int]):
    image = np.empty((48, 64, 3), dtype=np.uint8)
    image[:] = colour
    return image


def test_a_sound_finds_its_like(tmp_path, library, sounds, capsys):
    soundfile.write(tmp_path / "like.wav", tone(2.0, 31), RATE)
    capsys.readouterr()
    assert run("search", library, tmp_path / "like.wav", "--top", 1, "--json") == 0
    ((found,),) = [part["found"] for part in json.loads(capsys.readouterr().out)["parts"]]
    assert (found["file"], found["kind"], found["sample_rate"]) == (str(sounds / "a door slams.wav"), "event", RATE)
    assert found["words"] == {"folder": "sounds", "name": "a door slams"}
    assert found["score"] == found["similarity"] > 0.99
    assert found["loop_s"] is None


def test_info_remove_and_check(tmp_path, library, sounds, capsys):
    capsys.readouterr()
    assert run("check", library) == 0
    assert capsys.readouterr().out == f"{library}: 3 files, all as they were\n"
    assert run("info", library) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"{library}: 3 files, 0.2 minutes of sound, ")
    assert lines[1:] == [
        "  3 events, 1 ambiences",
        '  audio space "fake" (4) of fake 1, loaded as fake',
        f"  {sounds}",
    ]
    (sounds / "wind.flac").unlink()
    assert run("check", library) == 1
    assert capsys.readouterr().out == f"{sounds / 'wind.flac'}: is not there any more\n"
    run("add", sounds, "-o", library, "--quiet")
    capsys.readouterr()
    assert run("info", library, "--json") == 0
    values = json.loads(capsys.readouterr().out)
    assert (values["n_files"], values["n_lost"], values["n_ambiences"]) == (2, {"vanished": 1}, 0)
    assert values["folders"] == [str(sounds)]
    assert run("info", library) == 0
    assert "  lost: 1 vanished" in capsys.readouterr().out.splitlines()
    assert run("remove", library, sounds / "wind.flac") == 0
    assert capsys.readouterr().out == f"{library}: 1 files forgotten; none was deleted\n"
    assert run("check", library) == 0


def test_of_many_folders_those_are_named_that_they_lie_in(tmp_path, capsys):
    for number in range(9):
        folder = tmp_path / "corpus" / f"label {number}" / "train"
        folder.mkdir(parents=True)
        (folder / "empty.wav").touch()
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "empty.wav").touch()
    path = tmp_path / "my.library"
    assert run("add", tmp_path / "corpus", tmp_path / "own", "-o", path, "--quiet") == 1
    capsys.readouterr()
    assert run("info", path) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [f"  {tmp_path / 'corpus'}", f"  {tmp_path / 'own'}"]
    assert run("info", path, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["folders"]) == 10


def test_what_cannot_be_done_is_one_line(tmp_path, library, sounds, capsys):
    for args, words in (
        (["add", sounds / "none", "-o", library], "none: no such file or folder; give sound files, films"),
        (["add", sounds, "-o", library, "--workers", 0], "--workers 0; expected 1 or more processes"),
        (["add", sounds, "-o", tmp_path / "no" / "my.library"], "is not there; make it, or choose another name"),
        (["search", library, "no film.mp4"], "no film.mp4: no such file; give the path of a video or a still image"),
        (["search", library, "rain", "--top", 0], "k 0; expected a number of pieces from 1"),
        (["search", tmp_path / "none.library", "rain"], "none.library: no such library; make one with echoframe"),
        (["info", sounds / "clicks.wav"], "clicks.wav: not a library of sounds"),
        (["add", sounds, "-o", sounds / "clicks.wav"], "clicks.wav: not a library of sounds"),
        (["remove", library, tmp_path / "none"], "none: the library knows nothing there"),
        (["check", tmp_path / "none.library"], "no such library; make one with echoframe library add FOLDER"),
    ):
        assert words in refused(capsys, *args)
    assert soundfile.info(sounds / "clicks.wav").duration == 2.5


def test_a_run_that_is_interrupted_is_gone_on_with(tmp_path, sounds, capsys, monkeypatch):
    from echoframe.library import examine as examining

    listen, heard = examining.listen, []

    def until_two(path, **lies):
        if len(heard) == 2:
            raise KeyboardInterrupt
        heard.append(path.name)
        return listen(path, **lies)

    path = tmp_path / "my.library"
    monkeypatch.setattr(examining, "listen", until_two)
    assert run("add", sounds, "-o", path) == 130
    monkeypatch.setattr(examining, "listen", listen)
    capsys.readouterr()
    assert run("add", sounds, "-o", path) == 0
    assert capsys.readouterr().out == f"{path}: 3 files (1 new, 2 known, 0 moved, 0 duplicates), 0 lost\n"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def home(tmp_path, sounds, monkeypatch) -> Path:
    """What the page on libraries takes for granted."""
    for name in ("more", "sounds/old"):
        (tmp_path / name).mkdir()
    for name in ("more/door.wav", "sounds/old/rain.wav", "other.wav"):
        soundfile.write(tmp_path / name, tone(1.0, 40), RATE)
    write_video(tmp_path / "film.mp4", n_frames=25)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands_of_the_page_work_one_after_the_other(home, capsys):
    lines = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("echoframe ")]
    assert len(lines) == 11
    for line in lines:
        assert cli.main(shlex.split(line)[1:]) == 0, line
    assert capsys.readouterr().out.splitlines()[-1] == "my.library: 1 files forgotten; none was deleted"
    assert (home / "sounds" / "old" / "rain.wav").exists()


def test_the_python_of_the_page_works(home, monkeypatch):
    monkeypatch.setattr("echoframe.load", lambda name: fake_model(), raising=False)
    (example,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(example, "library.md", "exec"), names)  # noqa: S102
    assert names["rate"] == RATE
