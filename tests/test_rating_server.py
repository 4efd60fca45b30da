"""The rating page's server: what those without a link, with a forged one, or with bad manners get, and what a kill loses."""

import http.client
import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.testclient import TestClient

from echoframe.errors import InputError
from echoframe.rating.answers import Answers
from echoframe.rating.server import HEADERS, LARGEST_ANSWER, check_answer, make_app, state_for
from echoframe.rating.study import ANSWERS, MEDIA, PREFERENCE
from rated import served, small_study


@pytest.fixture
def site(tmp_path):
    study, folder = small_study(tmp_path, checks=1)
    with closing(Answers(folder / ANSWERS)) as answers:
        answers.invite(2)
        with TestClient(make_app(study, folder, answers), base_url="http://testserver") as client:
            yield study, folder, answers, client


@pytest.fixture
def pairs(tmp_path):
    study, folder = small_study(tmp_path, checks=1, pairs=True, title="<img src=x onerror=alert(1)>")
    with closing(Answers(folder / ANSWERS)) as answers:
        answers.invite(2)
        yield study, answers


def test_a_rater_gets_the_page_and_sounds_without_a_word_on_whose_they_are(site):
    study, folder, answers, client = site
    token = answers.raters()[0].token
    page = client.get(f"/r/{token}")
    assert page.status_code == 200
    assert {name: page.headers[name] for name in HEADERS} == HEADERS
    assert "'unsafe" not in page.headers["Content-Security-Policy"]
    for name, kind in (("rate.js", "text/javascript"), ("rate.css", "text/css")):
        assert client.get(f"/page/{name}").headers["Content-Type"].startswith(kind)
    state = client.get(f"/r/{token}/state")
    assert not [word for word in ("ours", "theirs", "clip", "beeps", "systems") if word in state.text]
    assert len(state.json()["items"]) == 7
    name = state.json()["items"][0]["media"][0]
    whole = client.get(f"/r/{token}/media/{name}")
    assert whole.content == (folder / MEDIA / name).read_bytes()
    part = client.get(f"/r/{token}/media/{name}", headers={"Range": "bytes=100-199"})  # a phone's player asks so
    assert part.status_code == 206
    assert part.content == whole.content[100:200]
    more = {"Range": "bytes=100-199", "If-Range": whole.headers["ETag"]}
    assert client.get(f"/r/{token}/media/{name}", headers=more).status_code == 206
    assert client.get(f"/r/{token}/media/{name}", headers={**more, "If-Range": '"other"'}).content == whole.content


def test_headers_do_not_say_in_which_order_sounds_were_written(site):
    study, folder, answers, client = site
    token = answers.raters()[0].token
    names = [item.media[0] for item in study.items]
    for n, name in enumerate(names):
        os.utime(folder / MEDIA / name, (n, n))  # as a copy of the study would be
    found = {name: dict(client.get(f"/r/{token}/media/{name}").headers) for name in names}
    assert {headers.pop("etag") for headers in found.values()} == {f'"{name}"' for name in names}
    beeps = found.pop(next(item.media[0] for item in study.items if item.beeps))
    assert len({tuple(headers.items()) for headers in found.values()}) == 1
    assert {name for name in beeps if beeps[name] != next(iter(found.values()))[name]} == {"content-length"}


def test_a_sound_that_was_deleted_is_not_found(site):
    study, folder, answers, client = site
    name = study.items[0].media[0]
    (folder / MEDIA / name).unlink()
    gone = client.get(f"/r/{answers.raters()[0].token}/media/{name}")
    assert gone.status_code == 404
    assert gone.text == "This sound is missing. Tell those who sent you the link."


def test_without_a_link_there_is_nothing(site):
    study, _, answers, client = site
    token = answers.raters()[0].token
    name = study.items[0].media[0]
    forged = (token[:-1] + ("A" if token[-1] != "A" else "B"), token[:-1], token + "A", "' or 1=1 --", "1", "%00")
    for other in forged:
        for path in ("", "/state", f"/media/{name}"):
            found = client.get(f"/r/{other}{path}")
            assert found.status_code == 404
            assert token not in found.text
        assert client.post(f"/r/{other}/answers", json={}).status_code == 404
    for path in ("/", "/r", "/r/", "/docs", "/study.json", f"/media/{name}", "/page/rate.html", "/page/answers.sqlite"):
        assert client.get(path).status_code == 404
    assert client.post(f"/r/{token}").status_code == 405
    assert client.get(f"/r/{token}/answers").status_code == 405
    assert answers.all() == []


BAD_ANSWERS = [
    ("not an answer; expected", b""),
    ("not an answer; expected", b"{"),
    ("not an answer; expected", b"\xff"),
    ("not an answer; expected", b"[]"),
    ("not an answer; expected", b'{"item": "x"}'),
    ("not an answer; expected", b'{"item": "x", "answers": 3}'),
    ("not an answer; expected", b"[" * 3000),
    ("this item is not one of yours", b'{"item": "x", "answers": {"quality": 3}}'),
    ("this item is not one of yours", b'{"item": ["x"], "answers": {"quality": 3}}'),
    ("the answers belong to other questions; expected quality", b'{"item": "@", "answers": {}}'),
    ("the answers belong to other questions; expected quality", b'{"item": "@", "answers": {"quality": 3, "more": 1}}'),
    *(
        ("quality: expected one of 1, 2, 3, 4, 5", f'{{"item": "@", "answers": {{"quality": {value}}}}}'.encode())
        for value in ("0", "6", '"3"', "3.5", "true", "null", "[3]", "1e400", "NaN", '"A"')
    ),
]


