"""Asking in a real browser: the round is seen as it happens, and its end is plain."""

import re

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Scene, Watched, ask, write

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
QUESTION = "What is 6 * 7?"
RECORDER = """window.seen = new Set(); setInterval(() => window.seen.add(
  [...document.querySelectorAll('.candidate .num')].map(e => e.textContent).join(' ')), 20)"""


def test_a_question_shows_proposers_then_ballots_then_the_answer(page: Page, scene: Scene) -> None:
    ask(page, scene("slow"), QUESTION)
    expect(page.locator(".dot.thinking")).not_to_have_count(0)
    expect(page.locator(".proposer")).to_have_count(7)
    expect(page.locator(".step.now")).to_contain_text("Rank")
    expect(page.locator(".strip .tick.leader")).not_to_have_count(0)
    early = page.locator(".ballots").inner_text()
    expect(page.locator(".answer")).to_contain_text("The swarm answers")
    expect(page.locator(".answer-words")).to_have_text("42")
    assert page.locator(".ballots").inner_text() != early  # more ballots came while we watched
    expect(page.locator(".answer .chip")).not_to_have_count(0)
    expect(page.locator(".answer")).to_contain_text("Confidence")


def test_strengths_move_while_ballots_arrive(page: Page, scene: Scene) -> None:
    page.add_init_script(RECORDER)
    ask(page, scene("slow"), "Which way is north?")
    expect(page.locator(".answer")).to_be_visible()
    seen = page.evaluate("[...window.seen]")
    assert len([text for text in seen if text]) > 2, seen


def test_a_question_that_is_stopped_says_so_and_another_can_be_asked(page: Page, scene: Scene) -> None:
    ask(page, scene("hang"), QUESTION)
    expect(page.locator(".proposer")).to_have_count(3)
    page.get_by_role("button", name="Stop").click()
    expect(page.get_by_role("heading", name="Stopped")).to_be_visible()
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    write(page, "Another one?")
    expect(page.locator(".question")).to_have_count(2)


def test_closing_the_page_ends_the_work_on_its_question(context: BrowserContext, scene: Scene) -> None:
    page, other = context.new_page(), context.new_page()
    ask(page, scene("left"), QUESTION)
    other.goto(f"{scene('left')}/swarm")
    expect(other.locator(".facts")).to_contain_text("1 running")
    page.close()
    expect(other.locator(".facts")).to_contain_text("0 running")


def test_an_abstention_is_said_plainly_with_the_best_guess(page: Page, scene: Scene) -> None:
    ask(page, scene("hostile"), QUESTION)
    expect(page.locator(".answer.unsure")).to_contain_text("not sure enough to answer")


def test_a_round_in_which_all_fail_is_a_failure_with_reasons(page: Page, scene: Scene) -> None:
    ask(page, scene("down"), QUESTION)
    expect(page.locator(".answer.failed")).to_contain_text("there is no answer")
    expect(page.locator(".answer.failed")).to_contain_text("amber crashed")


def test_without_an_engine_the_page_says_what_to_do(page: Page, scene: Scene) -> None:
    page.goto(scene("nobody"))
    expect(page.get_by_role("heading", name="Nobody can answer yet")).to_be_visible()
    write(page, QUESTION)
    expect(page.get_by_role("alert")).to_contain_text("No model can be reached")
    expect(page.get_by_text("waggle doctor").last).to_be_visible()


def test_the_options_are_kept(page: Page, scene: Scene) -> None:
    page.goto(scene("swarm"))
    page.get_by_text("Options").click()
    page.get_by_role("combobox", name="Strategy").click()
    page.get_by_role("option", name=re.compile("^vote, the most frequent answer", re.I)).click()
    page.locator(".options .slider").fill("0.9")
    expect(page.locator(".options")).to_contain_text("Confidence wanted: 90 %")
    write(page, QUESTION)
    expect(page.locator(".answer")).to_contain_text("asked for 90 %")
    expect(page.locator(".ballots")).to_contain_text("none asked for")


def test_a_node_that_is_lost_while_we_watch_costs_only_itself(context: BrowserContext, scene: Scene) -> None:
    page = context.new_page()
    address = scene("mesh")
    ask(page, address, QUESTION)
    expect(page.locator(".dot.thinking")).not_to_have_count(0)
    context.request.post(f"{address}/scene/lose")
    expect(page.locator(".proposer .dot.failed")).to_have_count(1)
    expect(page.locator(".answer-words")).to_have_text("42")
    expect(page.locator(".answer")).to_contain_text("ginkgo failed")
    page.goto(f"{address}/swarm")
    expect(page.locator(".peers")).to_contain_text("no answer")


def test_two_people_do_not_see_each_other(context: BrowserContext, phone: BrowserContext, scene: Scene) -> None:
    address = scene("slow")
    mine, other = context.new_page(), phone.new_page()
    other.goto(address)
    ask(mine, address, QUESTION)
    expect(mine.locator(".question")).to_have_count(1)
    expect(mine.locator(".answer-words")).to_have_text("42")
    assert other.locator(".question").count() == 0
    expect(other.get_by_role("button", name="Send")).to_be_visible()


@pytest.mark.parametrize("shown", ["/", "record"])
def test_what_models_write_is_shown_as_text(page: Page, scene: Scene, shown: str) -> None:
    watched, address = Watched(page), scene("hostile")
    ask(page, address, '<img src=x onerror="window.pwned = 9">**bold**')
    expect(page.locator(".answer")).to_be_visible()
    if shown == "record":
        page.get_by_role("link", name="Open the record").click()
        expect(page.locator(".replay")).to_be_visible()
    text = page.get_by_role("main").inner_text()
    assert "<script>window.pwned = 1</script>" in text
    assert "![x](http://evil.example/x.png)" in text
    assert "\\x1b[31mred" in text
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert page.evaluate("window.pwned") is None
    assert page.locator(".page img, .page script, .page a[href*='evil'], .page b, .page em").count() == 0
    assert [url for url in watched.addresses if not url.split("://")[1].startswith("127.0.0.1:")] == []
