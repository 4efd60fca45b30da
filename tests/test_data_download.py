"""Downloading with the real yt-dlp from a server on loopback, and what the run does about every way it can fail."""

import shutil
import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from echoframe.data import download as download_module
from echoframe.data.clip_list import ClipRow, clip_path
from echoframe.data.download import GIVE_UP_AFTER, Download, Gate, Pace, download, parse_retry
from echoframe.data.fetch import FetchOptions, Unfetched, check_options, fetcher, reason_of
from echoframe.data.ledger import open_ledger
from echoframe.data.verify import inspect_clip
from echoframe.errors import InputError, OutputError
from film_server import Films, serve
from planted_video import write_video

FAST = Pace(workers=2, backoff_s=0.0)


def row(name: str, start_s: int = 1) -> ClipRow:
    return ClipRow(youtube_id=name.ljust(11, "_"), start_s=start_s, label="dog barking", split="train")


@pytest.fixture(scope="module")
def films(tmp_path_factory):
    """Films of 12 s at ten frames a second, with and without sound, one that is too short and one cut off."""
    folder = tmp_path_factory.mktemp("films")
    with_sound = write_video(folder / "sound.mp4", n_frames=120, rate=Fraction(10), tone_hz=440.0)
    silent = write_video(folder / "mute.mp4", n_frames=120, rate=Fraction(10))
    short = write_video(folder / "short.mp4", n_frames=50, rate=Fraction(10), tone_hz=440.0)
    good = [row(name).youtube_id for name in ("good", "other", "busy", "slow")]
    by_name = dict.fromkeys(good, with_sound)
    by_name |= {row("mute").youtube_id: silent, row("short").youtube_id: short, row("cut").youtube_id: with_sound}
    served = Films(by_name)
    served.statuses[row("forbidden").youtube_id] = 403
    served.statuses[row("limited").youtube_id] = 429
    served.statuses[row("failing").youtube_id] = 503
    served.refuse_first[row("busy").youtube_id] = 1
    served.slow[row("slow").youtube_id] = 400_000
    served.cut[row("cut").youtube_id] = 9_000
    with serve(served):
        yield served


NAMES = ("good", "other", "busy", "slow", "mute", "short", "cut", "forbidden", "limited", "failing", "gone")


def test_every_way_a_download_ends(films, tmp_path):
    fetch = fetcher(FetchOptions(url=f"{films.address}/{{id}}.mp4"))
    with open_ledger(tmp_path) as ledger:
        ledger.add([row(name) for name in NAMES])
        seen: list[str] = []
        found = download(tmp_path, ledger, fetch, pace=FAST, progress=lambda done, total, what: seen.append(what))
        reasons = {entry.row.youtube_id.rstrip("_"): entry.reason for entry in ledger.entries(state="lost")}
        assert reasons.pop("cut") in ("network", "broken")
        assert reasons == {
            "mute": "no-audio",
            "short": "too-short",
            "forbidden": "blocked",
            "limited": "rate-limited",
            "failing": "network",
            "gone": "removed",
        }
        assert (found.n_done, found.n_lost) == (4, 7)
        assert sorted(what.rpartition(": ")[0] for what in seen) == sorted(row(name).key for name in NAMES)
        assert sum(ledger.counts().values()) == len(NAMES)
        for entry in ledger.entries(state="done"):
            facts = inspect_clip(tmp_path / entry.file)
            assert (facts.video_s, facts.audio_s) == (pytest.approx(10, abs=0.11), pytest.approx(10, abs=0.11))
            assert facts.sha256 == entry.facts["sha256"]
            assert entry.tries == 1
        assert not list(tmp_path.glob(".fetching*"))
        # a second run asks for nothing that is done or lost
        films.asked.clear()
        assert download(tmp_path, ledger, fetch, pace=FAST) == Download()
        assert not films.asked
        # and one that is told to, for those only
        assert download(tmp_path, ledger, fetch, pace=FAST, retry=["removed"]).reasons == {"removed": 1}
        assert set(films.asked) == {row("gone").youtube_id}


