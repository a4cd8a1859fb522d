"""The options of a question, and what other pages say of nodes and searches, in a real browser."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Scene, ask, write
from tests.browser.gateways import Gateway

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
QUESTION = "What is 6 * 7?"


def opened(page: Page, address: str) -> None:
    """The first page with its options."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.get_by_text("Options").click()


def test_a_number_out_of_bounds_is_told_and_not_changed(page: Page, scene: Scene) -> None:
    opened(page, scene("swarm"))
    for name, bad, bounds in (
        ("Seconds at most", "-5", "must be between 0.1 and 600 seconds"),
        ("Seconds at most", "0.01", "must be between 0.1 and 600 seconds"),
        ("Tokens at most", "-1", "must be between 1 and 10,000,000 tokens"),
    ):
        field = page.get_by_label(name)
        field.fill(bad)
        page.keyboard.press("Tab")
        expect(page.locator(".options")).to_contain_text(bounds)
        expect(field).to_have_value(bad)
        write(page, QUESTION)
        expect(page.get_by_text(re.compile(f"Not sent: .*{bounds}"))).to_be_visible()
        expect(page.get_by_label("Question")).to_have_value(QUESTION)
        assert page.locator(".question").count() == 0
        field.fill("60" if name.startswith("Seconds") else "")
    page.get_by_label("Question").press("Enter")
    expect(page.locator(".answer")).to_be_visible()


def test_ways_are_named_as_in_the_api_and_rounds_are_called_by_them(page: Page, scene: Scene) -> None:
    opened(page, scene("swarm"))
    page.get_by_role("combobox", name="Strategy").click()
    expect(page.get_by_role("option").first).to_be_visible()
    names = [re.split("[,:]", text)[0] for text in page.get_by_role("option").all_inner_texts()]
    assert names[:5] == ["auto", "committee", "vote", "best", "solo"]
    expect(page.get_by_role("option", name="auto,")).to_have_class(re.compile("q-item--active"))
    page.get_by_role("option", name="committee,").click()
    write(page, QUESTION)
    page.get_by_role("link", name="Open the record").click()
    expect(page.get_by_label("Facts")).to_contain_text("committee")
    page.get_by_role("link", name="All rounds").click()
    expect(page.locator(".round-row").first).to_contain_text("committee")


def test_the_options_close_when_a_question_is_sent(phone: BrowserContext, scene: Scene) -> None:
    page = phone.new_page()
    opened(page, scene("swarm"))
    expect(page.get_by_role("combobox", name="Strategy")).to_be_visible()
    page.get_by_label("Question").fill(QUESTION)
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".answer")).to_be_visible()
    expect(page.get_by_text("Options")).to_be_visible()
    expect(page.get_by_role("combobox", name="Strategy")).to_be_hidden()


def test_that_earlier_turns_would_not_be_read_is_said(page: Page, scene: Scene) -> None:
    opened(page, scene("hive"))
    expect(page.locator(".turns")).to_contain_text("no model that is asked this way reads them")
    expect(page.get_by_role("switch")).to_be_hidden()
    opened(page, scene("swarm"))
    expect(page.get_by_role("switch")).to_be_visible()


def test_a_search_is_in_the_address_and_there_again_after_back(page: Page, scene: Scene) -> None:
    address = scene("swarm")
    ask(page, address, "Spell honey backward")
    expect(page.locator(".answer")).to_be_visible()
    page.goto(f"{address}/rounds")
    page.get_by_label("Search rounds").fill("honey back")
    expect(page).to_have_url(f"{address}/rounds?q=honey+back")
    page.locator(".round-row").first.click()
    expect(page.locator(".replay")).to_be_visible()
    page.go_back()
    expect(page.get_by_label("Search rounds")).to_have_value("honey back")
    expect(page.locator(".round-row").first).to_contain_text("Spell honey backward")
    page.get_by_label("Search rounds").fill("")
    expect(page).to_have_url(f"{address}/rounds")


def test_the_button_that_plays_a_replay_pauses_it(page: Page, scene: Scene) -> None:
    ask(page, scene("swarm"), QUESTION)
    page.get_by_role("link", name="Open the record").click()
    page.get_by_role("button", name="Play").click()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(page.get_by_role("button", name="Pause")).to_have_count(0)
    page.get_by_role("button", name="Play").click()
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    page.get_by_label("Step of the round").fill("2")
    expect(page.get_by_role("button", name="Play")).to_be_visible()


def test_a_guess_of_an_abstention_looks_like_none_and_says_what_was_asked(page: Page, scene: Scene) -> None:
    address = scene("swarm")
    opened(page, address)
    page.locator(".options .slider").fill("0.99")
    write(page, "What is the capital of Peru?")
    expect(page.locator(".answer.unsure")).to_be_visible()
    expect(page.locator(".candidate.first.unsure")).to_have_count(1)
    page.goto(f"{address}/rounds")
    expect(page.locator(".round-row").first).to_contain_text("of 99 % asked")


def test_the_own_node_has_its_name_and_a_label(page: Page, scene: Scene) -> None:
    page.goto(scene("peers") + "/swarm")
    expect(page.locator(".fact", has_text="This node").locator(".fact-value")).to_have_text("node")
    expect(page.locator("svg.network").get_by_text("this node")).to_be_visible()


def test_a_node_that_has_gone_leaves_a_trace(context: BrowserContext, tmp_path: Path) -> None:
    page, gateway = context.new_page(), Gateway(tmp_path)
    try:
        gateway.start("peers")
        page.goto(f"{gateway.address}/swarm")
        row = page.locator(".peer-row", has_text="amber-box")
        expect(row).to_contain_text("usable")
        context.request.post(f"{gateway.address}/scene/leave")
        expect(row).to_contain_text("gone,")
        expect(page.locator("svg.network")).not_to_contain_text("amber-box")
    finally:
        gateway.end()
