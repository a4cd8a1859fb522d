"""What a scripted engine says: pure functions of its script, the truth and what it is asked.

Every draw is a hash, so the same question gets the same words on every machine and in any order of calls.
"""

import math
import re
from collections.abc import Callable

from msgspec import Struct

from waggle.core.chat_values import Role, ToolCall
from waggle.core.engine_values import GenerateRequest, JudgeRequest
from waggle.core.errors import EngineRefused
from waggle.engines.answer import split_answer
from waggle.engines.script import Babbler, Crasher, Hanger, Honest, Mute, Script, Shill, share


def shifted(truth: str, choice: int) -> str:
    """The wrong answer number `choice`: the truth plus `choice` where it is a whole number, else a named one."""
    return str(int(truth) + choice) if re.fullmatch(r"-?\d{1,100}", truth) else f"something else {choice}"


class Actor(Struct, frozen=True, kw_only=True):
    """A script with what the test knows.

    Attributes:
        script: skill and manners.
        truth: the right answer to a question; None where there is none.
        kind_of: the kind of a question, for skills that differ by kind.
        wrong: the wrong answer number n (from 1) for a given truth.
    """

    script: Script
    truth: Callable[[str], str | None]
    kind_of: Callable[[str], str]
    wrong: Callable[[str, int], str]

    def completion(self, request: GenerateRequest) -> str:
        """The whole text that it would write."""
        match self.script.conduct:
            case Babbler():
                return f"{share(self.script.seed, request.question)} lorem ipsum {{]] Verdict: A dolor"
            case Mute():
                return ""
            case Honest() | Shill() | Crasher() | Hanger():
                marker = self.script.answer_marker
                answer = self._answer(request)
                return answer if marker is None else f"I worked it out step by step.\n{marker} {answer}"

    def tool_calls(self, request: GenerateRequest) -> tuple[ToolCall, ...]:
        """The call that it makes in place of a text. Raises EngineRefused where it must make another one."""
        name, choice = self.script.tool_call, request.tool_choice
        offered = name is not None and name in {tool.name for tool in request.tools}
        if choice not in ("auto", "none", "required", name) or (choice in ("required", name) and not offered):
            raise EngineRefused(f"{self.script.name} calls no such tool, as its script says")
        answers_a_tool = bool(request.turns) and request.turns[-1].role is Role.TOOL
        if name is None or not offered or choice == "none" or answers_a_tool:
            return ()
        number = int(share(self.script.seed, "call", request.question, len(request.turns)) * 16**8)
        return (ToolCall(id=f"call_{number:08x}", name=name, arguments=self.script.tool_arguments),)

    def _answer(self, request: GenerateRequest) -> str:
        truth = self.truth(request.question)
        preferred = self._shilled(request.question)
        if preferred is not None:
            return preferred
        if truth is None:
            return "I do not know"
        draw = _draw_of(request)
        skill = self.script.skills.get(self.kind_of(request.question), self.script.skill)
        if share(self.script.seed, "right", request.question, draw) < skill:
            return truth
        picked = share(self.script.seed, "wrong", request.question, draw)
        return self.wrong(truth, 1 + int(picked * self.script.wrong_choices))

    def _shilled(self, question: str) -> str | None:
        """What a shill wants to see win; None for everybody else and for a shill of nothing but its own answer."""
        conduct, truth = self.script.conduct, self.truth(question)
        if not isinstance(conduct, Shill):
            return None
        if conduct.wrong_choice is not None and truth is not None:
            return self.wrong(truth, conduct.wrong_choice)
        return conduct.answer

    def logprob(self, request: GenerateRequest, index: int, piece: str) -> float:
        """Right answers are written with probabilities from 0.6 to 1 a token, wrong ones from 0.3 to 0.9."""
        truth = self.truth(request.question)
        least = 0.6 if truth is not None and piece.strip() in truth.split() else 0.3
        drawn = share(self.script.seed, "logprob", request.question, _draw_of(request), index)
        return math.log(least + 0.4 * drawn if least == 0.6 else least + 0.6 * drawn)

    def verdict(self, request: JudgeRequest) -> float | None:
        """P(first is better), or None where it says nothing readable."""
        script, pair = self.script, sorted((request.first, request.second))
        if isinstance(script.conduct, Babbler | Mute):
            return None
        drawn: tuple[str | int, ...] = (script.seed, request.question, *pair, request.seed)
        if share("unreadable", *drawn) < script.unreadable:
            return None
        wanted = self._wanted(request)
        if wanted is not None:
            return wanted
        if share("position", *drawn) < abs(script.position_bias):
            return 1.0 if script.position_bias > 0 else 0.0
        return self._honest_verdict(request, share("verdict", *drawn))

    def _wanted(self, request: JudgeRequest) -> float | None:
        """A shill's vote: for its own wherever just one of the two is that."""
        if not isinstance(self.script.conduct, Shill):
            return None
        own = _folded(self._answer(GenerateRequest(question=request.question)))
        first, second = (self._said(text) == own for text in (request.first, request.second))
        return None if first == second else float(first)

    def _honest_verdict(self, request: JudgeRequest, drawn: float) -> float:
        """Says the same of a pair in both orders; a pair of equally right proposals is a coin's throw."""
        said = [self._said(text) for text in (request.first, request.second)]
        if said[0] == said[1]:
            return 0.5
        truth = self.truth(request.question)
        right = [truth is not None and text == _folded(truth) for text in said]
        if right[0] == right[1]:
            prefers_first = (drawn < 0.5) == (request.first < request.second)
        else:
            prefers_first = (drawn < self.script.judge_skill) == right[0]
        sure = self.script.judge_confidence
        return sure if prefers_first else 1.0 - sure

    def _said(self, proposal: str) -> str:
        marker = self.script.answer_marker
        return _folded(split_answer(proposal, marker)[1] or proposal)

    def reason(self, p: float | None) -> str:
        """What it says along with such a verdict."""
        if p is None:
            return "" if isinstance(self.script.conduct, Mute) else "Both have their points, }} and so on."
        return f"I checked both. Verdict: {'tie' if p == 0.5 else 'A' if p > 0.5 else 'B'}"


def _draw_of(request: GenerateRequest) -> str | int:
    """Which of the possible completions is drawn: greedy ones do not depend on the seed."""
    return request.sampling.seed if request.sampling.temperature > 0 else "greedy"


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
