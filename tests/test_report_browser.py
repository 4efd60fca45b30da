"""The page of an evaluation as people use it: in a real Chromium, on a phone, a laptop and a large screen."""

import shutil
import statistics

import pytest

from echoframe.evaluation.report import write_report
from reported import CLIPS, small_evaluation

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
WITHIN_S = 0.05

# plays from the start, lets the sound begin, and gives how far the two were apart after that, and where they came to
PLAY = """(clip) => new Promise((go) => {
  const video = clip.querySelector("video"), audio = clip.querySelector("audio"), apart = [];
  video.currentTime = 0;
  video.play();
  const began = performance.now();
  const look = () => {
    if (!audio.paused && audio.currentTime > 0.6) apart.push(Math.abs(audio.currentTime - video.currentTime));
    if (audio.currentTime < 1.4 && performance.now() < began + 20000) { setTimeout(look, 20); return; }
    const found = { apart, sound: audio.currentTime, muted: [video.muted, audio.muted], src: decodeURI(audio.src) };
    video.pause();
    setTimeout(() => go({ ...found, stopped: audio.paused }), 100);
  };
  look();
})"""

# each table that is wider than its place has its hint, and no other has
HINTS_ARE_RIGHT = """() => [...document.querySelectorAll(".wide")].every(
    w => w.previousElementSibling.hidden !== (w.scrollWidth > w.clientWidth + 1))"""
PAUSED = "clip => [...clip.querySelectorAll('video, audio')].every(player => player.paused)"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page in a browser, without a window."""
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("report")
    _, _, written, *_ = write_report(small_evaluation(folder), folder / "out")
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--autoplay-policy=no-user-gesture-required"]
        with playwright.chromium.launch(executable_path=CHROMIUM, args=options) as browser:
            page = browser.new_page()
            troubles: list[str] = []
            page.on("pageerror", lambda error: troubles.append(str(error)))
            page.goto(written.as_uri())
            yield page
            assert troubles == []


@pytest.mark.parametrize("width", [390, 1280, 1920])
def test_no_column_is_hidden_without_a_hint(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_function(HINTS_ARE_RIGHT)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    table = page.locator(".wide").first
    if width != 1280:  # where it depends on the letters of the machine
        assert table.evaluate("w => w.scrollWidth > w.clientWidth + 1") == (width == 390)
    before = table.locator("td.name").first.evaluate("cell => cell.getBoundingClientRect().left")
    table.evaluate("w => { w.scrollLeft = 10000; }")
    assert table.locator("td.name").first.evaluate("cell => cell.getBoundingClientRect().left") == before
    table.evaluate("w => { w.scrollLeft = 0; }")


def test_plots_can_be_read_on_a_phone(page):
    page.set_viewport_size({"width": 390, "height": 844})
    heights = page.evaluate("[...document.querySelectorAll('.plots text')].map(t => t.getBoundingClientRect().height)")
    assert len(heights) > 7 * 4
    assert min(heights) > 9  # px
    right = page.evaluate(
        "Math.max(...[...document.querySelectorAll('.plots text')].map(t => t.getBoundingClientRect().right))"
    )
    assert right <= 390


def test_each_clip_plays_as_film_with_each_sound_in_step(page):
    page.set_viewport_size({"width": 1280, "height": 900})
    for name, clip in zip(CLIPS, page.locator(".clip").all(), strict=True):
        choices = clip.locator("input")
        places = (f"films/{name}.mp4", f"ours/{name}.wav", f"theirs/{name}.wav")
        for i, place in enumerate(places):
            choices.nth(i).check()
            found = clip.evaluate(PLAY)
            for _ in range(3):  # a busy machine may hold one of them up for a while
                if statistics.median(found["apart"] or [1.0]) < WITHIN_S:
                    break
                clip.evaluate(
                    "clip => { for (const one of clip.querySelectorAll('video, audio')) one.currentTime = 0; }"
                )
                page.wait_for_timeout(300)
                found = clip.evaluate(PLAY)
            assert found["src"].replace("%26", "&").endswith(place)
            assert found["sound"] >= 1.4, found
            assert found["apart"], found
            assert statistics.median(found["apart"]) < WITHIN_S, found
            assert found["muted"] == [True, False]
            assert found["stopped"]
        assert clip.locator(".trouble").is_hidden()


def test_another_sound_goes_on_where_the_film_is_and_one_clip_plays_at_a_time(page):
    first, second = page.locator(".clip").all()
    first.locator("input").nth(1).check()
    first.evaluate("clip => { const v = clip.querySelector('video'); v.currentTime = 1; v.play(); }")
    page.wait_for_timeout(300)
    first.locator("input").nth(2).check()
    goes_on = "c => [...c.querySelectorAll('video, audio')].every(p => p.currentTime > 1.1 && !p.paused)"
    page.wait_for_function(f"({goes_on})(document.querySelector('.clip'))")
    second.evaluate("clip => clip.querySelector('video').play()")
    page.wait_for_function(f"({PAUSED})(document.querySelectorAll('.clip')[0])")
    second.evaluate("clip => clip.querySelector('video').pause()")
    page.wait_for_function(f"({PAUSED})(document.querySelectorAll('.clip')[1])")


def test_a_film_that_cannot_be_shown_leaves_its_sounds(page):
    clip = page.locator(".clip").first
    clip.evaluate(
        "clip => { const v = clip.querySelector('video'); v.src = 'none.mp4'; v.load(); v.play().catch(() => {}); }"
    )
    clip.locator(".trouble").wait_for()
    assert "cannot show the film" in clip.locator(".trouble").inner_text()
    assert clip.locator("audio").is_visible()
