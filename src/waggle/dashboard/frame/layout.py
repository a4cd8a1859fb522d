"""What every page has: its title, the links between the pages, and a main part that the keyboard can jump to."""

from collections.abc import Iterator
from contextlib import contextmanager

from nicegui import ui

from waggle.dashboard.frame.elements import box, drawing, icon, shape, words
from waggle.dashboard.frame.theme import COMB, dress_page, theme_switch

PAGES = (
    ("/", "Ask", "forum"),
    ("/swarm", "Swarm", "hub"),
    ("/rounds", "Rounds", "history"),
    ("/quality", "Quality", "insights"),
    ("/node", "Node", "dns"),
)


@contextmanager
def frame(current: str, title: str, lead: str = "", *, heading: bool = True, kind: str = "") -> Iterator[None]:
    """Build a page inside the block; `current` is the path of the link to be marked.

    Args:
        lead: one sentence under the title.
        heading: whether the title is shown; readers of screens hear it in any case.
        kind: a class for what only this page needs.
    """
    dress_page()
    _be_no_landmark()
    ui.page_title(f"{title} · waggle")
    with box("bar", "header"), box("bar-inner"):
        _brand()
        _links(current)
        theme_switch()
    with box(f"page {kind}", role="main") as main:
        with box("" if heading else "sr"):
            words(title, "title", "h1")
            if lead:
                words(lead, "lead", "p")
        yield
    ui.skip_link("Skip to the page", target=main)


def _be_no_landmark() -> None:
    """The page library wraps everything in a main part of its own; ours is the one that counts."""
    outer = ui.context.client.content.parent_slot
    if outer is not None:
        outer.parent.props["role"] = "none"


def _brand() -> None:
    with box("brand", "a", href="/", aria_label="waggle: ask"):
        with drawing(24, 24, "waggle"):
            shape("path", d=COMB, fill="#e9a820")
            shape("path", d="M7 10h10M7 14h10", stroke="#221800", stroke_width=2.0)
        words("waggle")


def _links(current: str) -> None:
    with box("nav", "nav", aria_label="Pages"):
        for path, name, sign in PAGES:
            with box("", "a", href=path) as item:
                icon(sign)
                words(name)
            if path == current:
                item.props["aria-current"] = "page"
