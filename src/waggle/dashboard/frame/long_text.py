"""A text of somebody's that may be very long: a few lines of it, and a button that shows all.

Only the browser knows how many lines a text takes, so the button is taken away there where nothing is hidden.
"""

from nicegui.element import Element

from waggle.dashboard.frame.elements import box, words
from waggle.dashboard.frame.words import plain

SHORT = 120
"""Characters that never fill six lines, not even on a phone; with them at most `FEW` ends of lines."""
FEW = 3
TURN = """(e) => {
  const button = e.target.closest("button"), open = button.parentElement.toggleAttribute("data-open");
  button.setAttribute("aria-expanded", open);
  button.textContent = open ? "Show less" : "Show all";
}"""
SCRIPT = """<script>
window.addEventListener("DOMContentLoaded", () => {
  const measure = text => { const clamp = text.parentElement;
    if (!clamp.hasAttribute("data-open"))
      clamp.toggleAttribute("data-fits", text.scrollHeight <= text.clientHeight + 2); };
  const sizes = new ResizeObserver(all => all.forEach(each => measure(each.target)));
  const look = () => document.querySelectorAll(".clamped > .words:not([data-seen])").forEach(text => {
    text.toggleAttribute("data-seen"); sizes.observe(text); });
  new MutationObserver(look).observe(document.body, {childList: true, subtree: true});
  look();
});
</script>"""


def is_long(text: str) -> bool:
    """Whether it may take more lines than are shown at once."""
    return len(text) > SHORT or text.count("\n") > FEW


def long_text(text: str, classes: str = "", tag: str = "p") -> Element:
    """Show it, folded where it is long; `classes` are those of the whole."""
    shown = plain(text)
    if not is_long(shown):
        return words(shown, f"{classes} words", tag)
    with box(f"{classes} clamped") as made:
        words(shown, "words", tag)
        button = words("Show all", "text-button small", "button", type="button", aria_expanded="false")
        button.on("click", js_handler=TURN)
    return made
