"""The rating page as people use it: in a real Chromium, without a window, at a phone's size."""

import json
from contextlib import closing

import pytest

from browsers import CHROMIUM, play_to_the_end, started
from echoframe.rating.answers import Answers
from echoframe.rating.report import make_report
from echoframe.rating.study import ANSWERS, PREFERENCE
from rated import served, small_study

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


@pytest.fixture(scope="module")
def browser():
    with started() as browser:
        yield browser


@pytest.fixture
def phone(browser):
    with browser.new_context(viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True) as context:
        yield context


def open_page(context, link, troubles):
    page = context.new_page()
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("dialog", lambda dialog: troubles.append(dialog.message))
    page.goto(link)
    page.locator("#start").tap()
    return page


def wait_until(page, holds):
    """Waits until a JavaScript function says true. The page's policy refuses `wait_for_function` of Playwright 1.50."""
    page.evaluate(
        f"() => new Promise((go) => {{ const look = () => (({holds})() ? go() : setTimeout(look, 50)); look(); }})"
    )


def listen(page, *, speed=1):
    """Plays everything on the screen to its end."""
    for player in page.locator("video, audio").all():
        play_to_the_end(player, speed=speed)


def answer(page, choice):
    """Listens, and takes the choice-th answer (from 0) to each question; goes on."""
    assert page.locator("fieldset:disabled").count() == page.locator("fieldset").count()
    assert page.locator("#next").is_disabled()
    listen(page)
    page.locator("fieldset:not(:disabled)").first.wait_for()
    for fieldset in page.locator("fieldset").all():
        fieldset.locator("label").nth(choice).tap()
    place = page.locator("#place").inner_text()
    page.locator("#next").tap()
    wait_until(page, f"() => document.getElementById('place').textContent !== {json.dumps(place)}")


def invited(folder):
    with closing(Answers(folder / ANSWERS)) as answers:
        return answers.invite(1)[0]


def all_answers(folder):
    with closing(Answers(folder / ANSWERS)) as answers:
        return answers.all()


def test_a_rater_finishes_a_study_of_films_after_closing_the_page(tmp_path, phone):
    study, folder = small_study(tmp_path, films=True, clips=2, checks=1, title="<img src=x onerror=alert(1)>")
    rater = invited(folder)
    items = study.items_for(rater.number)
    choices = {
        item.id: item.beeps[0] - 1 if item.beeps else {"ours": 3, "theirs": 1}[item.systems[0]] for item in items
    }
    troubles: list[str] = []
    with served(folder) as (_, link):
        page = open_page(phone, link, troubles)
        assert page.title() == study.title == page.locator("h1").inner_text()
        assert page.locator("video").evaluate("v => v.getBoundingClientRect().right") <= 360  # nothing beyond the edge
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        for item in items[:2]:
            answer(page, choices[item.id])
        page.close()
    with served(folder) as (_, link):
        page = open_page(phone, link, troubles)
        assert page.locator("#place").inner_text() == "3 of 5"
        for item in items[2:]:
            answer(page, choices[item.id])
        assert page.get_by_text("That was all. Thank you!").is_visible()
        page.locator("#again").tap()
        assert page.locator("input:checked").count() == 3
    assert troubles == []
    report = make_report(study, all_answers(folder))
    values = {line.name: {key: cell.value for key, cell in line.cells.items()} for line in report.table.lines}
    asked = ("quality", "relevance", "synchrony")
    assert values == {
        "ours": dict.fromkeys(asked, 4.0),
        "theirs": dict.fromkeys(asked, 2.0),
        "ours - theirs": dict.fromkeys(asked, 2.0),
    }
    assert report.raters == {1: {"items": 5, "of": 5, "checks": 1, "checks_wrong": 0, "counts": True}}


