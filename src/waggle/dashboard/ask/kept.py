"""What a tab of a browser remembers of its conversation: the ids of its rounds, and the question under way.

It is the tab's own storage, which ends with the tab: no cookie, and nobody else's. What it gives back is checked like
anything from outside; the rounds themselves are in the history.
"""

import json

from msgspec import Struct
from nicegui import Client

from waggle.dashboard.ask.composer import MOST_CHARACTERS
from waggle.dashboard.frame.notices import ASKED
from waggle.dashboard.rounds.record_page import ROUND_ID

ROUNDS = "waggle-rounds"
MOST_ROUNDS = 30
ANSWER_SECONDS = 5.0
READ = f"return [sessionStorage.getItem('{ROUNDS}'), sessionStorage.getItem('{ASKED}')]"
TALKED = f"""<script>
if (sessionStorage.getItem("{ROUNDS}")) document.documentElement.classList.add("talked");
</script>"""
"""Keeps the welcome away while an earlier conversation is being fetched."""
ADD = f"""
let all = []; try {{ all = JSON.parse(sessionStorage.getItem("{ROUNDS}")) }} catch {{}}
all = (Array.isArray(all) ? all : []).concat(%s).slice(-{MOST_ROUNDS});
sessionStorage.setItem("{ROUNDS}", JSON.stringify(all));"""
FORGET = f"sessionStorage.removeItem('{ROUNDS}'); sessionStorage.removeItem('{ASKED}')"
WELCOME = "document.documentElement.classList.remove('talked')"


class Kept(Struct, frozen=True):
    """The rounds' ids, the oldest first, and the words of a question whose end this tab has not seen."""

    rounds: tuple[str, ...] = ()
    asked: str = ""


def kept_of(told: object) -> Kept:
    """What a browser told, as far as it can be meant."""
    if not isinstance(told, list) or len(told) != 2:
        return Kept()
    rounds, asked = told
    return Kept(_ids(rounds), asked[:MOST_CHARACTERS] if isinstance(asked, str) else "")


def _ids(text: object) -> tuple[str, ...]:
    try:
        found = json.loads(text) if isinstance(text, str) and len(text) <= 100 * MOST_ROUNDS else []
    except (ValueError, RecursionError):
        return ()
    if not isinstance(found, list):
        return ()
    names = [name for name in found if isinstance(name, str) and ROUND_ID.fullmatch(name)]
    return tuple(dict.fromkeys(names))[-MOST_ROUNDS:]


class TabMemory:
    """The memory of one page's tab; where rounds are not kept it remembers nothing either."""

    def __init__(self, client: Client, *, works: bool) -> None:
        self._client = client
        self._works = works

    async def read(self) -> Kept:
        """What it holds; nothing where the browser does not say."""
        if not self._works:
            return Kept()
        try:
            return kept_of(await self._client.run_javascript(READ, timeout=ANSWER_SECONDS))
        except TimeoutError:
            return Kept()

    def asks(self, question: str, round_id: str) -> None:
        """A question is under way, and its round will have this id."""
        self._do(ADD % json.dumps(round_id))
        self._do(f"sessionStorage.setItem('{ASKED}', {json.dumps(question)})")

    def ended(self) -> None:
        """It has come to an end, or was stopped: its words are not wanted any more."""
        self._do(f"sessionStorage.removeItem('{ASKED}')")

    def forget(self) -> None:
        """The conversation is over."""
        self._do(FORGET)

    def welcome(self) -> None:
        """Let the welcome be seen again."""
        self._client.run_javascript(WELCOME)

    def _do(self, script: str) -> None:
        if self._works:
            self._client.run_javascript(f"try {{ {script} }} catch {{}}")
