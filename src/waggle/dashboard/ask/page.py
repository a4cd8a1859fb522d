"""Ask: a chat in which every question shows its round as it happens, and its end plainly."""

import time
from collections.abc import Callable, Sequence

from fastapi import FastAPI
from nicegui import ui
from nicegui.element import Element

from waggle.core.asking import AskOptions
from waggle.core.errors import UsageError
from waggle.core.round_values import Record
from waggle.dashboard.ask.asking import form_of, options_of, strategies, turns_of, unread_words
from waggle.dashboard.ask.composer import Composer
from waggle.dashboard.ask.exchange import Exchange, reveal, show_past
from waggle.dashboard.ask.kept import MOST_ROUNDS, TALKED, Kept, TabMemory
from waggle.dashboard.ask.options_panel import OptionsPanel
from waggle.dashboard.frame.context import Context, page
from waggle.dashboard.frame.elements import box, empty_state, icon, words
from waggle.dashboard.frame.layout import frame
from waggle.dashboard.frame.notices import show_down
from waggle.dashboard.rounds.record_page import find_rounds
from waggle.node.services.service import ServedModel

MOST_SHOWN = MOST_ROUNDS
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
        ui.add_head_html(TALKED)
        with frame("/", "Ask the swarm", heading=False, kind="ask"):
            _Conversation(context)


class _Conversation:
    """The questions of one page in one browser; nothing of it is shared."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._records: list[Record] = []
        self._exchanges: list[Exchange] = []
        self._asking: Exchange | None = None
        self._client = ui.context.client
        self._memory = TabMemory(self._client, works=context.history is not None)
        self._restored = False
        models = usable(context)
        with box("chat") as self._chat:
            show_down(context.service.models())
            self._welcome = _welcome(models, self._write)
            self._past = box("stack past")
        form = form_of(context.budget, context.min_confidence)
        self._composer = Composer(
            lambda: OptionsPanel(form, strategies(models), lambda way: unread_words(context.service.models(), way)),
            self.send,
            self.stop,
            self.begin_anew,
        )
        self._form = form
        self._client.on_connect(self.restore)
        self._client.on_delete(self.stop)

    def _write(self, text: str) -> None:
        self._composer.write(text)
        self._composer.focus()

    async def restore(self) -> None:
        """Show again what this tab talked about before, once."""
        if self._restored:
            return
        self._restored = True
        kept = await self._memory.read()
        history, there = self._context.history, {record.plan.round_id for record in self._records}
        names = [name for name in kept.rounds if name not in there]
        records = await find_rounds(history, names) if history is not None and names else []
        if not self._chat.is_deleted:
            self._show_past(records)
            self._bring_back(kept, records)
        self._memory.welcome()

    def _bring_back(self, kept: Kept, records: Sequence[Record]) -> None:
        """Put the words of a question that was cut off where they can be sent again."""
        if not kept.asked or self._asking is not None:
            return
        if records and records[-1].plan.round_id == kept.rounds[-1]:
            self._memory.ended()  # it came to its end after the page was left
        elif not self._composer.text:
            self._composer.write(kept.asked)

    def _show_past(self, records: Sequence[Record]) -> None:
        self._records = [*records, *self._records][-MOST_SHOWN:]
        if records:
            self._welcome.set_visibility(False)
            self._composer.offer_anew(True)
            with self._past:
                shown = [show_past(record) for record in records]
            if not self._exchanges:
                reveal(shown[-1], at_once=True)

    def begin_anew(self) -> None:
        """Put the conversation away; its rounds stay in the history."""
        if self._asking is not None:
            return
        self._memory.forget()
        self._records.clear()
        self._past.clear()
        for exchange in self._exchanges:
            exchange.box.delete()
        self._exchanges.clear()
        self._welcome.set_visibility(True)
        self._composer.offer_anew(False)
        self._composer.focus()

    def stop(self) -> None:
        """Cancel the question under way, if there is one."""
        if self._asking is not None:
            self._asking.stop()

    async def send(self) -> None:
        """Ask what is written; one question at a time, and none with options that cannot be meant."""
        question = self._composer.text.strip()
        if not question or self._asking is not None:
            return
        try:
            options = options_of(self._form, turns_of(self._records, question) if self._form.remembers else ())
        except UsageError as error:
            self._composer.complain(f"Not sent: {error}.")
            self._composer.options.unfold()
            return
        with self._chat:
            self._asking = exchange = Exchange(self._context, question)
        self._memory.asks(question, exchange.round_id)
        self._make_ready()
        self._remember(exchange)
        exchange.reveal()
        try:
            await self._run(exchange, options)
        finally:
            self._asking = None
            self._composer.busy(False)
            if not self._chat.is_deleted:
                self._memory.ended()

    def _make_ready(self) -> None:
        self._composer.complain("")
        self._composer.options.fold()
        self._composer.write("")
        self._composer.busy(True)
        self._composer.offer_anew(True)
        self._welcome.set_visibility(False)

    async def _run(self, exchange: Exchange, options: AskOptions) -> None:
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
    return (
        f"{models} models are here. Where one of them surely knows, it answers alone; else they propose answers, "
        "compare them in pairs, and only a sure answer counts."
    )


def usable(context: Context) -> list[ServedModel]:
    """The models that can be asked now."""
    return [model for model in context.service.models() if model.usable]


def _welcome(models: Sequence[ServedModel], write: Callable[[str], None]) -> Element:
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