@pytest.mark.parametrize(("words", "body"), BAD_ANSWERS)
def test_what_the_page_would_not_send_is_refused(site, words, body):
    study, _, answers, client = site
    rater = answers.raters()[0]
    body = body.replace(b"@", study.items[0].id.encode())
    found = client.post(f"/r/{rater.token}/answers", content=body)
    assert found.status_code == 422
    assert words in found.text
    assert answers.all() == []


def test_an_endless_answer_is_not_read_to_its_end(site):
    _, _, answers, client = site
    path = f"/r/{answers.raters()[0].token}/answers"
    found = client.post(path, content=(b" " * 1000 for _ in range(1000)))
    assert found.status_code == 413
    assert client.post(path, content=b" " * (LARGEST_ANSWER + 1)).status_code == 413


def test_of_a_share_only_its_own_items_are_taken(tmp_path):
    study, folder = small_study(tmp_path, checks=0, per_rater=1)
    with closing(Answers(folder / ANSWERS)) as answers:
        first, second = answers.invite(2)
        other = next(item for item in study.items_for(2) if item not in study.items_for(1))
        body = json.dumps({"item": other.id, "answers": {"quality": 3}}).encode()
        assert check_answer(study, second, body) == (other.id, {"quality": 3})
        with pytest.raises(InputError, match="this item is not one of yours"):
            check_answer(study, first, body)


def test_a_preference_is_kept_by_sound_and_shown_by_side(pairs):
    study, answers = pairs
    rater = answers.raters()[0]
    for item in study.items:
        shown = next(some for some in state_for(study, rater, answers)["items"] if some["id"] == item.id)
        for side, name in (("A", shown["media"][0]), ("B", shown["media"][1]), ("same", None)):
            body = json.dumps({"item": item.id, "answers": {PREFERENCE: side}}).encode()
            found = check_answer(study, rater, body)
            assert found == (item.id, {PREFERENCE: item.media.index(name) + 1 if name else 0})
            answers.save(rater, *found)
            again = next(some for some in state_for(study, rater, answers)["items"] if some["id"] == item.id)
            assert again["answers"] == {PREFERENCE: side}
    with pytest.raises(InputError, match="preference: expected one of A, same, B"):
        check_answer(study, rater, json.dumps({"item": study.items[0].id, "answers": {PREFERENCE: 1}}).encode())
    assert {study.is_swapped(rater.number, item) for rater in answers.raters() for item in study.items} == {True, False}


def test_no_path_leads_out_of_the_study(tmp_path):
    study, folder = small_study(tmp_path, checks=0)
    (folder / MEDIA / "secret.wav").write_bytes(b"secret")  # in the folder, but not of the study
    with closing(Answers(folder / ANSWERS)) as answers:
        answers.invite(1)
    names = ["../study.json", "..%2fstudy.json", "%2e%2e/study.json", "%2e%2e%2fanswers.sqlite", "..%5cstudy.json"]
    names += ["....//study.json", "/etc/passwd", "%2fetc%2fpasswd", "secret.wav", "", ".", "%00", "..%c0%afstudy.json"]
    names += [f"{study.items[0].media[0]}%00", f"x/../{study.items[0].media[0]}", "file:///etc/passwd"]
    with served(folder) as (_, link):
        address = urlsplit(link)
        for name in names:
            for path in (f"{address.path}/media/{name}", f"/page/{name}"):
                # as it stands: other clients tidy a path up before they send it
                connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)
                connection.request("GET", path)
                found = connection.getresponse()
                assert found.status in (404, 400, 307), path
                assert b"secret" not in found.read()
                connection.close()
        assert httpx.get(f"{link}/media/{study.items[0].media[0]}").status_code == 200


def test_a_thousand_posts_at_once_and_a_killed_server_lose_nothing(tmp_path):
    study, folder = small_study(tmp_path, clips=10, checks=0)
    with closing(Answers(folder / ANSWERS)) as answers:
        answers.invite(1)
    kept: dict[tuple[str, int], int] = {}
    with served(folder) as (process, link):

        def post(n: int) -> bool:
            item, value = study.items[n % 20].id, 1 + n % 5
            try:
                sent = client.post(f"{link}/answers", json={"item": item, "answers": {"quality": value}})
            except httpx.TransportError:
                return False
            assert sent.json() == {"saved": item}
            kept[item, n] = value
            if len(kept) >= 1000:
                process.send_signal(signal.SIGKILL)
            return True

        with httpx.Client(timeout=60) as client, ThreadPoolExecutor(16) as pool:
            done = list(pool.map(post, range(1100)))
        assert process.wait() == -signal.SIGKILL
    assert sum(done) >= 1000
    assert not all(done)
    with served(folder) as (_, link):
        items = httpx.get(f"{link}/state").json()["items"]
        found = {item["id"]: item["answers"]["quality"] for item in items}
    assert found.keys() == {item.id for item in study.items}
    for n, item in enumerate(study.items):
        assert found[item.id] == 1 + n % 5  # every post of an item had this value: 20 is four times 5


def test_an_interrupt_ends_the_server_in_peace(tmp_path):
    _, folder = small_study(tmp_path, checks=0)
    with closing(Answers(folder / ANSWERS)) as answers:
        answers.invite(1)
    with served(folder) as (process, link):
        assert httpx.get(link).status_code == 200
        assert urlsplit(link).hostname == "127.0.0.1"
        process.send_signal(signal.SIGINT)
        assert process.wait(30) in (0, 130)
