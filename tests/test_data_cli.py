"""`echoframe data` and `echoframe extract` as a user meets them, one command after the other."""

import json
import shutil
from fractions import Fraction
from pathlib import Path

import pytest

from echoframe.apps import cli
from echoframe.data.clip_list import read_clip_list
from echoframe.lock import exclusive_lock
from film_server import Films, serve
from planted_video import write_video
from tiny_bundles import write_tiny_mini

NAMES = ("aaaaaaaaaaa", "bbbbbbbbbbb", "ccccccccccc")


def run(*args: object) -> int:
    return cli.main([str(arg) for arg in args])


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, n_frames=50, rate=Fraction(5), tone_hz=440.0)


@pytest.fixture
def listed(tmp_path) -> Path:
    rows = [f"{NAMES[0]},0,dog barking,train", f"{NAMES[1]},0,cat purring,test", f"{NAMES[2]},0,dog barking,train"]
    (tmp_path / "list.csv").write_text("\n".join([*rows, rows[0]]) + "\n")
    return tmp_path / "list.csv"


def test_from_files_to_a_dataset(film, listed, tmp_path, capsys):
    for name in NAMES[:2]:
        (tmp_path / "mine").mkdir(exist_ok=True)
        shutil.copy(film, tmp_path / "mine" / f"{name}_0_10000.mp4")
    clips, tars, embedded, out = (tmp_path / name for name in ("clips", "tars", "embedded", "out"))
    assert run("data", "adopt", tmp_path / "mine", "-o", clips, "--list", listed) == 0
    said = capsys.readouterr()
    assert "2 adopted" in said.out
    assert "1 rows say the same as one before" in said.err
    assert run("data", "verify", clips) == 0
    assert "2 checked, 2 good" in capsys.readouterr().out
    assert run("data", "repair", clips) == 0
    assert "2 repaired" in capsys.readouterr().out
    figures, picture = tmp_path / "stats.json", tmp_path / "stats.png"
    assert run("data", "stats", clips, "--list", listed, "--json", figures, "--png", picture) == 0
    assert "2 of 3 clips" in capsys.readouterr().out
    assert json.loads(figures.read_text())
    assert picture.stat().st_size > 10_000
    assert run("data", "pack", clips, "-o", tars) == 0
    assert "2 clips in 2 tars" in capsys.readouterr().out
    assert run("data", "unpack", tars, "-o", tmp_path / "again", "--quiet") == 0
    assert "2 unpacked" in capsys.readouterr().out
    bundle = tmp_path / "bundle"
    write_tiny_mini(bundle)
    assert run("extract", clips, "-o", embedded, "--model", bundle, "--workers", 0) == 0
    assert "2 of 2 clips embedded (2 now), 0 failed" in capsys.readouterr().out
    ask = ("data", "publish", clips, "me/clips", "-o", out, "--embeddings", embedded, "--tars", tars, "--dry-run")
    assert run(*ask) == 0
    assert "(nothing was uploaded)" in capsys.readouterr().out
    assert (out / "README.md").is_file()
    assert sorted(path.name for path in (out / "embeddings").glob("*.parquet")) == [
        "test-00000.parquet",
        "train-00000.parquet",
    ]


def test_downloading_a_list(film, listed, tmp_path, capsys):
    served = Films({NAMES[0]: film, NAMES[1]: film})
    clips = tmp_path / "clips"
    with serve(served):
        url = f"{served.address}/{{id}}.mp4"
        assert run("data", "download", listed, "-o", clips, "--url", url, "--tries", 1) == 1
        said = capsys.readouterr()
        assert "2 done, 1 removed" in said.out
        assert f"{NAMES[2]}_000000: removed" in said.err
        assert run("data", "download", listed, "-o", clips, "--url", url) == 0
        served.films[NAMES[2]] = film
        assert run("data", "download", listed, "-o", clips, "--url", url, "--retry", "removed") == 0
    assert "3 done" in capsys.readouterr().out


