"""A slider drawn by our own style, so that it looks alike in every browser, by day and by night."""

from collections.abc import Callable

from nicegui.element import Element
from nicegui.events import GenericEventArguments

from waggle.dashboard.frame.elements import box, with_attributes

SLID = """(e) => {
  const at = e.target;
  at.style.setProperty("--fill", (at.value - at.min) / Math.max(1e-9, at.max - at.min));
  emit(Number(at.value));
}"""


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
