"""A tab keeps its conversation in a real browser: through Back, a reload and a gateway that ends and comes again."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Page, expect

from tests.browser.conftest import Scene, ask, write
from tests.browser.gateways import Gateway

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]
QUESTION = "What is 6 * 7?"
LONG = "word " * 4_000


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    yield made
    made.end()


def talk(page: Page, address: str, question: str = QUESTION) -> None:
    """Ask, and wait for the end."""
    ask(page, address, question)
    expect(page.locator(".answer")).to_have_count(1)
    expect(page.get_by_role("button", name="Send")).to_be_visible()


def test_the_conversation_is_there_again_after_back_and_after_a_reload(page: Page, scene: Scene) -> None:
    talk(page, scene("swarm"))
    page.get_by_role("link", name="Open the record").click()
    expect(page.locator(".replay")).to_be_visible()
    page.go_back()
    for _ in range(2):
        expect(page.locator(".question")).to_have_text(QUESTION)
        expect(page.locator(".answer-words")).to_have_text("42")
        expect(page.locator(".welcome")).to_be_hidden()
        expect(page.get_by_label("Question")).to_have_value("")
        page.reload()
    write(page, "What is the capital of Peru?")
    expect(page.locator(".answer")).to_have_count(2)
    expect(page.get_by_role("button", name="Send")).to_be_visible()
    page.reload()
    expect(page.locator(".question")).to_have_text([QUESTION, "What is the capital of Peru?"])


def test_a_round_that_ended_while_another_page_was_looked_at_is_there_after_back(page: Page, scene: Scene) -> None:
    address = scene("swarm")
    page.goto(address)
    page.wait_for_load_state("networkidle")
    write(page, QUESTION)
    expect(page.locator(".dot.thinking")).not_to_have_count(0)
    page.goto(f"{address}/swarm")
    expect(page.locator(".facts")).to_contain_text("0 running")
    page.go_back()
    expect(page.locator(".answer-words")).to_have_text("42")
    expect(page.get_by_label("Question")).to_have_value("")


def test_a_new_conversation_begins_empty_and_stays_so(page: Page, scene: Scene) -> None:
    address = scene("swarm")
    page.goto(address)
    expect(page.locator(".welcome")).to_be_visible()
    expect(page.get_by_role("button", name="New conversation")).to_be_hidden()
    talk(page, address)
    page.reload()
    expect(page.locator(".answer")).to_have_count(1)
    page.get_by_role("button", name="New conversation").click()
    expect(page.locator(".question")).to_have_count(0)
    expect(page.locator(".welcome")).to_be_visible()
    page.reload()
    expect(page.locator(".welcome")).to_be_visible()
    assert page.locator(".question").count() == 0


def test_another_tab_does_not_see_the_conversation_and_no_cookie_holds_it(
    context: BrowserContext, scene: Scene
) -> None:
    page, other, address = context.new_page(), context.new_page(), scene("swarm")
    talk(page, address)
    other.goto(address)
    expect(other.locator(".welcome")).to_be_visible()
    other.wait_for_load_state("networkidle")
    assert other.locator(".question").count() == 0
    assert [cookie for cookie in context.cookies() if "waggle" in str(cookie)] == []


def test_rounds_that_are_no_more_and_nonsense_are_left_out_silently(page: Page, scene: Scene) -> None:
    address = scene("swarm")
    for kept in ('["00000000000000000000000000000000", "../x", 7]', "nonsense", '{"a": 1}'):
        page.goto(address)
        page.evaluate("kept => sessionStorage.setItem('waggle-rounds', kept)", kept)
        page.reload()
        expect(page.locator(".welcome")).to_be_visible()
        assert page.get_by_role("alert").filter(has_text="round").count() == 0
    talk(page, address)  # what was nonsense does not stand in the way
    page.reload()
    expect(page.locator(".question")).to_have_text(QUESTION)


def test_without_a_history_the_page_starts_empty(page: Page, scene: Scene) -> None:
    talk(page, scene("bare"))
    assert page.evaluate("sessionStorage.getItem('waggle-rounds')") is None
    page.reload()
    expect(page.locator(".welcome")).to_be_visible()
    assert page.locator(".question").count() == 0


def test_who_signs_out_takes_the_conversation_along(
    page: Page, scene: Scene, tmp_path_factory: pytest.TempPathFactory
) -> None:
    address = scene("locked")
    folder = next(each for each in tmp_path_factory.getbasetemp().iterdir() if each.name.startswith("locked"))

    def sign_in() -> None:
        page.goto(f"{address}/login")
        page.locator("input[type=password], input[name=key]").first.fill((folder / "admin.key").read_text())
        page.keyboard.press("Enter")
        expect(page.get_by_label("Question")).to_be_visible()

    sign_in()
    talk(page, address)
    page.goto(f"{address}/node")
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_url(f"{address}/login**")
    sign_in()
    expect(page.locator(".welcome")).to_be_visible()
    assert page.evaluate("sessionStorage.getItem('waggle-rounds')") is None


def test_a_long_question_does_not_hide_what_became_of_it(phone: BrowserContext, scene: Scene) -> None:
    page = phone.new_page()
    talk(page, scene("swarm"), LONG)
    question, verdict = page.locator(".question"), page.locator(".answer")
    expect(verdict).to_be_in_viewport(ratio=0.5)
    box = question.bounding_box()
    assert box is not None
    assert box["height"] < 300
    button = question.get_by_role("button", name="Show all")
    button.focus()
    page.keyboard.press("Enter")
    expect(question.get_by_role("button", name="Show less")).to_have_attribute("aria-expanded", "true")
    page.wait_for_function("document.querySelector('.question').clientHeight > 2000")
    page.keyboard.press("Enter")
    page.wait_for_function("document.querySelector('.question').clientHeight < 300")
    page.get_by_role("link", name="Open the record").click()
    expect(page.locator(".title .words")).to_be_visible()
    page.wait_for_function("document.querySelector('.title.clamped').clientHeight < 300")
    expect(page.locator(".title").get_by_role("button", name="Show all")).to_be_visible()


def test_a_text_of_which_nothing_is_hidden_has_no_button(page: Page, scene: Scene) -> None:
    talk(page, scene("swarm"), "word " * 40)
    expect(page.locator(".question.clamped")).to_have_attribute("data-fits", "")
    expect(page.get_by_role("button", name="Show all")).to_be_hidden()


def test_while_the_gateway_is_away_nothing_moves_and_all_comes_back_with_it(page: Page, gateway: Gateway) -> None:
    gateway.start("swarm")
    talk(page, gateway.address)
    gateway.end()
    banner = page.get_by_role("alert").filter(has_text="The gateway cannot be reached")
    expect(banner).to_be_visible()
    gateway.start("hang")
    expect(banner).to_be_hidden()
    expect(page.locator(".answer-words")).to_have_text("42")
    page.wait_for_load_state("networkidle")
    write(page, "Which way is north?")
    expect(page.locator(".dot.thinking")).to_have_count(3)
    gateway.end()
    expect(banner).to_be_visible()
    expect(page.get_by_text("Nothing can be sent until the gateway is back.")).to_be_visible()
    expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    assert page.evaluate("document.querySelector('.composer-box').inert")
    assert page.evaluate("getComputedStyle(document.querySelector('.dot.thinking')).animationName") == "none"
    covered = "document.querySelector('#popup').getBoundingClientRect().bottom"
    page.wait_for_function(f"document.querySelector('.bar').getBoundingClientRect().top >= {covered} - 1")
    gateway.start("swarm")
    expect(banner).to_be_hidden()
    expect(page.get_by_label("Question")).to_have_value("Which way is north?")
    expect(page.locator(".answer-words")).to_have_text("42")
    page.get_by_role("button", name="Send").click()
    expect(page.locator(".answer")).to_have_count(2)