def test_splitting_a_list(listed, tmp_path, capsys):
    assert run("data", "split", listed, "-o", tmp_path / "split.csv", "--val-share", 0.5) == 0
    assert "1 train, 1 val, 1 test" in capsys.readouterr().out
    assert len(read_clip_list(tmp_path / "split.csv").rows) == 3


def test_splitting_says_what_it_could_not_do(tmp_path, capsys):
    (tmp_path / "own.csv").write_text("a.mp4,creaking\nb.mp4,creaking\nc.mp4,dog barking\n")
    assert run("data", "split", tmp_path / "own.csv", "-o", tmp_path / "split.csv") == 0
    said = capsys.readouterr()
    assert "3 train, 0 val, 0 test" in said.out
    assert "own.csv: has no split column, or an empty one: no clip goes to test" in said.err
    assert "--val-share 0.05 of 3 videos gives no clip to val; raise it, or list more videos" in said.err
    assert 'own.csv: 2 clips have labels that VGGSound does not have: "creaking"' in said.err
    assert (tmp_path / "split.csv").read_text() == "a,creaking,train\nb,creaking,train\nc,dog barking,train\n"
    assert run("data", "split", tmp_path / "split.csv", "-o", tmp_path / "again.csv", "--val-share", 0.4) == 0
    said = capsys.readouterr()
    assert "2 train, 1 val, 0 test" in said.out
    assert "no split column" not in said.err


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("download", "{tmp}/own.csv", "-o", "{tmp}/x"), "door is not of a video site and cannot be downloaded; exp"),
        (("download", "-o", "{tmp}"), "give a list of clips, or --from-hub REPO"),
        (("download", "{list}", "-o", "{tmp}", "--from-hub", "a/b"), "one of the two"),
        (("download", "{list}", "-o", "{tmp}", "--retry", "never"), '"never": no such reason'),
        (("verify", "{tmp}/nowhere"), "no such folder; give the folder of echoframe data download"),
        (("stats", "{tmp}"), "not a clip folder; make one"),
        (("adopt", "{tmp}/nowhere", "-o", "{tmp}/x"), "give the folder that holds the clips"),
    ],
)
def test_mistakes_are_one_line(args, words, listed, tmp_path, capsys):
    (tmp_path / "own.csv").write_text("door.wav,dog barking\n")
    assert run("data", *(arg.format(tmp=tmp_path, list=listed) for arg in args)) == 2
    said = capsys.readouterr().err.strip()
    assert words in said
    assert "\n" not in said.replace("echoframe: ", "", 1) or said.count("echoframe: ") == len(said.splitlines())


def test_a_folder_in_use(listed, tmp_path, capsys):
    with exclusive_lock(tmp_path / "clips", "echoframe data download"):
        assert run("data", "verify", tmp_path / "clips") == 2
    assert "in use by echoframe data download" in capsys.readouterr().err


def test_too_many_failures_end_with_one(tmp_path, capsys):
    bundle, films = tmp_path / "bundle", tmp_path / "films"
    write_tiny_mini(bundle)
    films.mkdir()
    (films / "broken.mp4").write_bytes(b"no film")
    assert run("extract", films, "-o", tmp_path / "out", "--model", bundle, "--workers", 0) == 1
    said = capsys.readouterr()
    assert "0 of 1 clips embedded (0 now), 1 failed, 1 at decode" in said.out
    assert "more than --max-failed 0.05" in said.err


def test_refused_by_everybody(film, listed, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("echoframe.data.download.GIVE_UP_AFTER", 2)
    served = Films({name: film for name in NAMES})
    served.statuses = dict.fromkeys(NAMES, 403)
    with serve(served):
        url = f"{served.address}/{{id}}.mp4"
        assert run("data", "download", listed, "-o", tmp_path / "c", "--url", url, "--tries", 1, "--workers", 1) == 2
    assert "one clip after the other was refused; wait some hours" in capsys.readouterr().err
