"""What is written can be read, by day and by night, and nothing is cut or hidden: measured in a real browser."""

import re
from contextlib import suppress
from typing import Literal

import pytest
from playwright.sync_api import Browser, BrowserContext, Error, Page, expect

from tests.browser.conftest import WAIT_MS, Scene, ask

pytestmark = [pytest.mark.browser, pytest.mark.timeout(400)]
PAGES = ("/", "/swarm", "/rounds", "/quality", "/node", "/nothing")

FAINT = """() => {
  const canvas = document.createElement('canvas').getContext('2d', {willReadFrequently: true});
  const rgba = text => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data; return [r, g, b, a / 255];
  };
  const over = (a, b) => [0, 1, 2].map(i => a[i] * a[3] + b[i] * (1 - a[3])).concat(1);
  const light = c => { const f = v => (v /= 255) <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4;
    return .2126 * f(c[0]) + .7152 * f(c[1]) + .0722 * f(c[2]); };
  const up = function* (e) { for (; e; e = e.parentElement) yield e; };
  const behind = e => [...up(e)].map(n => rgba(getComputedStyle(n).backgroundColor)).reverse()
    .reduce((below, c) => over(c, below), [255, 255, 255, 1]);
  const found = [], texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const text = texts.currentNode.textContent.trim(), e = texts.currentNode.parentElement;
    if (!text || e.closest('script, style, title, .sr, .q-icon, [aria-hidden=true]') ||
        !e.getBoundingClientRect().width) continue;
    const style = getComputedStyle(e), size = parseFloat(style.fontSize), back = behind(e);
    const see = [...up(e)].reduce((share, n) => share * getComputedStyle(n).opacity, 1);
    const ink = rgba(e instanceof SVGElement ? style.fill : style.color); ink[3] *= see;
    const [a, b] = [light(over(ink, back)), light(back)].sort((x, y) => y - x);
    const large = size >= 24 || (size >= 18.66 && style.fontWeight >= 700);
    if ((a + .05) / (b + .05) < (large ? 3 : 4.5)) found.push(`${text.slice(0, 40)}: ${(a + .05) / (b + .05)}`);
  }
  return found;
}"""
"""Texts whose contrast is below what WCAG 2 asks for at level AA."""

CUT = """() => [...document.querySelectorAll('.command, .chip, .fact-value, button, th, td, label, p, h1, h2')]
  .filter(e => e.offsetParent && e.scrollWidth > e.clientWidth + 1 && !e.closest('.cut, .sr'))
  .map(e => e.textContent)"""


def open_at(page: Page, address: str) -> None:
    """Open it, and wait until it is drawn."""
    page.goto(address)
    page.wait_for_load_state("networkidle")
    expect(page.get_by_role("main")).to_be_visible()


def found(page: Page, script: str) -> list[str]:
    """What a script finds on a page that has come to rest: what still moves in may be faint or cut for a moment."""
    with suppress(Error):
        page.wait_for_function(f"() => ({script})().length === 0", timeout=10_000)
    return list(page.evaluate(script))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_the_contrast_that_wcag_asks_for(
    browser: Browser, scene: Scene, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme)
    context.set_default_timeout(WAIT_MS)
    page = context.new_page()
    for path in PAGES:
        open_at(page, scene("swarm") + path)
        assert found(page, FAINT) == [], path
    for name, path in (("peers", "/swarm"), ("ailing", "/swarm"), ("ailing", "/node"), ("locked", "/login")):
        open_at(page, scene(name) + path)
        assert found(page, FAINT) == [], f"{name}{path}"
    for name in ("swarm", "down", "hostile"):
        ask(page, scene(name), "What is 6 * 7?")
        page.get_by_role("link", name="Open the record").click()
        expect(page.locator(".replay")).to_be_visible()
        assert found(page, FAINT) == [], name
    context.close()


def test_faint_text_would_be_found(page: Page, scene: Scene) -> None:
    open_at(page, scene("swarm"))
    page.evaluate("document.querySelector('.empty-title').style.color = '#ccc'")
    (faint,) = page.evaluate(FAINT)
    assert faint.startswith("Ask, and watch the swarm think")


