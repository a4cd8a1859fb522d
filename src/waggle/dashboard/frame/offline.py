"""What a page does while its gateway cannot be reached: a banner says so, and nothing pretends to go on.

A short loss is not told: what was clicked meanwhile is sent when the connection is back.
"""

TITLE = "The gateway cannot be reached"
TEXT = "What you see stands still. Check that waggle is still running; this page comes back by itself."
REASON = "Nothing can be sent until the gateway is back."
PATIENCE_MS = 1_200
ASKED = "waggle-asked"
"""Where a tab keeps the words of a question that has not come to its end, or was not sent yet."""
SCRIPT = f"""<script>
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
