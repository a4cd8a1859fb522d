"""What a page says of what cannot be reached: engines that are down, and the gateway itself.

Which engines cannot be used now, and why, is on every page that shows models. Where the gateway is gone for long a
banner says so, and nothing pretends to go on; what was clicked during a short loss is sent when the connection is back.
"""

from collections.abc import Sequence

from waggle.core.words import many
from waggle.dashboard.frame.elements import box, icon, words
from waggle.dashboard.frame.words import one_line, short_id
from waggle.node.services.service import ServedModel

MOST = 12
REASON = 160  # characters
TITLE = "The gateway cannot be reached"
TEXT = "What you see stands still. Check that waggle is still running; this page comes back by itself."
NOT_SENT = "Nothing can be sent until the gateway is back."
PATIENCE_MS = 1_200
ASKED = "waggle-asked"
"""Where a tab keeps the words of a question that has not come to its end, or was not sent yet."""
OFFLINE = f"""<script>
window.addEventListener("DOMContentLoaded", () => {{
  const banner = document.getElementById("popup");
  if (!banner) return;
  const [title, text] = banner.children;
  title.textContent = "{TITLE}"; text.textContent = "{TEXT}";
  banner.setAttribute("role", "alert");
  let waiting = 0;
  const turn = lost => {{
    document.body.classList.toggle("offline", lost);
    document.body.style.setProperty("--banner", lost ? banner.offsetHeight + "px" : "0px");
    document.querySelectorAll(".composer-box").forEach(part => {{
      const written = part.querySelector("textarea").value;
      if (lost && written && !sessionStorage.getItem("{ASKED}")) sessionStorage.setItem("{ASKED}", written);
      part.inert = lost;
    }});
  }};
  new MutationObserver(() => {{
    clearTimeout(waiting);
    if (banner.ariaHidden === "false") waiting = setTimeout(turn, {PATIENCE_MS}, true);
    else turn(false);
  }}).observe(banner, {{attributes: true, attributeFilter: ["aria-hidden"]}});
}});
</script>"""


def down_words(models: Sequence[ServedModel]) -> list[tuple[str, str]]:
    """Model and reason of every engine that is down; where several nodes have the model, with the node's id."""
    found = []
    for model in models:
        for node, reason in model.down.items():
            several = len(model.down) + len(model.nodes) > 1
            name = one_line(model.name, 60)
            found.append((f"{name} at {short_id(node)}" if several else name, one_line(reason, REASON)))
    return found


def show_down(models: Sequence[ServedModel]) -> None:
    """Say it, where something is down."""
    found = down_words(models)
    if not found:
        return
    others = "; the others answer meanwhile" if any(model.usable for model in models) else ""
    with box("notice down", "section", aria_label="Engines that are down"):
        with box("row named"):
            icon("power_off")
            words(f"{many(len(found), 'engine')} cannot be used now{others}.", "", "strong")
        with box("", "ul"):
            for name, reason in found[:MOST]:
                words(f"{name}: {reason}", "small words", "li")
        if len(found) > MOST:
            words(f"and {len(found) - MOST:,} more", "small", "p")
