"""From what a client sent to what is asked of the swarm: pure, and the only place that reads OpenAI's meanings.

A request becomes one job per choice. A job for the committee is a question with options; a job for one model is a
`GenerateRequest`. Turns that are about tools go to one model, since a call cannot be put to the vote.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import GenerateRequest, Sampling
from waggle.core.round_values import Budget
from waggle.gateway.chat_shapes import MAX_CHOICES, Asked, ChatRequest, CompletionRequest, WaggleOptions
from waggle.gateway.conversation import asked_text, fault, question_of, tool_choice_of, tools_of, turns_of
from waggle.gateway.errors import ApiError, small_budget, unavailable, unknown_model, unsupported
from waggle.gateway.options import GatewayOptions
from waggle.node.planning import AskOptions
from waggle.node.service import ServedModel

SWARM, SOLO = "swarm", "solo/"
STRATEGIES = {SWARM: "swarm", "swarm/vote": "vote", "swarm/best": "best"}
SEED_STEP = 0x9E3779B97F4A7C15  # odd, so that no two choices of a request share a seed
SEED_BITS = 63
PROMPT_MARGIN = 64  # tokens of a chat template around a text


@dataclass(frozen=True)
class ForSwarm:
    """A question for the committee; its answer is cut at the first of `stop`."""

    question: str
    options: AskOptions
    stop: tuple[str, ...] = ()


@dataclass(frozen=True)
class ForModel:
    """Work for one model, which may take `seconds`; `logprobs` says whether those are wanted."""

    model: str
    asked: GenerateRequest
    seconds: float
    logprobs: bool = False


Job = ForSwarm | ForModel


@dataclass(frozen=True)
class Setting:
    """What a request is read against: who is there, what the gateway allows, what the request is called."""

    models: Sequence[ServedModel]
    options: GatewayOptions
    request: str


def chat_jobs(body: ChatRequest, extension: WaggleOptions, setting: Setting) -> tuple[Job, ...]:
    """One job per choice of a chat. Raises ApiError for what cannot be done."""
    if body.logprobs and body.response_format is not None and body.response_format.type != "text":
        raise unsupported("logprobs", "an answer of a certain form has none")
    turns = turns_of(body.messages)
    question = question_of(turns)
    tools = tools_of(body)
    choice = tool_choice_of(body, tools)
    tools = () if choice == "none" else tools
    model = _one_model(body.model, setting.models, alone=bool(tools) or turns[-1].role is Role.TOOL)
    kept = () if len(turns) == 1 else turns
    if model is None:
        if body.logprobs:
            raise unsupported("logprobs", "only a model alone (solo/...) has them")
        return _for_swarm(body, extension, setting, (question,), kept, body.max_completion_tokens)
    asked = GenerateRequest(question=question, turns=kept, tools=tools, tool_choice=choice)
    return _for_model(body, extension, setting, model, (asked,), body.max_completion_tokens, bool(body.logprobs))


def completion_jobs(body: CompletionRequest, extension: WaggleOptions, setting: Setting) -> tuple[Job, ...]:
    """One job per prompt and choice of a completion. Raises ApiError for what cannot be done."""
    given = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    prompts = tuple(asked_text(prompt, "prompt") for prompt in given)
    if len(prompts) * (body.n or 1) > MAX_CHOICES:
        raise ApiError(400, f"at most {MAX_CHOICES} choices can be had at once", code="invalid_value", param="n")
    model = _one_model(body.model, setting.models, alone=False)
    if model is None:
        if body.logprobs is not None:
            raise unsupported("logprobs", "only a model alone (solo/...) has them")
        return _for_swarm(body, extension, setting, prompts, (), None)
    asked = tuple(GenerateRequest(question=prompt) for prompt in prompts)
    return _for_model(body, extension, setting, model, asked, None, body.logprobs is not None)


def most_capable(models: Sequence[ServedModel]) -> str:
    """The model to give a turn to that only one can take: the best skill over all kinds of question, then by name."""
    if not models:
        raise unavailable()
    return min(models, key=lambda model: (-_overall(model), -model.context_tokens, model.name)).name


def request_of(request: str, number: int) -> str:
    """The id of a request's choice: its own for the first, one that follows from it for the others."""
    if number == 0:
        return request
    return hashlib.blake2b(f"{request}/{number}".encode(), digest_size=16).hexdigest()


