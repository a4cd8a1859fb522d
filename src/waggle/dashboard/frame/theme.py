"""How the pages look by day and by night, and how a person switches; nothing of it comes from anywhere else."""

from pathlib import Path

from nicegui import ui

from waggle.dashboard.frame import long_text, notices
from waggle.dashboard.frame.elements import box, icon

STYLE = (Path(__file__).parent / "style.css").read_text(encoding="utf-8")
COMB = "M12 2 20.7 7v10L12 22 3.3 17V7z"
FAVICON = (
    '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 24 24">'
    f'<path d="{COMB}" fill="#e9a820"/><path d="M7 10h10M7 14h10" stroke="#221800" stroke-width="2"/></svg>'
)
CHOSEN = """<script>
window.addEventListener("DOMContentLoaded", () => {
  const chosen = localStorage.getItem("waggle-theme");
  if (chosen) Quasar.Dark.set(chosen === "dark");
});
</script>"""
SWITCH = """() => {
  const dark = !document.body.classList.contains("body--dark");
  localStorage.setItem("waggle-theme", dark ? "dark" : "light");
  Quasar.Dark.set(dark);
}"""


def dress_page() -> None:
    """Give the page that is being built its style; without a choice of the person it follows the system."""
    ui.add_head_html(f"<style>{STYLE}</style>")
    for script in (CHOSEN, long_text.SCRIPT, notices.OFFLINE):
        ui.add_body_html(script)


def theme_switch() -> None:
    """The button between day and night; the browser remembers the choice."""
    with box(
        "plain-button icon-only theme-switch", "button", type="button", aria_label="Switch between light and dark"
    ) as button:
        icon("contrast")
    button.on("click", js_handler=SWITCH)
