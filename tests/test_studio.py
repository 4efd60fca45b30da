"""The studio over HTTP and in its parts, with a model of fakes: what visitors get, and what they do not."""

import inspect
import io
import json
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import tomllib
import zipfile
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import gradio
import httpx
import numpy as np
import opentimelineio
import pytest
import soundfile
import torch
from PIL import Image

from echoframe.apps.cli import build_parser, main
from echoframe.encoders import VisualEncoder
from echoframe.errors import InputError, OutputError
from echoframe.media.containers import SAMPLE_RATE
from echoframe.media.demux import film_span
from echoframe.media.own_sound import read_own_sound
from echoframe.options import Request
from echoframe.studio import api, finishing, limits, remembered, sitting
from echoframe.studio.events import Events
from echoframe.studio.finishing import finish, mix
from echoframe.studio.hiding import hidden
from echoframe.studio.limits import Limits
from echoframe.studio.line import FullError, Line
from echoframe.studio.looking import bring_film, look, seen_before
from echoframe.studio.making import Stopped, Waiting, in_steps, make
from echoframe.studio.many import make_many
from echoframe.studio.quick_import import without_stubs
from echoframe.studio.remembered import remembering
from echoframe.studio.sitting import Made, Sitting, Sittings, private
from echoframe.timing.watch import watch
from fakes import fake_model
from planted_video import write_video
from studios import HeldGenerator, served, started, studio_in, until

