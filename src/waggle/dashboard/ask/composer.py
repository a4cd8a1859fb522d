"""Where a question is written, with its options: Enter sends, Shift+Enter begins a line, Stop cancels."""

from collections.abc import Awaitable, Callable
from typing import cast

from nicegui import ui

from waggle.dashboard.ask.options_panel import OptionsPanel
from waggle.dashboard.frame.elements import box, icon, words
from waggle.dashboard.frame.notices import NOT_SENT

ENTER = "(e) => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); emit(); } }"
MOST_CHARACTERS = 60_000


class Composer:
    """The text and the buttons of one page; `options` builds the panel below them."""

    def __init__(
        self,
        options: Callable[[], OptionsPanel],
        send: Callable[[], Awaitable[None]],
        stop: Callable[[], None],
        begin_anew: Callable[[], None],
    ) -> None:
        """Build it where elements are being put just now."""
        self._asking, self._talked = False, False
        with box("composer"):
            words(NOT_SENT, "composer-reason small", "p", role="status")
            with box("composer-box", "form", onsubmit="return false"):
                with box("composer-row"):
                    self._text = ui.textarea(placeholder="Ask the swarm a question")
                    self._text.props(f"autogrow borderless dense rows=1 maxlength={MOST_CHARACTERS}")
                    self._text.props('aria-label="Question"').on("keydown", send, js_handler=ENTER)
                    self._send = _button("Send", "send", "main", send)
                    self._stop = _button("Stop", "stop", "stop", stop)
                self._fault = words("", "bad-words", "p", role="alert")
                with box("composer-more"):
                    self.options = options()
                    self._anew = words("New conversation", "text-button small", "button", type="button")
                    self._anew.on("click", lambda _: begin_anew())
        self.busy(False)

    @property
    def text(self) -> str:
        """What is written."""
        return cast(str, self._text.value or "")

    def write(self, text: str) -> None:
        """Put a text in."""
        self._text.value = text

    def focus(self) -> None:
        """Put the cursor in."""
        self._text.run_method("focus")

    def complain(self, fault: str) -> None:
        """Say why nothing is sent; nothing where that is empty."""
        self._fault.text = fault

    def busy(self, asking: bool) -> None:
        """Show Stop while a question is under way, else Send and the options."""
        self._asking = asking
        self._send.set_visibility(not asking)
        self._stop.set_visibility(asking)
        self.options.box.set_visibility(not asking)
        self.offer_anew(self._talked)

    def offer_anew(self, talked: bool) -> None:
        """Offer a new conversation where there is one already, and nothing is under way."""
        self._talked = talked
        self._anew.set_visibility(talked and not self._asking)


def _button(name: str, sign: str, kind: str, action: Callable[[], Awaitable[None] | None]) -> ui.element:
    with box(f"plain-button {kind}", "button", type="button") as button:
        icon(sign)
        words(name)
    button.on("click", lambda _: action())
    return button