def test_the_ten_seconds_asked_for(films, tmp_path):
    """The numbered frames say where the cut is: at ten a second, frame 10 is the first after 1 s."""
    import numpy as np

    from echoframe.media.video import read_frames
    from echoframe.spec import ClipSpec
    from planted_video import numbers

    path = fetcher(FetchOptions(url=f"{films.address}/{{id}}.mp4"))(row("good"), tmp_path)
    frames = read_frames(path, ClipSpec(duration_s=10.0, frame_rate=10.0, n_frames=20), short_side=48)
    assert np.abs(np.array(numbers(frames.images)) - (10 + np.arange(20) * 5 + 2)).max() <= 1


def test_a_folder_with_a_percent_sign(films, tmp_path):
    folder = tmp_path / "100%(ext)s é"
    folder.mkdir()
    assert fetcher(FetchOptions(url=f"{films.address}/{{id}}.mp4"))(row("good"), folder).parent == folder


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ("[youtube] x: Private video. Sign in if you've been granted access to this video", "private"),
        ("[youtube] x: Join this channel to get access to members-only content", "private"),
        ("[youtube] x: Sign in to confirm your age. This video may be inappropriate for some users.", "age"),
        ("[youtube] x: Sign in to confirm you’re not a bot. Use --cookies-from-browser", "blocked"),
        ("[youtube] x: Video unavailable. It contains content from X, who has blocked it on copyright grounds", "copyright"),
        ("[youtube] x: Video unavailable. X, who has blocked it in your country on copyright grounds", "region"),
        ("[youtube] x: Video unavailable. The uploader has not made this video available in your country", "region"),
        ("[youtube] x: Video unavailable. This video is no longer available due to a copyright claim by X", "copyright"),
        ("[youtube] x: Video unavailable. This video has been removed by the uploader", "removed"),
        ("[youtube] x: This video is no longer available because the account has been terminated.", "removed"),
        ("[youtube] x: This content isn't available, try again later. The session is rate-limited", "rate-limited"),
        ("unable to download video data: HTTP Error 429: Too Many Requests", "rate-limited"),
        ("unable to download video data: HTTP Error 403: Forbidden", "blocked"),
        ("[youtube] x: Requested format is not available", "no-video"),
        ("Unable to download webpage: <urllib3> Failed to resolve 'www.youtube.com'", "network"),
        ("Unable to download webpage: The read operation timed out", "network"),
        ("ffmpeg exited with code 8", "network"),
        ("something nobody has seen", "unknown"),
    ],
)  # fmt: skip
def test_what_yt_dlp_says(message, reason):
    assert reason_of(message) == reason