SOUNDS = "/v1/sounds"


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """2 s."""
    return write_video(tmp_path_factory.mktemp("films") / "my film.mp4", n_frames=16, rate=Fraction(8))


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A studio that takes 1 MB and ten minutes, and its address."""
    studio = studio_in(tmp_path_factory.mktemp("studio") / "own", limits=Limits(upload_mb=1.0))
    with served(studio) as base:
        yield studio, base


def file_of(own: Sitting, made: Made, what: str) -> Path:
    path = own.path(made.number, made.files[what])
    assert path is not None
    return path


def post(base: str, path: Path | None = None, **fields) -> httpx.Response:
    files = {"film": (path.name, path.read_bytes())} if path else None
    return httpx.post(base + SOUNDS, data=fields, files=files, timeout=120)


def test_a_form_becomes_a_sound_whose_files_can_be_fetched(site, film):
    _, base = site
    answer = post(base, film, seed="7", prompt_weight="0.5", rank=["time=0.5", "target=2"]).json()
    assert answer["record"]["input"]["path"] == film.name  # no folder of the server's
    assert answer["record"]["settings"]["seed"] == 7
    assert answer["record"]["settings"]["rank"] == {"time": 0.5, "target": 2.0}
    assert set(answer["files"]) == {"sound", "film", "record", "timeline", "picture"}
    files = {what: httpx.get(base + address) for what, address in answer["files"].items()}
    assert all(each.status_code == 200 for each in files.values())
    samples, rate = soundfile.read(io.BytesIO(files["sound"].content))
    assert len(samples) / rate == 2.0
    assert np.abs(samples).max() > 0.01
    timeline = opentimelineio.adapters.read_from_string(files["timeline"].text, "otio_json")
    # beside it, wherever that is
    wanted = {quote("my film.s7.mp4"), quote("my film.s7.wav")}
    assert {clip.media_reference.target_url for clip in timeline.find_clips()} == wanted
    assert Image.open(io.BytesIO(files["picture"].content)).size == (960, 184)
    assert json.loads(files["record"].text) == answer["record"]
    part = httpx.get(base + answer["files"]["film"], headers={"Range": "bytes=0-99"})
    assert (part.status_code, len(part.content)) == (206, 100)  # so that players can jump


def test_words_and_pictures_and_an_example_have_sounds_too(site, tmp_path):
    _, base = site
    Image.new("RGB", (60, 40), (200, 30, 30)).save(tmp_path / "red.png")
    tone = 0.3 * np.sin(np.arange(1000) / 3)
    soundfile.write(tmp_path / "tone.wav", tone, 1000)
    with (tmp_path / "red.png").open("rb") as still, (tmp_path / "tone.wav").open("rb") as like:
        answer = httpx.post(
            base + SOUNDS, files={"film": still, "like": like}, data={"duration_s": "1"}, timeout=60
        ).json()
    assert set(answer["files"]) == {"sound", "record", "picture", "still"}
    assert answer["record"]["settings"]["like"] == answer["record"]["example"]["path"] == "tone.wav"
    assert answer["record"]["result"]["n_samples"] == 1000


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"sed": "3"}, 'no such field "sed"; there are film, like'),
        ({"seed": "many"}, 'seed: "many" cannot be read; expected a whole number'),
        ({"whole": "maybe"}, 'whole: "maybe" cannot be read; expected true or false'),
        ({"prompt": "hum", "library": "a.b"}, 'library "a.b": this studio has no such library'),
        ({"prompt": "hum", "duration_s": "1e300"}, "the sound: lasts more than 1000 minutes"),
        ({"variation": "2"}, "variation 2.0: expected a number from 0 to 1"),
        ({"film": "clip.mp4"}, "film: is text, expected a file; with curl, write film=@FILE"),
        ({"seed": "1"}, "neither a film nor words: send film=@FILE, or a prompt"),
        ({"prompt": "blargh", "duration_s": "1"}, "blargh"),
        (
            {"prompt": "hum", "duration_s": "2400"},
            "the sound: lasts 40:00, longer than the 10:00 that this studio takes",
        ),
    ],
)
def test_what_cannot_be_asked_for_is_said_in_one_line(site, fields, words):
    _, base = site
    answer = post(base, **fields)
    assert answer.status_code == 422
    assert words in answer.json()["error"]
    assert "\n" not in answer.json()["error"]


def test_an_example_that_cannot_be_heard_is_named_by_its_own_name(site, film):
    _, base = site
    for like, words in ((b"", "my tone.wav: "), (b"no sound", "my tone.wav: ")):
        files = {"film": (film.name, film.read_bytes()), "like": ("my tone.wav", like)}
        answer = httpx.post(base + SOUNDS, files=files, data={"duration_s": "1"}, timeout=60)
        assert answer.status_code == 422
        assert answer.json()["error"].startswith(words)
        assert "sittings" not in answer.json()["error"]


@pytest.mark.parametrize("letter", ["\U00020000", "日", "a"])
def test_a_long_name_is_shortened(site, film, letter):
    _, base = site
    files = {"film": (f"{letter * 90}.mp4", film.read_bytes())}
    answer = httpx.post(base + SOUNDS, files=files, data={"seed": str(2**63 - 1), "duration_s": "1"}, timeout=60)
    assert answer.status_code == 200
    name = answer.json()["record"]["input"]["path"]
    assert name.startswith(letter)
    assert 80 < len(name.encode()) <= 124


def test_a_sound_that_cannot_be_kept_is_said_without_the_server_s_folders(tmp_path, film, monkeypatch):
    studio = studio_in(tmp_path / "own")
    own = studio.sittings.new()
    sound = studio.model.generate(film)
    for error in (OutputError(f"{own.folder}/made/x.wav: cannot be written (full)"), OSError(28, "full", "/own/x")):
        monkeypatch.setattr(finishing, "write_results", lambda *_, error=error: raises(error))
        with hidden(own.folder), pytest.raises(OutputError, match="its sound cannot be kept on this server") as raised:
            finish(own, film, sound, "my film.mp4")
        assert "full" in str(raised.value)
    assert not own.made()


def raises(error: Exception) -> None:
    raise error


def test_a_file_is_no_value(site):
    _, base = site
    answer = httpx.post(base + SOUNDS, files={"seed": ("seed.txt", b"3")})
    assert "seed: is a file, expected a value" in answer.json()["error"]


def test_an_upload_that_is_no_film_and_one_of_forty_minutes_are_named_by_their_own_names(site, tmp_path):
    studio, base = site
    (tmp_path / "notes.mp4").write_text("no film at all")
    answer = post(base, tmp_path / "notes.mp4")
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("notes.mp4: ")
    long = write_video(tmp_path / "long.mp4", n_frames=4, rate=Fraction(1, 600))
    answer = post(base, long)
    assert answer.json()["error"] == (
        "long.mp4: lasts 40:00, longer than the 10:00 that this studio takes; cut it into shorter parts"
    )
    assert not list((studio.sittings.root / "sittings").glob("*/film/long.mp4"))


@pytest.mark.parametrize("is_announced", [True, False])
def test_an_upload_that_is_too_large_is_refused_before_it_is_all_there(site, is_announced):
    _, base = site
    head = b'--b\r\nContent-Disposition: form-data; name="film"; filename="film.mp4"\r\n\r\n'
    body = head + b"x" * 3_000_000
    for path in (SOUNDS, "/gradio_api/upload"):
        sent = body if is_announced else (body[n : n + 100_000] for n in range(0, len(body), 100_000))
        answer = httpx.post(base + path, content=sent, headers={"Content-Type": "multipart/form-data; boundary=b"})
        assert answer.status_code == 413
        words = (
            "larger than the 1 MB that this studio takes" if is_announced or path == SOUNDS else "maximum allowed size"
        )
        assert words in answer.text  # the second is Gradio's own, which its page shows before it sends anything


def test_a_file_within_a_form_that_is_too_large_is_named(site, film, tmp_path):
    studio, _ = site
    large = tmp_path / "large.mp4"
    large.write_bytes(film.read_bytes() + b"\0" * 1_100_000)
    with pytest.raises(InputError, match="large.mp4: The file is larger than the 1 MB that this studio takes"):
        bring_film(studio.sittings.new(), large, studio.limits)


def test_nobody_reaches_another_s_files(site, film):
    studio, base = site
    with ThreadPoolExecutor(2) as pool:  # two at once
        mine, theirs = pool.map(lambda seed: post(base, film, seed=seed).json(), ("1", "2"))
    assert mine["record"]["settings"]["seed"], theirs["record"]["settings"]["seed"] == (1, 2)
    _, _, token, number, name = theirs["files"]["sound"].split("/")
    own = mine["files"]["sound"].split("/")[2]
    assert token != own
    assert len(token) == 43  # 256 bits
    inside = studio.sittings.root / "sittings" / token / "made" / number / "made.json"
    assert inside.is_file()
    tried = [
        f"/kept/{own}/{number}/{name}",
        f"/kept/{own}/1/..%2f..%2f..%2f{token}%2fmade%2f1%2fmade.json",
        f"/kept/{own}/1/%2e%2e/%2e%2e/seen.json",
        f"/kept/{own}/1/made.json",
        f"/kept/{token}/{number}/made.json",
        f"/kept/{token[:-1]}/{number}/{name}",
        f"/kept/../sittings/{token}/made/{number}/made.json",
        f"/kept/{token}/../../lock",
        f"/gradio_api/file={inside}",
        f"/gradio_api/file={studio.sittings.uploads}/../sittings/{token}/made/{number}/made.json",
        f"/gradio_api/file={studio.sittings.uploads}",
        "/gradio_api/file=/etc/hosts",
        "/gradio_api/file=../../../../etc/hosts",
        "/gradio_api/file=http://127.0.0.1/",
        f"/gradio_api/file=http%3A//{urlsplit(base).netloc}/",
        "/gradio_api/proxy=http://127.0.0.1/",
        "/gradio_api/file/etc/hosts",
        "/monitoring",
        "/gradio_api/runs",
        "/gradio_api/deep_link",
        "/docs",
        "/sittings",
        "/..%2f..%2fetc/hosts",
    ]
    for path in tried:
        assert asked_as_it_is(base, path) in (403, 404), path


def asked_as_it_is(base: str, path: str) -> int:
    """The status of an address that an HTTP library would tidy up."""
    with connected(base) as line:
        line.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        return int(line.makefile("rb").readline().split()[1])


def connected(base: str) -> socket.socket:
    address = urlsplit(base)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def test_a_program_cannot_make_the_page_read_a_file_of_the_server(site, film):
    """Gradio takes the path of an upload from whoever asks."""
    studio, base = site
    theirs = studio.sittings.new()
    secret = theirs.bring(film, "film")
    for path in (secret, "/etc/hosts", "https://example.org/film.mp4"):
        asked = {"data": [{"path": str(path), "meta": {"_type": "gradio.FileData"}}, "", "", 1, 0]}
        event = httpx.post(f"{base}/gradio_api/call/sounds", json=asked).json()["event_id"]
        said = httpx.get(f"{base}/gradio_api/call/sounds/{event}", timeout=30).text
        assert "event: error" in said
        assert "event: complete" not in said
    assert "Addresses are not fetched" in said


def test_twelve_at_once_are_made_one_after_another_and_those_too_many_are_told(tmp_path, film):
    held = HeldGenerator()
    studio = studio_in(tmp_path / "own", fake_model(generator=held), limits=Limits(queue=4))
    with served(studio) as base, ThreadPoolExecutor(12) as pool:
        asked = [pool.submit(post, base, film, seed=str(n)) for n in range(12)]
        until(lambda: sum(each.done() for each in asked) == 7)
        held.go.set()
        answers = [each.result() for each in asked]
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [503] * 7
    refused = next(answer for answer in answers if answer.status_code == 503)
    assert "4 others wait already, which is all there is room for" in refused.json()["error"]
    assert int(refused.headers["Retry-After"]) > 0
    assert len({len(call["seeds"]) for call in held.calls}) == 1


def test_who_hangs_up_is_no_longer_worked_for(tmp_path, film):
    held = HeldGenerator()
    studio = studio_in(tmp_path / "own", fake_model(generator=held))
    with served(studio) as base:
        sent = httpx.Request("POST", base + SOUNDS, files={"film": film.read_bytes()})
        headers = "".join(f"{name}: {value}\r\n" for name, value in sent.headers.items())
        with connected(base) as line:
            line.sendall(f"POST {SOUNDS} HTTP/1.1\r\n{headers}\r\n".encode() + sent.read())
            assert held.begun.wait(60)
        until(lambda: not list((studio.sittings.root / "sittings").iterdir()))  # stopped, and nothing is left


def test_a_login_is_asked_for_everywhere(tmp_path):
    with served(studio_in(tmp_path / "own"), login="me:secret") as base:
        for path in ("/", SOUNDS, "/config", "/gradio_api/info", "/kept/a/1/b"):
            assert httpx.get(base + path).status_code == 401
            assert httpx.get(base + path, auth=("me", "guess")).status_code == 401
        assert httpx.get(base + "/", auth=("me", "secret")).status_code == 200


def test_the_page_may_load_nothing_from_elsewhere(site):
    _, base = site
    answer = httpx.get(base)
    assert answer.headers["content-security-policy"].startswith("default-src 'self'")
    assert "http" not in answer.headers["content-security-policy"]
    assert answer.headers["referrer-policy"] == "no-referrer"
    config = httpx.get(f"{base}/config").json()
    assert config["analytics_enabled"] is False
    public = [each["api_name"] for each in config["dependencies"] if each["api_visibility"] == "public"]
    assert sorted(public) == ["look", "sounds"]  # what the page does is not offered to programs


def test_the_interface_is_described_from_the_options(site):
    _, base = site
    described = httpx.get(f"{base}/v1/openapi.json").json()
    schema = described["paths"][SOUNDS]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(schema["properties"]) == {"film", *Request.__dataclass_fields__} - {"prompts"}
    assert "0 to 1" in schema["properties"]["sync"]["description"]
    assert schema["properties"]["labels"]["type"] == "array"
    page = httpx.get(f"{base}/v1").text
    assert "<script" not in page
    assert "//" not in page.replace("http://127.0.0.1:7860", "")
    assert all(f"<code>{name}</code>" in page for name in schema["properties"])


def test_the_line_is_fair_and_says_how_many_are_ahead():
    line, order = Line(2), list[int]()
    with line.place() as first, line.place() as second, line.place() as third:
        assert [each.ahead for each in (first, second, third)] == [0, 1, 2]
        assert first.wait(0)
        assert not second.wait(0.01)
        with pytest.raises(FullError, match="2 others wait already, which is all there is room for"), line.place():
            order.append(0)
    with line.place() as again:
        assert again.wait(0)
    assert not order


def test_who_waits_hears_their_place_and_can_leave(tmp_path, film):
    studio, told, stop = studio_in(tmp_path / "own"), list[object](), threading.Event()

    def tell(step: object) -> None:
        told.append(step)
        stop.set()

    with studio.line.place(), pytest.raises(Stopped):
        make(studio, studio.sittings.new(), film, Request(), takes=1, stop=stop, tell=tell)
    assert told == [Waiting(1)]


def test_a_stop_keeps_what_is_finished(tmp_path, film):
    studio = studio_in(tmp_path / "own")
    own = studio.sittings.new()
    bring_film(own, film, studio.limits)
    made: list[Made] = []

    def work(stop, tell):
        make(studio, own, own.film, Request(seed=3), takes=4, stop=stop, tell=tell)

    def run():
        for step in in_steps(studio, own, work):
            if isinstance(step, Made):
                made.append(step)
                if len(made) == 2:
                    own.stop.set()

    with pytest.raises(Stopped):
        run()
    assert [each.seed for each in made] == [3, 4]
    assert own.made() == made
    assert made[0].scores.keys() == {"target", "soundness"}


def test_a_film_stays_until_its_sounds_are_made_though_another_is_brought(tmp_path, film):
    studio = studio_in(tmp_path / "own")
    own, made = studio.sittings.new(), list[Made]()
    bring_film(own, film, studio.limits)
    other = write_video(tmp_path / "other.mp4", n_frames=8, rate=Fraction(8))

    def tell(step: object) -> None:
        if isinstance(step, Made):
            made.append(step)
            bring_film(own, other, studio.limits)

    make(studio, own, own.film, Request(), takes=3, stop=threading.Event(), tell=tell)
    assert [(each.title, each.duration_s) for each in made] == [("my film.mp4", 2.0)] * 3
    assert own.film is not None
    assert own.film.name == "other.mp4"
    assert [path.name for path in (own.folder / "film").glob("*/*")] == ["other.mp4"]


def test_a_sitting_outlives_its_server_and_ends_when_it_is_not_used(tmp_path, film):
    studio = studio_in(tmp_path / "own")
    own = studio.sittings.new()
    info = bring_film(own, film, studio.limits)
    seen = look(studio.model, own, info)
    made = finish(own, info.path, studio.model.generate(info.path), film.name)
    again = Sittings(tmp_path / "own")  # as after a kill
    found = again.find(own.token)
    assert found is not None
    assert (found.made(), seen_before(found)) == ([made], seen)
    assert file_of(found, made, "film").read_bytes()[4:8] == b"ftyp"
    old = time.time() - 7 * 3600
    for path in (own.folder, *again.uploads.iterdir()):
        os.utime(path, (old, old))
    assert Sittings(tmp_path / "own").find(own.token) is None
    assert not own.folder.exists()
    studio.sittings.end_all()
    assert not studio.sittings.uploads.exists()


def test_what_is_finished_after_the_end_is_not_kept_and_uploads_go_too(tmp_path, film):
    studio = studio_in(tmp_path / "own")
    events, own = Events(studio), studio.sittings.new()
    upload = studio.sittings.uploads / "0a1b" / "cat.mp4"
    upload.parent.mkdir()
    shutil.copyfile(film, upload)
    assert len(list(events.bring(own.token, str(upload)))) == 2
    assert len(list(events.bring(own.token, str(film)))) == 2
    sound, made = studio.model.generate(own.film), finish(own, own.film, studio.model.generate(own.film), "cat")
    assert upload.exists()
    events.end(own.token)
    assert not upload.exists()
    assert film.exists()  # it was no upload
    for late in (
        lambda: finish(own, film, sound, "cat"),
        lambda: own.bring(film, "film"),
        lambda: own.change(made),
    ):
        with pytest.raises(InputError, match="this sitting has ended; load the page again"):
            late()
    assert not own.folder.exists()


def test_what_was_sent_goes_with_the_last_sitting_that_has_it_or_with_time(tmp_path, film):
    studio = studio_in(tmp_path / "own")
    events, sittings = Events(studio), studio.sittings
    upload, rest = sittings.uploads / "0a1b" / "cat.mp4", sittings.uploads / "tmp12"
    upload.parent.mkdir()
    shutil.copyfile(film, upload)
    rest.write_bytes(b"of an upload that broke off")
    first, second = sittings.new(), sittings.new()
    events.sent(first.token, [str(upload)])
    events.sent(second.token, str(upload))  # the same file, which Gradio holds once
    events.end(first.token)
    assert upload.exists()
    events.end(second.token)
    assert not upload.exists()
    sittings.sweep()
    assert rest.exists()
    os.utime(rest, (0, 0))
    sittings.sweep()
    assert not rest.exists()


def test_only_the_latest_are_held_and_what_is_to_be_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(sitting, "MOST_MADE", 2)
    own = Sittings(tmp_path / "own").new()

    def write(number: int, _: Path) -> Made:
        return Made(number=number, title="a", files={}, seed=0, prompt="", duration_s=1.0)

    first = own.add(write)
    own.keep(first)
    for _ in range(3):
        own.add(write)
    assert [made.number for made in own.made()] == [1, 3, 4]


def test_a_folder_that_others_can_read_is_refused(tmp_path):
    (tmp_path / "open").mkdir(mode=0o755)
    (tmp_path / "open").chmod(0o755)
    (tmp_path / "file").write_text("")
    (tmp_path / "link").symlink_to(tmp_path)
    for name in ("open", "file", "link"):
        with pytest.raises(InputError, match="is not a folder that only you can read"):
            private(tmp_path / name)


def test_many_films_come_back_in_one_archive_with_a_list_of_those_that_failed(tmp_path, film):
    studio = studio_in(tmp_path / "own")
    own, made = studio.sittings.new(), list[object]()
    (tmp_path / "bad.mp4").write_text("no film")
    films = [film, tmp_path / "bad.mp4", film]
    make_many(studio, own, films, Request(seed=5), stop=threading.Event(), tell=made.append)
    result = made[-1]
    assert isinstance(result, Made)
    archive = zipfile.ZipFile(file_of(own, result, "archive"))
    names = {f"my film.s5{n}.{kind}" for n in ("",) for kind in ("wav", "mp4", "otio", "wav.json")}
    assert names | {"failed.txt", "my film 2.s5.wav", "my film 2.s5.mp4"} <= set(archive.namelist())
    assert archive.read("failed.txt").decode().startswith("bad.mp4: ")
    assert len(list((studio.sittings.root / "sittings").iterdir())) == 1  # those of the films are over

    stop = threading.Event()
    done: list[Made] = []

    def stop_after_one(step: object) -> None:
        if getattr(step, "nth", 0) == 2:
            stop.set()
        if isinstance(step, Made):
            done.append(step)

    make_many(studio, own, [film, film], Request(), stop=stop, tell=stop_after_one)
    assert done[0].notes == ("stopped: 1 of 2 films were not made",)

    with pytest.raises(Stopped):  # before anything is there
        make_many(studio, own, [film, film], Request(), stop=stop, tell=made.append)

    def end_after_one(step: object) -> None:
        if getattr(step, "nth", 0) == 2:
            studio.sittings.end(own)

    for wrong, words in (
        ([tmp_path / "bad.mp4"], "none of 1 films has a sound: bad.mp4"),
        ([], "no film was given"),
        ([film] * 51, "51 films: expected 50 at most; take them in several goes"),
    ):
        with pytest.raises(InputError, match=words):
            make_many(studio, own, wrong, Request(), stop=threading.Event(), tell=made.append)
    with pytest.raises(InputError, match="this sitting has ended"):
        make_many(studio, own, [film, film], Request(), stop=threading.Event(), tell=end_after_one)
    assert not list((studio.sittings.root / "sittings").iterdir())


def test_what_the_page_cannot_do_it_says(tmp_path):
    studio = studio_in(tmp_path / "own")
    events, token = Events(studio), studio.sittings.new().token
    *_, (status, *_) = events.generate(token, "", "", None, 1, 0.0, 1.0, 0, None, "", 0.0)
    assert "No film is here yet: drop one, or try an example." in status
    *_, (status, *_) = events.words(token, " ", 1.0, 0, "")
    assert "No words are here yet: say what shall be heard." in status
    for seed, length, words in ((-1, 1.0, "seed -1: expected"), (10**30, 1.0, "seed 1000"), (0, -1.0, "duration -1")):
        *_, (status, *_) = events.words(token, "rain", length, seed, "")
        assert words in status
    assert events.next_seed(3, 2, 0) == (5, 1)
    assert events.next_seed(1e308, 2, 0) == (gradio.skip(), 1)  # nothing that could not be sent
    *_, (_, _, _, shown, *_) = events.bring(token, str(tmp_path / "lost.mp4"))
    assert 'role="alert"' in shown
    for path in (tmp_path / "lost.mp4", studio.sittings.uploads / ".." / "lost.mp4"):
        assert not list(events.recorded(token, {"path": str(path)}))  # no upload
    events.end(token)
    with pytest.raises(gradio.Error, match="Load the page again to begin a new one"):
        next(events.words(token, "hum", 1.0, 0, ""))


def test_after_a_fault_the_page_can_be_used(tmp_path, film, monkeypatch, capsys):
    studio = studio_in(tmp_path / "own")
    events, token = Events(studio), studio.sittings.new().token
    for name in ("make", "look"):
        monkeypatch.setattr(f"echoframe.studio.events.{name}", lambda *_, **__: 1 // 0)
    *_, (status, go, stop, *_) = events.words(token, "rain", 1.0, 0, "")
    *_, (_, _, _, shown, *_) = events.bring(token, str(film))
    for said in (status, shown):
        assert "a fault of EchoFrame&#x27;s own (ZeroDivisionError); try it with other settings" in said
    assert (go["interactive"], stop["interactive"]) == (True, False)
    assert capsys.readouterr().err.count("ZeroDivisionError: ") == 2


def test_many_films_are_counted(tmp_path, film):
    studio = studio_in(tmp_path / "own")
    events, token = Events(studio), studio.sittings.new().token
    (tmp_path / "bad.mp4").write_text("no film")
    *_, (status, *_) = events.many(token, [str(film), str(tmp_path / "bad.mp4")], "", 0, "")
    assert "Done. 1 of 2 films finished." in status


def test_a_film_s_own_sound_is_mixed_in_and_out(tmp_path):
    studio = studio_in(tmp_path / "own")
    own = studio.sittings.new()
    film = write_video(tmp_path / "loud.mp4", n_frames=16, rate=Fraction(8), tone_hz=440.0)
    bring_film(own, film, studio.limits)
    made = finish(own, own.film, studio.model.generate(own.film), "loud.mp4")
    assert made.can_mix
    quiet = write_video(tmp_path / "quiet.mp4", n_frames=8, rate=Fraction(8))
    bring_film(own, quiet, studio.limits)  # in the place of the one whose sound is mixed in
    mixed = mix(own, made, 0.0)
    levels = []
    for what in ("film", "mixed"):
        path = file_of(own, mixed, what)
        samples = read_own_sound(path, film_span(path))
        assert samples is not None
        spectrum = samples[0].numpy() @ np.exp(-2j * np.pi * 440 * np.arange(samples.shape[1]) / SAMPLE_RATE)
        levels.append(abs(spectrum))
    assert levels[1] > 10 * levels[0]
    assert mix(own, mixed, None).level_db is None


def test_what_was_seen_is_not_looked_at_again(tmp_path, film, monkeypatch):
    plain, watched = fake_model(), list[object]()
    monkeypatch.setattr(remembered, "watch", lambda clip, **more: watched.append(clip) or watch(clip, **more))
    model, encoder = remembering(plain), CountingEncoder(plain.visual_encoder)
    model.visual_encoder = remembered.RememberingEncoder(encoder)
    own = Sittings(tmp_path / "own").new()
    info = bring_film(own, film, Limits())
    look(model, own, info)
    sounds = [model.generate(info.path, seed=seed) for seed in (0, 1, 1)]
    assert (len(watched), encoder.n_calls) == (1, 1)
    assert torch.equal(sounds[1].waveform, sounds[2].waveform)
    assert torch.equal(sounds[1].waveform, plain.generate(info.path, seed=1).waveform)
    shutil.copyfile(write_video(tmp_path / "other.mp4", n_frames=16, rate=Fraction(8), tone_hz=440.0), info.path)
    model.generate(info.path)  # another film of the same name
    assert len(watched) == 2


class CountingEncoder:
    def __init__(self, encoder: VisualEncoder) -> None:
        self.n_calls, self._encoder = 0, encoder
        self.dim, self.name, self.short_side = encoder.dim, encoder.name, encoder.short_side

    def __call__(self, frames: np.ndarray) -> torch.Tensor:
        self.n_calls += 1
        return self._encoder(frames)


def test_a_picture_that_browsers_do_not_show_is_written_again(tmp_path):
    studio = studio_in(tmp_path / "own")
    own, made = studio.sittings.new(), list[Made]()
    for suffix in ("tif", "png"):
        picture = tmp_path / f"red.{suffix}"
        Image.new("RGB", (60, 40), "red").save(picture)
        info = bring_film(own, picture, studio.limits)
        made.append(finish(own, info.path, studio.model.generate(info.path), picture.name))
    with Image.open(file_of(own, made[0], "still")) as again, Image.open(file_of(own, made[1], "still")) as copied:
        assert (again.format, again.size, copied.format) == ("JPEG", (60, 40), "PNG")
        assert np.asarray(again)[5, 5, 0] > 240


def test_a_film_that_browsers_do_not_play_is_written_again(tmp_path):
    studio = studio_in(tmp_path / "own")
    own = studio.sittings.new()
    film = write_video(tmp_path / "old.avi", n_frames=8, rate=Fraction(8), codec="mpeg4")
    bring_film(own, film, studio.limits)
    made = finish(own, own.film, studio.model.generate(own.film), "old.avi")
    assert made.files["film"] == "old.s0.mp4"
    assert "its picture was written again, as H.264" in made.notes


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"upload_mb": np.inf}, "max upload inf MB: expected megabytes above 0"),
        ({"duration_s": np.inf}, "max duration inf s: expected seconds above 0"),
        ({"upload_mb": 0.0}, "max upload 0 MB: expected megabytes above 0"),
        ({"duration_s": -1.0}, "max duration -1 s: expected seconds above 0"),
        ({"queue": 31}, "queue 31: expected 0 to 30 who wait"),
    ],
)
def test_limits_that_cannot_be(values, words):
    with pytest.raises(InputError, match=words):
        Limits(**values)


def test_a_login_without_a_password_is_refused(capsys):
    assert main(["web", "--auth", "me"]) == 2
    assert "--auth: expected a user and a password" in capsys.readouterr().err


def test_the_limits_words_are_for_people():
    assert limits.clock(61) == "1:01"
    assert api.FILES["like"].startswith("a sound file")


def test_the_example_for_gradio_s_client_runs(film, tmp_path, monkeypatch):
    page = (Path(__file__).parents[1] / "docs" / "studio.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```python\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    shutil.copy(film, tmp_path / "clip.mp4")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    with served(studio_in(tmp_path / "own")) as base:
        exec(compile(example.replace("http://127.0.0.1:7860", base), "studio.md", "exec"), names)  # noqa: S102
        names["client"].close()
    record = json.loads(names["record"])
    assert (record["settings"]["seed"], record["input"]["path"]) == (3, "clip.mp4")
    assert soundfile.info(names["sound"]).duration == 2.0
    assert Path(names["film"]).read_bytes()[4:8] == b"ftyp"
    assert {each["label"] for each in names["labels"]} <= {"hum", "whistle"}


def test_a_server_that_was_killed_finds_what_was_finished_and_one_that_is_ended_removes_it(tmp_path, film):
    folder = tmp_path / "own"
    with started(folder) as (process, base):
        answer = post(base, film, duration_s="1").json()
        process.kill()
        process.wait()
        with pytest.raises(httpx.ConnectError):
            httpx.get(base)
    (folder / "uploads" / "0a1b").mkdir()
    (folder / "uploads" / "0a1b" / "cat.mp4").write_bytes(b"sent to the one that was killed")
    with started(folder) as (process, base):
        assert not list((folder / "uploads").iterdir())
        assert httpx.get(base + answer["files"]["sound"]).status_code == 200
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    assert not list((folder / "sittings").iterdir())


def test_gradio_writes_no_stubs_when_the_command_imports_it():
    program = (
        "import ast\n"
        "seen, segment = [], ast.get_source_segment\n"  # with which Gradio begins a stub
        "ast.get_source_segment = lambda code, node: seen.append(node.name) or segment(code, node)\n"
        "from echoframe.studio.quick_import import import_gradio\n"
        "print(import_gradio().Slider.__name__, *sorted({*seen}))"
    )
    assert subprocess.check_output([sys.executable, "-c", program], text=True).split() == ["Slider", "BlocksEvents"]
    with without_stubs():
        assert inspect.getfile(Sitting) == sitting.__file__
        with pytest.raises(OSError, match="no stubs are wanted"):
            inspect.getfile(gradio.Slider)


def test_the_hosted_space_installs_what_the_studio_needs():
    root = Path(__file__).parents[1]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {*project["dependencies"], *project["optional-dependencies"]["web"]}
    pinned = {line for line in (root / "constraints.txt").read_text().splitlines() if line.startswith("torch==")}
    lines = {line for line in (root / "requirements.txt").read_text().splitlines() if not line.startswith("#")}
    assert lines == {each for each in needed if not each.startswith("torch>")} | pinned


def test_the_hosted_space_starts_the_command(monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    asked: list[list[str]] = []
    monkeypatch.setattr("echoframe.apps.cli.main", asked.append)
    monkeypatch.setenv("GRADIO_SERVER_PORT", "7861")
    with pytest.raises(SystemExit):
        runpy.run_path(str(Path(__file__).parents[1] / "app.py"), run_name="__main__")
    args = build_parser().parse_args(asked[0])
    assert (args.host, args.port) == ("0.0.0.0", 7861)  # noqa: S104