def test_a_rater_prefers_one_system_wherever_it_stands_and_changes_their_mind(tmp_path, phone):
    study, folder = small_study(tmp_path, clips=4, checks=0, pairs=True)
    with closing(Answers(folder / ANSWERS)) as answers:
        raters = answers.invite(20)

    def sides_of(rater):
        """Where "ours" stands: the first answer is the left one, the third the right one."""
        return [2 if study.is_swapped(rater.number, item) else 0 for item in study.items_for(rater.number)]

    rater = next(rater for rater in raters if set(sides_of(rater)) == {0, 2})
    sides = sides_of(rater)
    troubles: list[str] = []
    with served(folder) as (_, link):
        page = open_page(phone, f"{link.rpartition('/')[0]}/{rater.token}", troubles)
        for side in sides:
            answer(page, side)
        page.locator("#again").tap()
        page.locator("label").nth(1).tap()  # no need to listen again
        page.locator("#next").tap()
        page.get_by_text("2 of 4").wait_for()
        page.locator("#back").tap()
        assert page.locator("input:checked").get_attribute("value") == "same"
    assert troubles == []
    lines = make_report(study, all_answers(folder)).table.lines
    assert {line.name: line.cells[PREFERENCE].value for line in lines} == {
        "ours": 0.875,
        "theirs": 0.125,
        "ours against theirs": 0.875,
    }


def test_an_answer_that_cannot_be_kept_is_said_and_kept_once_it_can(tmp_path, phone):
    study, folder = small_study(tmp_path, clips=1, checks=0)
    invited(folder)
    troubles: list[str] = []
    with served(folder) as (process, link):
        page = open_page(phone, link, troubles)
        listen(page)
        page.locator("label").nth(3).tap()
        process.kill()
        process.wait()
        page.locator("#next").tap()
        page.get_by_text("Your answer is not saved yet").wait_for()
        port = int(link.split(":")[2].split("/")[0])
    with served(folder, port=port):
        page.locator("#next").tap()
        page.get_by_text("2 of 2").wait_for()
    assert [found.value for found in all_answers(folder)] == [4]
    assert troubles == []


def test_what_was_played_fast_or_skipped_was_not_heard(tmp_path, phone):
    _, folder = small_study(tmp_path, clips=1, checks=0)
    invited(folder)
    troubles: list[str] = []
    with served(folder) as (_, link):
        page = open_page(phone, link, troubles)
        listen(page, speed=8)
        page.get_by_text("Part of it was skipped or played faster").wait_for()
        page.locator("audio").evaluate(
            "p => new Promise((go) => { p.onended = go; p.playbackRate = 1; p.currentTime = p.duration - 0.05; p.play(); })"
        )
        assert page.locator("fieldset:disabled").count() == page.locator("fieldset").count()
        listen(page)
        page.locator("fieldset:not(:disabled)").first.wait_for()
    assert troubles == []


def test_the_first_second_heard_again_and_again_is_one_second(tmp_path, phone):
    _, folder = small_study(tmp_path, clips=1, checks=0, seconds=4)
    invited(folder)
    troubles: list[str] = []
    with served(folder) as (_, link):
        page = open_page(phone, link, troubles)
        wait_until(page, "() => document.querySelector('audio').readyState > 2")
        page.locator("audio").evaluate(
            """(p) => new Promise((go, no) => {
                const again = setInterval(() => { if (p.currentTime >= 1) p.currentTime = 0; }, 20);
                p.play().catch(no);
                setTimeout(() => { clearInterval(again); p.pause(); go(); }, 6000);
            })"""
        )
        assert page.locator("fieldset:disabled").count() == page.locator("fieldset").count()
        # what was not heard yet, and no more
        page.locator("audio").evaluate(
            "p => new Promise((go, no) => { p.onended = go; p.currentTime = 0.8; p.play().catch(no); })"
        )
        page.locator("fieldset:not(:disabled)").first.wait_for()
    assert troubles == []


@pytest.mark.parametrize("pairs", [False, True])
def test_a_laptop_s_window_shows_all_of_an_item(tmp_path, browser, pairs):
    _, folder = small_study(tmp_path, films=True, clips=1, checks=0, pairs=pairs)
    invited(folder)
    with browser.new_context(viewport={"width": 1280, "height": 800}) as context, served(folder) as (_, link):
        page = context.new_page()
        page.goto(link)
        page.locator("#start").click()
        page.locator("#next").wait_for()
        wait_until(page, "() => [...document.querySelectorAll('video')].every((v) => v.readyState > 0)")
        assert page.evaluate("document.documentElement.scrollHeight") <= 800
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280


def test_a_forged_link_says_so(tmp_path, phone):
    _, folder = small_study(tmp_path, clips=1, checks=0)
    invited(folder)
    with served(folder) as (_, link):
        page = phone.new_page()
        page.goto(f"{link}x")
        assert page.get_by_text("This link is not known").is_visible()
