"""Sounds that a studio makes of its libraries."""

import io
from fractions import Fraction
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx
import numpy as np
import opentimelineio
import pytest
import soundfile

from echoframe.apps.cli import main
from echoframe.apps.web import named
from echoframe.errors import InputError
from echoframe.library import Library
from fakes import fake_model
from planted_sounds import RATE
from planted_video import write_video
from shelves import write_shelf
from studios import served, studio_in

pytest.importorskip("sqlite_vec")


@pytest.fixture(scope="module")
def shelf(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("libraries") / "kitchen"
    folder.mkdir()
    return write_shelf(folder, fake_model())


@pytest.fixture(scope="module")
def base(tmp_path_factory, shelf):
    with served(studio_in(tmp_path_factory.mktemp("studio") / "own", kitchen=shelf)) as base:
        yield base


def post(base: str, film: Path, **fields: str) -> httpx.Response:
    return httpx.post(f"{base}/v1/sounds", files={"film": (film.name, film.read_bytes())}, data=fields, timeout=60)


def test_a_sound_of_a_library_has_stems_and_a_timeline_of_its_recordings(base, shelf, tmp_path):
    film = write_video(tmp_path / "film.mp4", n_frames=16, rate=Fraction(8))
    answer = post(base, film, library="kitchen").json()
    assert answer["record"]["settings"]["library"] == "kitchen"
    assert answer["record"]["settings"]["sync"] == 0.5
    layers = {"ambience", "events"}
    assert set(answer["files"]) == {"sound", "film", "record", "timeline", "picture", *layers}
    got = {what: httpx.get(base + address).content for what, address in answer["files"].items()}
    samples, rate = soundfile.read(io.BytesIO(got["sound"]))
    assert (rate, samples.shape) == (RATE, (2 * RATE, 2))
    stems = sum(soundfile.read(io.BytesIO(got[layer]))[0] for layer in layers)
    assert np.abs(stems - samples).max() < 1e-3
    timeline = opentimelineio.adapters.read_from_string(got["timeline"].decode(), "otio_json")
    (film_url,) = {clip.media_reference.target_url for clip in timeline.video_tracks()[0].find_clips()}
    assert film_url == "film.s0.mp4"  # beside it
    for track in timeline.audio_tracks():
        for clip in track.find_clips():
            path = Path(url2pathname(urlsplit(clip.media_reference.target_url).path))
            assert path.parent == shelf.with_suffix("")  # where the recordings are
            assert path.is_file()


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"library": "attic"}, 'library "attic": this studio has no such library; it has kitchen'),
        ({"blend": "0.5"}, "blend 0.5: there is no library whose recordings could be varied"),
    ],
)
def test_no_other_library_can_be_asked_for(base, tmp_path, fields, words):
    film = write_video(tmp_path / "film.mp4", n_frames=2)
    answer = post(base, film, **fields)
    assert answer.status_code == 422
    assert words in answer.json()["error"]


def test_the_path_of_a_library_is_no_name(base, shelf, tmp_path):
    film = write_video(tmp_path / "film.mp4", n_frames=2)
    assert "this studio has no such library" in post(base, film, library=str(shelf)).json()["error"]


def test_a_studio_without_libraries_says_so(tmp_path):
    with pytest.raises(InputError, match="it has none: start it with --library"):
        studio_in(tmp_path / "own").library("kitchen")


def test_two_libraries_of_one_name_are_refused():
    assert named(["a/kitchen.library", "street.library"]).keys() == {"kitchen", "street"}
    with pytest.raises(InputError, match="has the same name; rename one of the two"):
        named(["a/kitchen.library", "b/kitchen.library"])


def test_a_library_that_cannot_be_used_is_named_at_the_start(shelf, tmp_path, capsys):
    words = ["web", "--port", "0", "--folder", str(tmp_path / "own")]
    assert main([*words, "--library", str(tmp_path / "none.library")]) == 2
    assert "none.library: no such library; make one with echoframe library add" in capsys.readouterr().err
    assert main([*words, "--model", "mini", "--library", str(shelf)]) == 2
    assert str(shelf) in capsys.readouterr().err


def test_what_was_asked_of_a_library_is_closed_again(base, shelf, tmp_path):
    film = write_video(tmp_path / "film.mp4", n_frames=2)
    assert post(base, film, library="kitchen").status_code == 200
    with Library.open(shelf, fake_model()) as library:  # nobody holds it
        library.add(shelf.with_suffix(""))