@pytest.mark.parametrize("name", ["swarm", "bare", "ailing", "peers", "lan50"])
def test_nothing_is_cut_on_a_phone(phone: BrowserContext, scene: Scene, name: str) -> None:
    page = phone.new_page()
    for path in PAGES:
        open_at(page, scene(name) + path)
        page.wait_for_function("document.documentElement.scrollWidth === 390")
        assert found(page, CUT) == [], path


def test_fields_of_the_options_have_a_border(page: Page, scene: Scene) -> None:
    open_at(page, scene("swarm"))
    page.get_by_text("Options").click()
    border = "e => getComputedStyle(e, ':before').borderTopStyle + getComputedStyle(e, ':before').display"
    fields = page.locator(".options .q-field__control")
    expect(fields).to_have_count(3)
    assert {field.evaluate(border) for field in fields.all()} == {"solidblock"}


def test_whatever_has_the_focus_shows_it(page: Page, scene: Scene) -> None:
    open_at(page, scene("swarm"))
    page.get_by_text("Options").click()
    page.get_by_role("link", name="Skip to the page").focus()
    seen = []
    for _ in range(16):
        page.keyboard.press("Tab")
        seen.append(
            page.evaluate(
                "(() => { const e = document.activeElement, s = getComputedStyle(e); return e.tagName + ' ' + "
                "(s.outlineStyle !== 'none' || !!e.closest('.q-field--focused, .composer-box:focus-within')); })()"
            )
        )
    assert len(seen) == 16
    assert [each for each in seen if each.endswith("false") and not each.startswith("BODY")] == []


def test_an_unknown_address_is_answered_with_a_page_that_leads_on(page: Page, scene: Scene) -> None:
    reply = page.goto(f"{scene('swarm')}/nothing")
    assert reply is not None
    assert reply.status == 404
    expect(page.get_by_role("heading", name="Nothing is here", level=2)).to_be_visible()
    page.get_by_role("link", name="Ask the swarm").click()
    expect(page).to_have_title("Ask the swarm · waggle")


def test_a_failed_round_has_no_phase_that_looks_done(page: Page, scene: Scene) -> None:
    ask(page, scene("down"), "What is 6 * 7?")
    expect(page.locator(".step.bad")).to_have_count(2)
    expect(page.locator(".step.done")).to_have_count(0)
    expect(page.locator(".steps")).to_contain_text("no answer")


def test_an_engine_that_is_down_is_told_wherever_models_are_shown(page: Page, scene: Scene) -> None:
    address = scene("ailing")
    for path in ("/", "/swarm"):
        page.goto(address + path)
        notice = page.get_by_role("region", name="Engines that are down")
        expect(notice).to_contain_text("2 engines cannot be used now; the others answer meanwhile.")
        expect(notice).to_contain_text("basil: it cannot be reached")
    expect(page.locator(".skills .chip.bad")).to_have_count(2)
    expect(page.locator("svg.network circle.peer.off")).to_have_count(2)
    page.goto(f"{address}/node")
    expect(page.locator(".listed", has_text="elder")).to_contain_text(re.compile("down.*it is out of memory", re.S))
    page.goto(address)
    page.get_by_text("Options").click()
    page.get_by_role("combobox", name="Strategy").click()
    expect(page.get_by_role("option", name=re.compile("amber"))).to_be_visible()
    expect(page.get_by_role("option", name=re.compile("basil"))).to_have_count(0)


@pytest.mark.parametrize("count", [1, 2, 7, 50])
def test_names_in_the_network_do_not_lie_on_one_another(page: Page, scene: Scene, count: int) -> None:
    open_at(page, f"{scene(f'lan{count}')}/swarm")
    boxes = page.locator("svg.network text:not(.soft)").evaluate_all(
        "all => all.map(e => { const b = e.getBoundingClientRect(); return [b.left, b.top, b.right, b.bottom]; })"
    )
    assert len(boxes) == min(count, 40)
    hits = [
        (one, other)
        for place, one in enumerate(boxes)
        for other in boxes[:place]
        if min(one[2], other[2]) > max(one[0], other[0]) and min(one[3], other[3]) - max(one[1], other[1]) > 3
    ]
    assert hits == []