def seed_of(seed: int, number: int) -> int:
    """The seed of a choice: the request's for the first, one that follows from it for the others."""
    return seed if number == 0 else (seed + number * SEED_STEP) % 2**SEED_BITS


def _for_swarm(
    body: Asked,
    extension: WaggleOptions,
    setting: Setting,
    questions: Sequence[str],
    turns: tuple[Turn, ...],
    max_tokens: int | None,
) -> tuple[ForSwarm, ...]:
    ceiling, given = setting.options.request_seconds, extension.budget_seconds
    budget = Budget(tokens=extension.budget_tokens, seconds=min(given or Budget().seconds, ceiling))
    least = extension.min_confidence
    jobs = []
    for number in range(len(questions) * (body.n or 1)):
        sampling = _sampling(body, setting.request, number)
        options = AskOptions(
            strategy=STRATEGIES[body.model],
            budget=budget,
            min_confidence=setting.options.min_confidence if least is None else least,
            max_tokens=_max_tokens(body, max_tokens, setting.options),
            sampling=sampling,
            seed=sampling.seed,
            turns=turns,
            proposers=extension.proposers,
            judges=extension.judges,
        )
        jobs.append(ForSwarm(questions[number // (body.n or 1)], options, _stops(body)))
    return tuple(jobs)


def _for_model(
    body: Asked,
    extension: WaggleOptions,
    setting: Setting,
    model: str,
    asked: Sequence[GenerateRequest],
    max_tokens: int | None,
    logprobs: bool,
) -> tuple[ForModel, ...]:
    ceiling = setting.options.request_seconds
    longest = _max_tokens(body, max_tokens, setting.options)
    jobs = []
    for number in range(len(asked) * (body.n or 1)):
        plain = asked[number // (body.n or 1)]
        request = GenerateRequest(
            question=plain.question,
            max_tokens=paid_for(plain, extension.budget_tokens, longest),
            sampling=_sampling(body, setting.request, number),
            stop=_stops(body),
            turns=plain.turns,
            tools=plain.tools,
            tool_choice=plain.tool_choice,
        )
        jobs.append(ForModel(model, request, min(extension.budget_seconds or ceiling, ceiling), logprobs))
    return tuple(jobs)


def _one_model(name: str, models: Sequence[ServedModel], *, alone: bool) -> str | None:
    """The model that answers alone; None where the committee does."""
    if name in STRATEGIES:
        return most_capable(models) if alone else None
    chosen = name.removeprefix(SOLO)
    if chosen == name or all(model.name != chosen for model in models):
        raise unknown_model(name)
    return chosen


def _overall(model: ServedModel) -> float:
    skills = model.skills
    return skills[""] if "" in skills else sum(skills.values()) / len(skills) if skills else 0.0


def _sampling(body: Asked, request: str, number: int) -> Sampling:
    """Without a temperature the likeliest words are taken; without a seed, chance follows from the request's id."""
    temperature = body.temperature or 0.0
    drawn = int(request[:15], 16) if temperature > 0 else 0
    seed = seed_of(drawn if body.seed is None else body.seed, number)
    return Sampling(temperature=temperature, top_p=1.0 if body.top_p is None else body.top_p, seed=seed)


def _max_tokens(body: Asked, newer: int | None, options: GatewayOptions) -> int:
    if newer is not None and body.max_tokens not in (None, newer):
        raise fault("max_tokens", "max_completion_tokens says something else")
    return newer or body.max_tokens or options.max_tokens


def paid_for(asked: GenerateRequest, budget: int | None, longest: int) -> int:
    """How long an answer the budget pays for, where no text has more tokens than bytes. Raises ApiError for none."""
    if budget is None:
        return longest
    texts = [turn.content for turn in asked.turns] or [asked.question]
    texts += [tool.description + tool.parameters for tool in asked.tools]
    room = budget - sum(len(text.encode()) for text in texts) - PROMPT_MARGIN * len(texts)
    if room < 1:
        raise small_budget()
    return min(longest, room)


def _stops(body: Asked) -> tuple[str, ...]:
    return (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
