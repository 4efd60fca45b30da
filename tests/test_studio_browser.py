"""The studio as people use it: in a real Chromium without a window, with the embedded model."""

import re
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from browsers import CHROMIUM, play_to_the_end, seconds_of, started, watched
from echoframe import load
from planted_video import write_video
from shelves import write_shelf
from studios import served, studio_in

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
CAT = Path(__file__).parent / "data" / "chelsea.jpg"
LAPTOP, PHONE = {"width": 1280, "height": 800}, {"width": 390, "height": 844}
PATIENCE_MS = 120_000.0
# of what an address holds: its loudest sample, and how long it is
HEARD = """async (address) => {
    const data = await (await fetch(address)).arrayBuffer();
    const sound = await new OfflineAudioContext(1, 48000, 48000).decodeAudioData(data);
    return [sound.getChannelData(0).reduce((most, each) => Math.max(most, Math.abs(each)), 0), sound.duration];
}"""

# texts whose contrast is under 4.5 : 1 (WCAG 2, AA), but for what cannot be used; colours are laid over those behind them
PALE = """() => {
    const parse = (colour) => {
        const [r, g, b, a] = colour.match(/[\\d.]+/g).map(Number);
        return (colour.startsWith('color(srgb') ? [r * 255, g * 255, b * 255] : [r, g, b]).concat(a ?? 1);
    };
    const over = (top, below) => [0, 1, 2].map((n) => top[n] * top[3] + below[n] * (1 - top[3])).concat(1);
    const light = (colour) => {
        const part = (value) => value <= 10.02 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4;
        return 0.2126 * part(colour[0]) + 0.7152 * part(colour[1]) + 0.0722 * part(colour[2]);
    };
    const contrast = (each) => {
        let [behind, opacity, chain] = [[255, 255, 255, 1], 1, []];
        for (let at = each; at; at = at.parentElement) chain.unshift(getComputedStyle(at));
        for (const style of chain) {
            behind = over(parse(style.backgroundColor), behind);
            opacity *= style.opacity;
        }
        const text = parse(getComputedStyle(each).color);
        const [a, b] = [light(over([...text.slice(0, 3), text[3] * opacity], behind)), light(behind)];
        return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    };
    const has_text = (each) => [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    return [...document.querySelectorAll('body *')]
        .filter((each) => each.offsetParent && !each.closest(':disabled') && has_text(each) && contrast(each) < 4.5)
        .map((each) => `${contrast(each).toFixed(2)} ${each.textContent.trim().slice(0, 60)}`);
}"""


@pytest.fixture(scope="module")
def browser():
    with started() as browser:
        yield browser


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    """Two seconds of a cat, with a sound of its own."""
    cat = np.asarray(Image.open(CAT).convert("RGB").resize((240, 160)))
    images = [np.roll(cat, -n, axis=1)[:, :200] for n in range(16)]
    return write_video(tmp_path_factory.mktemp("films") / "cat.mp4", images=images, rate=Fraction(8), tone_hz=330.0)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    model, folder = load("mini"), tmp_path_factory.mktemp("libraries") / "kitchen"
    folder.mkdir()
    studio = studio_in(tmp_path_factory.mktemp("studio") / "own", model, kitchen=write_shelf(folder, model))
    with served(studio) as base:
        yield studio, base


@pytest.fixture
def visit(browser, site):
    """Opens the page in a context of its own; at the end, none asked for anything elsewhere."""
    _, base = site
    contexts, told = [], []

    def open_page(size=LAPTOP, **more):
        context = browser.new_context(viewport=size, **more)
        contexts.append(context)
        told.append(watched(context, base))
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.goto(base)
        page.locator("#go:enabled").wait_for()
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert [outside for outside, _ in told] == [[]] * len(told)
    assert [troubles for _, troubles in told] == [[]] * len(told)


def bring(page, film):
    page.locator("#film input[type=file]").set_input_files(film)
    page.locator("#seen img").wait_for()


def set_candidates(page, n):
    field = page.locator("#more").get_by_label("number input for Candidates")
    if not field.is_visible():
        page.locator("#more").get_by_role("button", name="More").click()
    for _ in range(20):  # within milliseconds after a field has appeared, Gradio gives it its first value once more
        field.fill(str(n))
        field.press("Enter")
        page.wait_for_timeout(200)
        if field.input_value() == str(n):
            return
    pytest.fail(f"the number of candidates stays {field.input_value()}")


def finished(page, n):
    """Waits until that many sounds are there; if they do not come, what the page says instead is in the failure."""
    expect(page.locator("#status")).to_contain_text(f"Done. {n} of {n} finished.", timeout=PATIENCE_MS)


def bottom(page, selector):
    return page.locator(selector).evaluate("each => each.getBoundingClientRect().bottom")


