"""From what the swarm gave back to OpenAI's shapes: pure functions that make dictionaries fit for JSON.

Whatever made it, a finished choice is an `Answer` first. What a model wrote is only ever a string inside the JSON. The
object `waggle` says what OpenAI has no field for: how sure the swarm is, who stands behind it and what it cost.
"""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from waggle.core.chat_values import ToolCall
from waggle.core.engine_values import Finish, Generation
from waggle.core.round_values import Outcome, Record
from waggle.strategies.ways import SOLO

ABSTAINED = "The swarm abstained: it is not sure enough of any answer."
NOTHING_USABLE = "The swarm abstained: no model wrote anything that can be used as an answer."
FINGERPRINT = "waggle"
JsonObject = dict[str, object]


class Written(Struct, frozen=True):
    """A token's text and its log-probability."""

    text: str
    logprob: float


class Answer(Struct, frozen=True, kw_only=True):
    """One finished choice. Tokens count all calls that it took; `logprobs` None = not asked for."""

    text: str
    finish: Finish = Finish.STOP
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: tuple[Written, ...] | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    waggle: JsonObject = {}

    @property
    def tokens(self) -> int:
        """All of them."""
        return self.prompt_tokens + self.completion_tokens


class Head(Struct, frozen=True, kw_only=True):
    """What all parts of a response share: the request's id, when it was made, and the model's name as asked for."""

    request: str
    created: int
    model: str


def answer_of_record(record: Record, stop: Sequence[str], *, explain: bool) -> Answer:
    """The committee's answer, or the sentence that stands for an abstention."""
    outcome, spent = record.outcome, record.outcome.spent
    best = before_stop(outcome.answer or "", stop)
    runner_up = None if outcome.runner_up is None else before_stop(outcome.runner_up, stop)
    answer = Answer(
        text=best if not outcome.abstained else NOTHING_USABLE if outcome.answer is None else ABSTAINED,
        prompt_tokens=spent.prompt_tokens,
        completion_tokens=spent.proposing_tokens + spent.judging_tokens - spent.prompt_tokens,
        waggle=_told(record, best, runner_up) | (_explained(outcome) if explain else {}),
    )
    return with_wasted(answer, record.wasted_tokens, record.wasted_prompt_tokens)


def with_wasted(answer: Answer, tokens: int, prompt_tokens: int) -> Answer:
    """The answer that cost so many tokens more, in calls that came to nothing."""
    spent = answer.waggle["spent"]
    assert isinstance(spent, dict)
    wasted = {"wasted_tokens": tokens, "prompt_tokens": spent["prompt_tokens"] + prompt_tokens}
    return replace(
        answer,
        prompt_tokens=answer.prompt_tokens + prompt_tokens,
        completion_tokens=answer.completion_tokens + tokens - prompt_tokens,
        waggle=answer.waggle | {"spent": spent | wasted},
    )


def answer_of_generation(
    model: str, made: Generation, request: str, written: Sequence[Written] | None = None
) -> Answer:
    """What one model wrote, all of it."""
    spent: JsonObject = {
        "proposing_tokens": made.prompt_tokens + made.completion_tokens,
        "judging_tokens": 0,
        "prompt_tokens": made.prompt_tokens,
        "seconds": made.seconds,
    }
    told: JsonObject = {
        "round_id": request,
        "strategy": SOLO,
        "model": model,
        "confidence": None,  # a model's own is not calibrated
        "self_confidence": made.self_confidence,
        "abstained": False,
        "spent": spent,
    }
    return Answer(
        text=made.text,
        finish=Finish.TOOL_CALLS if made.tool_calls else made.finish,
        tool_calls=made.tool_calls,
        logprobs=None if written is None else tuple(written),
        prompt_tokens=made.prompt_tokens,
        completion_tokens=made.completion_tokens,
        waggle=told,
    )


def before_stop(text: str, stop: Sequence[str]) -> str:
    """The text before the stop string that comes first: "a END b" with ("END",) is "a "."""
    places = [place for word in stop if (place := text.find(word)) >= 0]
    return text[: min(places)] if places else text


def together(answer: Answer, made: Sequence[Answer], more: JsonObject) -> Answer:
    """An answer that cost what all of `made` cost; `more` is told with it."""
    spent: JsonObject = {}
    for one in made:
        parts = one.waggle.get("spent")
        for name, value in parts.items() if isinstance(parts, dict) else ():
            spent[name] = _sum(spent.get(name, 0), value)
    return replace(
        answer,
        prompt_tokens=sum(one.prompt_tokens for one in made),
        completion_tokens=sum(one.completion_tokens for one in made),
        waggle=answer.waggle | {"spent": spent} | more,
    )


def _sum(first: object, second: object) -> object:
    return first + second if isinstance(first, int | float) and isinstance(second, int | float) else second


