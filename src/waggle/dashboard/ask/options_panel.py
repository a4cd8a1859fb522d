"""How a question is to be answered, to be filled in: the way, the budget, the confidence, earlier turns."""

from collections.abc import Callable

from nicegui import ui
from nicegui.elements.number import Number
from nicegui.events import GenericEventArguments

from waggle.dashboard.ask.asking import Form, seconds_fault, tokens_fault
from waggle.dashboard.frame.elements import box, slide, slider, words
from waggle.dashboard.frame.words import percent

MOST_WANTED = 0.99
Fault = Callable[[float | None], str | None]


class OptionsPanel:
    """The fields of one page; `form` holds what is filled in."""

    def __init__(self, form: Form, strategies: dict[str, str], unread: Callable[[str], str]) -> None:
        """Build it where elements are being put just now; `unread` says why a strategy reads no earlier turns."""
        self._form = form
        self._unread = unread
        with box("options", "details") as self.box:
            words("Options", "", "summary")
            with box("options-grid"):
                self._strategy(strategies)
                self._numbers()
                self._wanted()
                self._turns()
        self._show_unread()

    def fold(self) -> None:
        """Close it; it can be opened again."""
        self._set_open("false")

    def unfold(self) -> None:
        """Open it."""
        self._set_open("true")

    def _set_open(self, value: str) -> None:
        self.box.client.run_javascript(f"getHtmlElement({self.box.id}).open = {value}")

    def _strategy(self, strategies: dict[str, str]) -> None:
        def chosen(value: str) -> None:
            self._form.strategy = value
            self._show_unread()

        with box("field strategy", "label"):
            words("Strategy")
            select = ui.select(strategies, value=self._form.strategy).props("outlined dense options-dense")
            select.on_value_change(lambda event: chosen(event.value))

    def _numbers(self) -> None:
        form = self._form
        with box("field", "label"):
            words("Seconds at most")
            number = _number(form.seconds, 1, seconds_fault)
            number.on_value_change(lambda event: setattr(form, "seconds", event.value))
        with box("field", "label"):
            words("Tokens at most")
            number = _number(form.tokens, 100, tokens_fault).props('placeholder="no limit"')
            number.on_value_change(lambda event: setattr(form, "tokens", event.value))

    def _wanted(self) -> None:
        with box("field wanted", "label"):
            shown = words(self._wanted_words())

            def moved(event: GenericEventArguments) -> None:
                self._form.min_confidence = float(event.args)
                shown.text = self._wanted_words()

            slide(slider(MOST_WANTED, 0.01, moved), self._form.min_confidence)

    def _wanted_words(self) -> str:
        return f"Confidence wanted: {percent(self._form.min_confidence)}"

    def _turns(self) -> None:
        with box("turns"):
            self._switch = ui.switch("Send earlier turns along").props("dense color=amber-8")
            self._why = words("", "dim small")
        self._switch.on_value_change(lambda event: setattr(self._form, "remembers", event.value))

    def _show_unread(self) -> None:
        why = self._unread(self._form.strategy)
        self._why.text = why
        self._why.set_visibility(bool(why))
        self._switch.set_visibility(not why)
        if why:
            self._switch.value = False


def _number(value: float | None, step: float, fault: Fault) -> Number:
    number = ui.number(value=value, step=step, validation=fault)
    return number.props("outlined dense hide-bottom-space")