def test_a_visitor_brings_a_film_and_takes_its_sound_home(visit, film, tmp_path):
    page = visit()
    assert bottom(page, "#go") <= LAPTOP["height"]
    bring(page, film)
    assert "cat.mp4 2.0 s" in page.locator("#seen").inner_text()
    level = page.get_by_label(re.compile("number input for cat meowing"))
    level.wait_for()
    assert bottom(page, "#go") <= LAPTOP["height"]  # above the fold, with all labels

    set_candidates(page, 6)
    length = page.locator("#more").get_by_label("Length in seconds")
    length.fill("60")  # so that there is something to stop
    page.locator("#go").click()
    page.locator("#player video").wait_for()
    page.locator("#stop").click()
    stopped = page.get_by_text(re.compile("Stopped. [1-5] of 6 finished."))
    stopped.wait_for()
    first = page.locator("#player video").get_attribute("src")

    set_candidates(page, 2)
    length.fill("")
    page.locator("#prompt textarea").fill("heavy rain")
    level.fill("0.4")
    level.press("Enter")
    page.locator("#go:enabled").click()
    finished(page, 2)
    player = page.locator("#player video")
    assert player.get_attribute("src") != first
    record = page.request.get(page.get_by_role("link", name="Record").evaluate("link => link.href")).json()
    assert record["settings"]["prompt"] == "heavy rain"
    assert 0 < record["settings"]["labels"]["cat meowing"] < 1
    assert record["settings"]["seed"] == 0

    play_to_the_end(player)
    assert seconds_of(player) == pytest.approx(2.0, abs=0.1)
    loudest, lasts_s = page.evaluate(HEARD, player.evaluate("each => each.src"))
    assert loudest > 0.02
    assert lasts_s == pytest.approx(2.0, abs=0.1)

    page.get_by_label("Seed 1").check()
    page.locator("#player section[aria-label*='seed 1']").wait_for()
    page.locator("#keep").click()
    page.get_by_role("button", name="Kept").wait_for()
    page.get_by_label("Mix in the film's own sound").check()
    page.get_by_role("link", name="Film, with its own sound").wait_for()
    for name, ending in (("Film mp4", ".s1.mp4"), ("Timeline", ".s1.otio"), ("Sound wav", ".s1.wav")):
        with page.expect_download() as download:
            page.get_by_role("link", name=name, exact=False).first.click()
        assert download.value.suggested_filename == f"cat{ending}"
        download.value.save_as(tmp_path / ending)
        assert (tmp_path / ending).stat().st_size > 1000

    page.reload()
    page.locator("#seen img").wait_for()
    history = page.locator("#history input")
    history.click()
    page.get_by_role("option", name=re.compile("seed 1, 0:02, kept")).click()
    page.locator("#player section[aria-label*='seed 1']").wait_for()


def test_a_second_visitor_sees_their_place_and_nothing_of_the_first(visit, site, film):
    studio, _ = site
    first, second = visit(), visit(PHONE, color_scheme="dark")
    for page in (first, second):
        bring(page, film)
    with studio.line.place():
        for n, page in enumerate((first, second)):
            set_candidates(page, 1)
            page.locator("#go").click()
            page.get_by_text(("1 sound is", "2 sounds are")[n] + " made before yours.").wait_for()
    seen = []
    for page in (first, second):
        finished(page, 1)
        seen.append(page.locator("#player video").get_attribute("src").split("/")[1])
    assert len(set(seen)) == 2  # each in a sitting of its own
    second.locator("#history input").click()
    assert second.get_by_role("option").count() == 1


def test_what_is_shown_is_what_is_chosen(visit, film):
    page = visit()
    bring(page, film)
    set_candidates(page, 2)
    page.locator("#go").click()
    finished(page, 2)
    mixed, level = page.locator("#mixed input"), page.get_by_label("number input for Its level in dB")
    mixed.check()
    page.get_by_role("link", name="Film, with its own sound").wait_for()
    level.fill("3")
    level.blur()
    page.locator("#player video[src$='.mixed.mp4?3']").wait_for()

    page.locator("#history input").click()
    page.get_by_role("option", name=re.compile("seed 1")).click()
    page.locator("#player section[aria-label*='seed 1']").wait_for()
    expect(page.locator("#choice").get_by_label("Seed 1")).to_be_checked()
    expect(mixed).not_to_be_checked()
    level.fill("-20")
    level.blur()
    page.locator("#choice").get_by_label("Seed 0").check()
    page.locator("#player section[aria-label*='seed 0']").wait_for()
    expect(mixed).to_be_checked()
    expect(level).to_have_value("3")

    page.reload()
    page.locator("#go:enabled").wait_for()
    page.locator("#history input").click()
    page.get_by_role("option", name=re.compile("seed 0")).click()
    expect(mixed).to_be_checked()
    expect(level).to_have_value("3")


