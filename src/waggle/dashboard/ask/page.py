"""Ask: a chat in which every question shows its round as it happens, and its end plainly."""

import time
from collections.abc import Callable

from fastapi import FastAPI
from nicegui import ui
from nicegui.element import Element

from waggle.core.errors import UsageError
from waggle.core.round_values import Record
from waggle.dashboard.ask.asking import form_of, options_of, strategies, turns_of
from waggle.dashboard.ask.composer import Composer
from waggle.dashboard.ask.exchange import Exchange, failure
from waggle.dashboard.frame.context import Context, page
from waggle.dashboard.frame.down_notice import show_down
from waggle.dashboard.frame.elements import box, empty_state, icon, words
from waggle.dashboard.frame.layout import frame
from waggle.node.services.service import ServedModel

MOST_SHOWN = 30
"""Questions kept on one page; the older ones are in the history."""
SOURCE = "page"
EXAMPLES = (
    "Spell this word backward (example: sun -> nus): honeycomb",
    "How many 1 bits are there in the binary representation of the number 1453?",
    "Solve for x: 7*x - 5 = 44",
)


def add(app: FastAPI, context: Context) -> None:
    """Put the page on the app."""

    @page(app, "/")
    def ask() -> None:
        with frame("/", "Ask the swarm", heading=False, kind="ask"):
            _Conversation(context)


class _Conversation:
    """The questions of one page in one browser; nothing of it is shared."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._records: list[Record] = []
        self._exchanges: list[Exchange] = []
        self._asking: Exchange | None = None
        self._chat = box("chat")
        with self._chat:
            show_down(context.service.models())
            self._welcome = _welcome(context, self._write)
        self._composer = Composer(
            form_of(context.budget, context.min_confidence),
            strategies(usable(context)),
            self.send,
            self.stop,
        )
        ui.context.client.on_delete(self.stop)

    def _write(self, text: str) -> None:
        self._composer.write(text)
        self._composer.focus()

    def stop(self) -> None:
        """Cancel the question under way, if there is one."""
        if self._asking is not None:
            self._asking.stop()

    async def send(self) -> None:
        """Ask what is written; one question at a time."""
        question = self._composer.text.strip()
        if not question or self._asking is not None:
            return
        self._composer.write("")
        self._composer.busy(True)
        self._welcome.set_visibility(False)
        with self._chat:
            self._asking = exchange = Exchange(self._context, question)
        self._remember(exchange)
        exchange.reveal()
        try:
            await self._run(exchange, question)
        finally:
            self._asking = None
            self._composer.busy(False)

    async def _run(self, exchange: Exchange, question: str) -> None:
        form = self._composer.form
        try:
            options = options_of(form, turns_of(self._records, question) if form.remembers else ())
        except UsageError as error:
            exchange.end(failure(error), bad=True)
            return
        asked = time.time()
        record = await exchange.run(options)
        if record is not None:
            self._records = [*self._records, record][-MOST_SHOWN:]
            if self._context.history is not None:
                self._context.history.add(record, at=asked, source=SOURCE)
            exchange.finish(record)

    def _remember(self, exchange: Exchange) -> None:
        for earlier in self._exchanges[-1:]:
            earlier.fold()
        self._exchanges.append(exchange)
        if len(self._exchanges) > MOST_SHOWN:
            self._exchanges.pop(0).box.delete()


def welcome_words(models: int) -> str:
    """What is going to happen, by how many models there are."""
    if models == 1:
        return "One model is here. It answers alone; with more of them they would compare their answers."
    return f"{models} models are here: some propose answers, some compare them in pairs, and only a sure answer counts."


def usable(context: Context) -> list[ServedModel]:
    """The models that can be asked now."""
    return [model for model in context.service.models() if model.usable]


def _welcome(context: Context, write: Callable[[str], None]) -> Element:
    models = usable(context)
    if not models:
        text = "No model can be used now, neither here nor at a peer. Look at Swarm for the reasons."
        return empty_state("power_off", "Nobody can answer yet", text, "waggle doctor")
    with box("empty welcome") as made:
        icon("forum", "empty-sign")
        words("Ask, and watch the swarm think", "empty-title", "h2")
        words(welcome_words(len(models)), "empty-text", "p")
        with box("examples"):
            for example in EXAMPLES:
                button = words(example, "plain-button small", "button", type="button")
                button.on("click", lambda _, text=example: write(text))
    return made