def usage_of(answers: Sequence[Answer]) -> dict[str, int]:
    """Tokens of all calls of all choices."""
    prompts = sum(answer.prompt_tokens for answer in answers)
    completions = sum(answer.completion_tokens for answer in answers)
    return {"prompt_tokens": prompts, "completion_tokens": completions, "total_tokens": prompts + completions}


def chat_completion(head: Head, answers: Sequence[Answer]) -> JsonObject:
    """The body of a chat's response."""
    choices = [_with_waggle(_chat_choice(index, answer), answer, answers) for index, answer in enumerate(answers)]
    return _whole("chatcmpl-", "chat.completion", head, choices, answers)


def text_completion(head: Head, answers: Sequence[Answer]) -> JsonObject:
    """The body of a legacy completion's response."""
    choices = [_with_waggle(_text_choice(index, answer), answer, answers) for index, answer in enumerate(answers)]
    return _whole("cmpl-", "text_completion", head, choices, answers)


def message_of(answer: Answer) -> JsonObject:
    """The assistant's message."""
    text = None if answer.tool_calls and not answer.text else answer.text
    message: JsonObject = {"role": "assistant", "content": text, "refusal": None}
    if answer.tool_calls:
        message["tool_calls"] = [tool_call(call) for call in answer.tool_calls]
    return message


def chat_logprobs(written: Sequence[Written]) -> JsonObject:
    """Log-probabilities as a chat has them: no alternatives are known."""
    return {"content": [_token(token) for token in written], "refusal": None}


def text_logprobs(written: Sequence[Written], offset: int = 0) -> JsonObject:
    """Log-probabilities as a legacy completion has them; `offset` is how much text came before."""
    offsets = []
    for token in written:
        offsets.append(offset)
        offset += len(token.text)
    return {
        "tokens": [token.text for token in written],
        "token_logprobs": [token.logprob for token in written],
        "top_logprobs": None,
        "text_offset": offsets,
    }


def _whole(prefix: str, kind: str, head: Head, choices: Sequence[JsonObject], answers: Sequence[Answer]) -> JsonObject:
    return {
        "id": prefix + head.request,
        "object": kind,
        "created": head.created,
        "model": head.model,
        "system_fingerprint": FINGERPRINT,
        "choices": choices,
        "usage": usage_of(answers),
        "waggle": answers[0].waggle,
    }


def _with_waggle(choice: JsonObject, answer: Answer, answers: Sequence[Answer]) -> JsonObject:
    """Where there are several choices, each says of itself what the response says of the first."""
    return choice if len(answers) == 1 else choice | {"waggle": answer.waggle}


def _chat_choice(index: int, answer: Answer) -> JsonObject:
    logprobs = None if answer.logprobs is None else chat_logprobs(answer.logprobs)
    return {"index": index, "message": message_of(answer), "logprobs": logprobs, "finish_reason": answer.finish}


def _text_choice(index: int, answer: Answer) -> JsonObject:
    logprobs = None if answer.logprobs is None else text_logprobs(answer.logprobs)
    return {"index": index, "text": answer.text, "logprobs": logprobs, "finish_reason": answer.finish}


def tool_call(call: ToolCall) -> JsonObject:
    """A call of a tool."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _token(token: Written) -> JsonObject:
    return {
        "token": token.text,
        "logprob": token.logprob,
        "bytes": list(token.text.encode(errors="replace")),
        "top_logprobs": [],
    }


def _told(record: Record, best: str, runner_up: str | None) -> JsonObject:
    outcome, spent = record.outcome, record.outcome.spent
    return {
        "round_id": record.plan.round_id,
        "strategy": record.plan.strategy,
        "confidence": outcome.confidence,
        "abstained": outcome.abstained,
        "best_guess": best if outcome.abstained and outcome.answer is not None else None,
        "supporters": outcome.candidates[0].supporters if outcome.candidates else (),
        "runner_up": runner_up,
        "spent": {
            "proposing_tokens": spent.proposing_tokens,
            "judging_tokens": spent.judging_tokens,
            "prompt_tokens": spent.prompt_tokens,
            "seconds": spent.seconds,
        },
    }


def _explained(outcome: Outcome) -> JsonObject:
    """Who stood where and why it ended. What failing nodes said stays inside: it may name addresses and paths."""
    candidates = [
        {"answer": c.answer, "supporters": c.supporters, "strength": c.strength, "support": c.support}
        for c in outcome.candidates
    ]
    count = outcome.ballots
    return {
        "candidates": candidates,
        "ballots": {
            "asked": count.asked,
            "cast": count.cast,
            "refused": count.refused,
            "unparseable": count.unparseable,
        },
        "failed": sorted(outcome.failures),
        "confusion_p": outcome.confusion_p,
        "reason": outcome.reason,
    }
