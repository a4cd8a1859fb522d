"""From what a client sent to what is asked of the swarm: pure, and the only place that reads OpenAI's meanings.

A request becomes one task per choice. A job for the committee is a question with options; a job for one model is a
`GenerateRequest`. A call of a tool cannot be put to the vote: where one may be made, a model that calls tools is asked
first, and the committee answers where it calls none.
"""

from collections.abc import Sequence

from waggle.core.asking import AskOptions
from waggle.core.chat_values import Turn
from waggle.core.engine_values import GenerateRequest, Sampling
from waggle.core.round_values import Budget
from waggle.gateway.chat.conversation import asked_text, question_of, tool_choice_of, tools_of, turns_of, with_names
from waggle.gateway.chat.shapes import Asked, ChatRequest, CompletionRequest
from waggle.gateway.errors import ApiError, fault, unsupported
from waggle.gateway.jobs.choosing import (
    STRATEGIES,
    check_no_round,
    check_round_options,
    check_tools,
    most_capable,
    named_model,
    paid_for,
    unread,
    would_answer_alone,
)
from waggle.gateway.jobs.values import ForModel, ForSwarm, Job, Setting, Task, ToolsFirst, seed_of
from waggle.gateway.options import GatewayOptions
from waggle.gateway.shapes import MAX_CHOICES, WaggleOptions
from waggle.node.services.service import ServedModel

NO_LOGPROBS = "only a model alone (solo/...) has them"


def chat_jobs(body: ChatRequest, extension: WaggleOptions, setting: Setting) -> tuple[Task, ...]:
    """One task per choice of a chat. Raises ApiError for what cannot be done."""
    if body.logprobs and body.response_format is not None and body.response_format.type != "text":
        raise unsupported("logprobs", "an answer of a certain form has none")
    turns = turns_of(body.messages)
    question = question_of(turns)
    kept = () if len(turns) == 1 else with_names(turns, body.messages)
    tools = tools_of(body)
    choice = tool_choice_of(body, tools)
    tools = () if choice == "none" else tools
    longest = body.max_completion_tokens
    model = named_model(body.model, setting.models)
    if model is None and not tools:
        return _for_swarm(body, extension, setting, (question,), kept, longest)
    one = most_capable(setting.models) if model is None else model
    if tools:
        check_tools(one)
    asked = (GenerateRequest(question=question, turns=kept, tools=tools, tool_choice=choice),)
    forced = model is not None or choice != "auto"
    if forced:
        check_no_round(extension)
    if forced or would_answer_alone(one, setting.models, kept, extension):
        return _for_model(body, extension, setting, one, asked, longest)
    answering = _for_swarm(body, extension, setting, (question,), kept, longest)
    return tuple(map(ToolsFirst, _for_model(body, extension, setting, one, asked, longest), answering))


def completion_jobs(body: CompletionRequest, extension: WaggleOptions, setting: Setting) -> tuple[Job, ...]:
    """One job per prompt and choice of a completion. Raises ApiError for what cannot be done."""
    given = [body.prompt] if isinstance(body.prompt, str) else body.prompt
    prompts = tuple(asked_text(prompt, "prompt") for prompt in given)
    if len(prompts) * (body.n or 1) > MAX_CHOICES:
        raise ApiError(400, f"at most {MAX_CHOICES} choices can be had at once", code="invalid_value", param="n")
    model = named_model(body.model, setting.models)
    if model is None:
        return _for_swarm(body, extension, setting, prompts, (), None)
    check_no_round(extension)
    return _for_model(body, extension, setting, model, [GenerateRequest(question=prompt) for prompt in prompts], None)


def _for_swarm(
    body: Asked,
    extension: WaggleOptions,
    setting: Setting,
    questions: Sequence[str],
    turns: tuple[Turn, ...],
    max_tokens: int | None,
) -> tuple[ForSwarm, ...]:
    if _wants_logprobs(body):
        raise unsupported("logprobs", NO_LOGPROBS)
    check_round_options(extension, STRATEGIES[body.model])
    readers = [model for model in setting.models if model.usable]
    ignored = unread(turns, readers) if turns else ()
    reads = any(model.converses for model in readers) or not readers
    ceiling, given = setting.options.request_seconds, extension.budget_seconds
    budget = Budget(tokens=extension.budget_tokens, seconds=min(given or setting.options.budget_seconds, ceiling))
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
        jobs.append(ForSwarm(questions[number // (body.n or 1)], options, _stops(body), ignored, reads))
    return tuple(jobs)


def _for_model(
    body: Asked,
    extension: WaggleOptions,
    setting: Setting,
    model: ServedModel,
    asked: Sequence[GenerateRequest],
    max_tokens: int | None,
) -> tuple[ForModel, ...]:
    ignored = unread(asked[0].turns, (model,)) if asked[0].turns else ()
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
        seconds = min(extension.budget_seconds or ceiling, ceiling)
        jobs.append(ForModel(model.name, request, seconds, _wants_logprobs(body), ignored, model.converses))
    return tuple(jobs)


def _wants_logprobs(body: Asked) -> bool:
    """A chat says whether, the older endpoint how many alternatives to each."""
    given = body.logprobs if isinstance(body, ChatRequest | CompletionRequest) else None
    return given is not None and given is not False


def _sampling(body: Asked, request: str, number: int) -> Sampling:
    """Without a temperature the likeliest words are taken; without a seed, chance follows from the request's id."""
    temperature = body.temperature or 0.0
    drawn = int(request[:15], 16) if temperature > 0 else 0
    seed = seed_of(drawn if body.seed is None else body.seed, number)
    return Sampling(temperature=temperature, top_p=1.0 if body.top_p is None else body.top_p, seed=seed)


def _max_tokens(body: Asked, newer: int | None, options: GatewayOptions) -> int:
    if newer is not None and body.max_tokens not in (None, newer):
        raise fault("max_completion_tokens", "max_tokens says something else: send one of them")
    return newer or body.max_tokens or options.max_tokens


def _stops(body: Asked) -> tuple[str, ...]:
    return (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