def test_which_streams_are_taken():
    """By yt-dlp's own choice among formats like YouTube's."""
    import yt_dlp

    from echoframe.data.fetch import _settings

    def stream(name: str, **values: Any) -> dict[str, Any]:
        return {"format_id": name, "url": f"http://127.0.0.1/{name}", "ext": "mp4", "protocol": "https"} | values

    def picture(name: str, height: int, codec: str, rate: int) -> dict[str, Any]:
        return stream(name, height=height, width=height * 16 // 9, vcodec=codec, acodec="none", vbr=rate, tbr=rate)

    def sound(name: str, rate: int) -> dict[str, Any]:
        return stream(name, vcodec="none", acodec="opus", abr=rate, tbr=rate)

    formats = [picture("160", 144, "avc1", 80), picture("134", 360, "avc1", 300), picture("243", 360, "vp9", 200)]
    formats += [picture("137", 1080, "avc1", 3000), sound("249", 50), sound("251", 130)]
    settings: Any = _settings(FetchOptions(), row("x"), Path("here")) | {"simulate": True}

    def chosen(those: list[dict[str, Any]]) -> str:
        with yt_dlp.YoutubeDL(settings) as downloader:
            info: Any = {"id": "x", "title": "x", "extractor": "x", "webpage_url": "http://127.0.0.1", "formats": those}
            found: Any = downloader.process_ie_result(info, download=False)
            return found["format_id"]

    assert chosen(formats) == "134+251"
    assert chosen([formats[0], *formats[-2:]]) == "160+251"  # nothing larger: better than nothing
    assert chosen([stream("18", height=360, width=640, vcodec="avc1", acodec="mp4a", tbr=500)]) == "18"


def test_options_are_checked_and_passed_on(tmp_path):
    from echoframe.data.fetch import _settings

    with pytest.raises(InputError, match="no such cookie file"):
        check_options(FetchOptions(cookies=tmp_path / "cookies.txt"))
    with pytest.raises(InputError, match="address without {id}; put"):
        fetcher(FetchOptions(url="http://127.0.0.1/"))
    options = FetchOptions(proxy="socks5://127.0.0.1:1", sleep_s=2.0, format="b", cookies_from="firefox")
    settings = _settings(options, row("x"), tmp_path)
    assert (settings["proxy"], settings["sleep_interval"], settings["format"]) == ("socks5://127.0.0.1:1", 2.0, "b")
    assert settings["cookiesfrombrowser"] == ("firefox",)


def test_cookies_reach_the_server(films, tmp_path):
    jar = tmp_path / "cookies.txt"
    jar.write_text("# Netscape HTTP Cookie File\n127.0.0.1\tFALSE\t/\tFALSE\t0\tname\tvalue\n")
    before = jar.read_bytes()
    fetcher(FetchOptions(url=f"{films.address}/{{id}}.mp4", cookies=jar))(row("good"), tmp_path)
    assert (row("good").youtube_id, "name=value") in films.cookies
    assert jar.read_bytes() == before


@pytest.mark.parametrize("wrong", [{"workers": 0}, {"tries": 0}, {"per_minute": -1.0}, {"backoff_s": -1.0}])
def test_paces_that_are_none(wrong):
    with pytest.raises(InputError, match="expected workers and tries of 1 or more"):
        Pace(**wrong)


def test_reasons_to_retry():
    assert parse_retry("network, rate-limited,network") == ("network", "rate-limited")
    assert "network" in parse_retry("temporary")
    assert "age" not in parse_retry("temporary")
    assert "age" in parse_retry("all")
    with pytest.raises(InputError, match='"netwrk": no such reason; expected temporary, all, or removed'):
        parse_retry("netwrk")


def played(ledger_folder: Path, names: list[str], fetch: Any, pace: Pace = FAST) -> tuple[Download, dict[str, int]]:
    with open_ledger(ledger_folder) as ledger:
        ledger.add([row(name) for name in names])
        return download(ledger_folder, ledger, fetch, pace=pace), ledger.counts()


def test_what_passes_is_tried_again_and_what_stays_is_not(tmp_path, film):
    tried: dict[str, int] = {}

    def fetch(clip: ClipRow, folder: Path) -> Path:
        name = clip.youtube_id.rstrip("_")
        tried[name] = tried.get(name, 0) + 1
        if name == "private":
            raise Unfetched("private", "Private video")
        if name == "flaky" and tried[name] < 3:
            raise Unfetched("network", "timed out")
        return Path(shutil.copy(film, folder / f"{clip.key}.mp4"))

    found, counts = played(tmp_path, ["private", "flaky"], fetch)
    assert counts == {"done": 1, "private": 1}
    assert tried == {"private": 1, "flaky": 3}
    assert found.reasons == {"private": 1}


def test_a_run_that_is_refused_gives_up_and_the_rest_stays_wanted(tmp_path):
    def fetch(clip: ClipRow, folder: Path) -> Path:
        raise Unfetched("blocked", "Sign in to confirm you're not a bot")

    names = [f"c{n}" for n in range(60)]
    found, counts = played(tmp_path, names, fetch, Pace(workers=2, tries=1, backoff_s=0.0))
    assert found.refused
    assert counts == {"wanted": 60 - GIVE_UP_AFTER, "blocked": GIVE_UP_AFTER}


def test_a_failure_nobody_foresaw_is_one_clip(tmp_path, film):
    def fetch(clip: ClipRow, folder: Path) -> Path:
        if clip.youtube_id.startswith("odd"):
            raise ValueError("what is this?")
        return Path(shutil.copy(film, folder / f"{clip.key}.mp4"))

    with open_ledger(tmp_path) as ledger:
        ledger.add([row("odd"), row("even")])
        assert download(tmp_path, ledger, fetch, pace=FAST).reasons == {"unknown": 1}
        assert [e.detail for e in ledger.entries(state="lost")] == ["ValueError: what is this?"]


def test_a_full_disk_ends_the_run(tmp_path, film, monkeypatch):
    class Usage:
        free = 5

    monkeypatch.setattr(download_module.shutil, "disk_usage", lambda _: Usage())
    with open_ledger(tmp_path) as ledger:
        ledger.add([row("one"), row("two")])
        with pytest.raises(OutputError, match="disk is full; free some space, then run"):
            download(tmp_path, ledger, lambda clip, folder: film, pace=FAST)
        assert ledger.counts() == {"wanted": 2}


def test_what_a_kill_left_behind(tmp_path, film):
    """A clip at its place that the ledger does not know of is not fetched again; a broken one is; leftovers go."""
    whole, half = (clip_path(tmp_path, row(name).key, ".mp4") for name in ("whole", "half"))
    for path in (whole, half):
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, path)
    half.write_bytes(film.read_bytes()[:3000])
    (tmp_path / ".fetching-0123" / "x").mkdir(parents=True)
    fetched = []

    def fetch(clip: ClipRow, folder: Path) -> Path:
        fetched.append(clip.youtube_id.rstrip("_"))
        return Path(shutil.copy(film, folder / f"{clip.key}.mp4"))

    _, counts = played(tmp_path, ["whole", "half"], fetch)
    assert counts == {"done": 2}
    assert fetched == ["half"]
    assert half.read_bytes() == film.read_bytes()
    assert not list(tmp_path.glob(".fetching*"))


