"""The few building blocks that all pages are made of: boxes, words, links, drawings, sliders. Words are always text."""

from collections.abc import Callable, Mapping

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

SLID = """(e) => {
  const at = e.target;
  at.style.setProperty("--fill", (at.value - at.min) / Math.max(1e-9, at.max - at.min));
  emit(Number(at.value));
}"""
"""What a slider does in the browser; our own style draws it, so that it looks alike everywhere, by day and night."""


class Words(TextElement):
    """Text in a tag of its own; the browser gets it as text, never as markup."""

    def __init__(self, text: str, tag: str = "span") -> None:
        super().__init__(tag=tag, text=text)


def box(classes: str = "", tag: str = "div", **attributes: str) -> Element:
    """An element that holds others; used with `with`."""
    return with_attributes(ui.element(tag).classes(classes), attributes)


def words(text: str, classes: str = "", tag: str = "span", **attributes: str) -> Words:
    """A piece of text."""
    made = Words(text, tag).classes(classes)
    with_attributes(made, attributes)
    return made


def link(text: str, target: str, classes: str = "") -> Words:
    """A link to another page of ours."""
    return words(text, classes, "a", href=target)


def icon(name: str, classes: str = "") -> Element:
    """A sign that says nothing by itself; readers of screens are not told of it."""
    return with_attributes(ui.icon(name).classes(classes), {"aria_hidden": "true"})


def with_attributes(element: Element, attributes: Mapping[str, str]) -> Element:
    """Set attributes by value, so that nothing in a value can become another attribute; `aria_label` is aria-label."""
    for name, value in attributes.items():
        element.props[name.rstrip("_").replace("_", "-")] = value
    return element


def drawing(width: float, height: float, label: str, classes: str = "") -> Element:
    """An SVG picture in units of its own; `label` says what it shows to those who cannot see it."""
    made = ui.element("svg").classes(classes)
    made.props["viewBox"] = f"0 0 {width:g} {height:g}"
    return with_attributes(made, {"role": "img", "aria_label": label})


def shape(tag: str, classes: str = "", **attributes: str | float) -> Element:
    """A piece of a drawing."""
    values = {name: value if isinstance(value, str) else f"{value:.2f}" for name, value in attributes.items()}
    return with_attributes(ui.element(tag).classes(classes), values)


def empty_state(sign: str, title: str, text: str, command: str = "", *, kind: str = "") -> Element:
    """What a page shows where there is nothing to show, or something is broken: what, why, and what to do."""
    with box(f"empty {kind}", role="alert" if kind == "bad" else "status") as made:
        icon(sign, "empty-sign")
        words(title, "empty-title", "h2")
        words(text, "empty-text", "p")
        if command:
            words(command, "command", "code")
    return made


def slider(most: float, step: float, moved: Callable[[GenericEventArguments], None], name: str = "") -> Element:
    """A slider from 0 to `most`; `name` is for those who cannot see what stands beside it."""
    made = box("slider", "input", type="range", min="0", max=f"{most:g}", step=f"{step:g}")
    if name:
        with_attributes(made, {"aria_label": name})
    made.on("input", moved, js_handler=SLID)
    return made


def slide(made: Element, value: float) -> None:
    """Put a slider where a value is."""
    made.props["value"] = f"{value:g}"
    made.style(f"--fill: {value / max(1e-9, float(made.props['max'])):.4f}")
    made.update()
