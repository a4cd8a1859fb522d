"""Where a question is written, with its options: Enter sends, Shift+Enter begins a line, Stop cancels."""

from collections.abc import Awaitable, Callable
from typing import cast

from nicegui import ui
from nicegui.events import GenericEventArguments

from waggle.dashboard.ask.asking import Form
from waggle.dashboard.frame.elements import box, icon, words
from waggle.dashboard.frame.words import percent

ENTER = "(e) => { if (e.key === 'Enter' && !e.shiftKey && !e.isComposing) { e.preventDefault(); emit(); } }"
NUMBER = "(e) => emit(Number(e.target.value))"
MOST_CHARACTERS = 60_000


class Composer:
    """The text, the buttons and the options of one page; `form` holds what is filled in."""

    def __init__(
        self, form: Form, strategies: dict[str, str], send: Callable[[], Awaitable[None]], stop: Callable[[], None]
    ) -> None:
        """Build it where elements are being put just now."""
        self.form = form
        with box("composer"), box("composer-box", "form", onsubmit="return false"):
            with box("composer-row"):
                self._text = ui.textarea(placeholder="Ask the swarm a question")
                self._text.props(f'autogrow borderless dense rows=1 maxlength={MOST_CHARACTERS} aria-label="Question"')
                self._text.on("keydown", send, js_handler=ENTER)
                self._send = _button("Send", "send", "main", send)
                self._stop = _button("Stop", "stop", "stop", stop)
            with box("options", "details") as self._more:
                words("Options", "", "summary")
                with box("options-grid"):
                    self._options(strategies)
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

    def busy(self, asking: bool) -> None:
        """Show Stop while a question is under way, else Send and the options."""
        self._send.set_visibility(not asking)
        self._stop.set_visibility(asking)
        self._more.set_visibility(not asking)

    def _options(self, strategies: dict[str, str]) -> None:
        form = self.form
        with box("field strategy", "label"):
            words("Strategy")
            select = ui.select(strategies, value=form.strategy).props("outlined dense")
            select.on_value_change(lambda event: setattr(form, "strategy", event.value))
        with box("field", "label"):
            words("Seconds at most")
            number = ui.number(value=form.seconds, min=0.1, step=1).props("outlined dense")
            number.on_value_change(lambda event: setattr(form, "seconds", event.value))
        with box("field", "label"):
            words("Tokens at most")
            number = ui.number(value=form.tokens, min=1, step=100, precision=0, placeholder="no limit")
            number.props("outlined dense")
            number.on_value_change(lambda event: setattr(form, "tokens", event.value))
        with box("field wanted", "label"):
            shown = words(self._wanted())
            slider = box("slider", "input", type="range", min="0", max="0.99", step="0.01")
            slider.props["value"] = f"{form.min_confidence:.2f}"

            def moved(event: GenericEventArguments) -> None:
                self.form.min_confidence = float(event.args)
                shown.text = self._wanted()

            slider.on("input", moved, js_handler=NUMBER)
        switch = ui.switch("Send earlier turns along").props("dense color=amber-8")
        switch.on_value_change(lambda event: setattr(form, "remembers", event.value))

    def _wanted(self) -> str:
        return f"Confidence wanted: {percent(self.form.min_confidence)}"


def _button(name: str, sign: str, kind: str, action: Callable[[], Awaitable[None] | None]) -> ui.element:
    with box(f"plain-button {kind}", "button", type="button") as button:
        icon(sign)
        words(name)
    button.on("click", lambda _: action())
    return button