def test_yt_dlp_that_leaves_nothing(tmp_path, films, monkeypatch):
    import yt_dlp

    monkeypatch.setattr(yt_dlp.YoutubeDL, "download", lambda self, urls: 0)
    with pytest.raises(Unfetched, match="yt-dlp left 0 files"):
        fetcher(FetchOptions(url=f"{films.address}/{{id}}.mp4"))(row("good"), tmp_path)


def test_refusals_slow_everybody_down_until_one_is_served(monkeypatch):
    gate, slept = Gate(Pace(backoff_s=5.0, per_minute=60.0)), []
    monkeypatch.setattr(gate, "sleep", slept.append)
    for step in (gate.refused, gate.refused, gate.refused, gate.served):
        gate.enter()
        step()
    gate.enter()
    for _ in range(20):
        gate.refused()
    gate.enter()
    assert slept == [1.0, 6.0, 11.0, 21.0, 1.0, 901.0]


def test_an_interrupted_run_ends_at_once(tmp_path, film):
    begun = threading.Event()

    def fetch(clip: ClipRow, folder: Path) -> Path:
        begun.set()
        return Path(shutil.copy(film, folder / f"{clip.key}.mp4"))

    def stop(done: int, total: int, what: str) -> None:
        raise KeyboardInterrupt

    with open_ledger(tmp_path) as ledger:
        ledger.add([row(f"c{n}") for n in range(30)])
        with pytest.raises(KeyboardInterrupt):
            download(tmp_path, ledger, fetch, pace=Pace(workers=1, per_minute=1e5), progress=stop)
        assert begun.is_set()
        assert ledger.counts() == {"done": 1, "wanted": 29}


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("film") / "film.mp4"
    return write_video(path, n_frames=50, rate=Fraction(5), tone_hz=440.0)