def test_nothing_else_is_begun_while_the_work_goes_on(visit, site):
    studio, _ = site
    page = visit()
    page.locator(".example-dog").click()
    page.locator("#seen img").wait_for()
    set_candidates(page, 1)
    page.locator("#go").click()
    finished(page, 1)
    for begin in (page.locator("#go"), page.locator("#again")):
        with studio.line.place():
            begin.click()
            waits = page.get_by_text("1 sound is made before yours.")
            waits.wait_for()
            page.locator("#prompt textarea").press("Enter")
            expect(page.locator("#go")).to_be_disabled()
            expect(page.locator("#again")).to_be_disabled()
            page.wait_for_timeout(500)  # so that what Enter did could be seen
            assert waits.is_visible()
            page.locator("#stop").click()
            page.get_by_text("Stopped. 0 of 1 finished.").wait_for()
    page.locator("#prompt textarea").press("Enter")
    finished(page, 1)
    page.locator("#player section[aria-label*='seed 1']").wait_for()


def test_a_film_is_recorded(visit):
    page = visit()
    page.get_by_role("button", name="Record one").click()
    page.get_by_role("button", name="Click to Access Webcam").click()
    record = page.get_by_label("start recording")
    record.click()
    page.wait_for_timeout(4000)  # a busy machine's camera begins late
    record.click()
    page.locator("#seen img").wait_for()
    page.locator("#go").click()
    finished(page, 2)
    assert seconds_of(page.locator("#player video")) > 0.5


def test_the_end_removes_what_was_sent_and_not_used(visit, site, film, tmp_path):
    studio, _ = site
    unused = shutil.copyfile(film, tmp_path / "unused.mp4")
    page = visit()
    page.get_by_role("tab", name="Many films").click()
    with page.expect_response(re.compile("queue/join")):
        page.locator("input[type=file][multiple]").set_input_files(unused)
    page.wait_for_timeout(500)  # so that the page has told whose it is
    assert list(studio.sittings.uploads.rglob("unused.mp4"))
    page.get_by_role("button", name="End this sitting").click()
    page.get_by_text("Drop a film above").wait_for()
    assert not list(studio.sittings.uploads.rglob("unused.mp4"))


def test_words_and_many_films_on_a_phone_with_the_keyboard(visit, film, tmp_path):
    page = visit(PHONE)
    for name in ("Film", "Words", "Many films"):
        page.get_by_role("tab", name=name, exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]  # nothing beyond the edge
    page.get_by_role("tab", name="Words", exact=True).focus()
    page.keyboard.press("Enter")
    page.locator("#words textarea").fill("heavy rain")
    page.get_by_label("Length in seconds").locator("visible=true").fill("1")
    page.locator("#words-go").focus()
    page.keyboard.press("Enter")
    page.locator("#words-player audio").wait_for()
    assert seconds_of(page.locator("#words-player audio")) == pytest.approx(1.0, abs=0.05)

    (tmp_path / "notes.mp4").write_text("no film")
    page.get_by_role("tab", name="Many films").click()
    page.locator("input[type=file][multiple]").set_input_files([film, tmp_path / "notes.mp4"])
    page.get_by_role("button", name="Generate all").click()
    with page.expect_download() as download:
        page.get_by_role("link", name="All files").click()
    assert download.value.suggested_filename == "sounds.zip"
    assert page.get_by_text("notes.mp4: ").is_visible()


def test_a_library_s_recordings_are_laid_into_a_film(visit, film, tmp_path):
    page = visit(PHONE)
    bring(page, film)
    assert not page.get_by_label("number input for Blend").is_visible()
    page.get_by_label("Library").locator("visible=true").click()
    page.get_by_role("option", name="kitchen").click()
    page.get_by_label("number input for Blend").wait_for()
    set_candidates(page, 1)
    assert page.get_by_label("number input for Sync").input_value() == "0.5"
    page.locator("#go").click()
    finished(page, 1)
    for layer in ("ambience", "events"):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"Stem: {layer}").click()
        assert download.value.suggested_filename == f"cat.s0.{layer}.wav"
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]


def test_what_cannot_be_used_is_said_on_the_page(visit, tmp_path):
    page = visit()
    page.locator("#go").click()
    page.get_by_role("alert").get_by_text("No film is here yet").wait_for()
    (tmp_path / "notes.mp4").write_text("no film at all")
    page.locator("#film input[type=file]").set_input_files(tmp_path / "notes.mp4")
    page.get_by_role("alert").get_by_text("notes.mp4: ").wait_for()
    page.get_by_role("button", name="End this sitting").click()
    page.get_by_text("Drop a film above").wait_for()


def test_everything_that_can_be_used_has_a_name(visit):
    """For those who hear the page."""
    page = visit()
    page.locator("#more").get_by_role("button", name="More").click()
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('button, input, textarea, select, video, audio, img, a[href]')]
            .filter((each) => each.offsetParent && each.type !== 'file')
            .filter((each) => !(each.ariaLabel || each.alt || each.innerText || each.title || each.labels?.length
                || each.getAttribute('aria-labelledby') || each.placeholder))
            .map((each) => each.outerHTML.slice(0, 200))"""
    )
    assert nameless == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_can_be_read(visit, film, scheme):
    page = visit(color_scheme=scheme)
    page.locator("#more").get_by_role("button", name="More").click()
    bring(page, film)
    page.get_by_text("another number gives another sound").first.wait_for()
    assert page.evaluate(PALE) == []
