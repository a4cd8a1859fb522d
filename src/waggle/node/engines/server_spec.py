"""A server as a person writes it: `http://host:port/v1#model`, and behind a `?` what the server cannot tell itself.

    http://127.0.0.1:8000/v1#sage?marker=Answer:&context=256

Values are percent-encoded as in any address, so that a blank is `%20` and a new line `%0A`.
"""

from urllib.parse import parse_qsl

from waggle.core.errors import UsageError
from waggle.engines.openai.settings import PromptCache, ServerSettings

NAMES = ("marker", "instructions", "context", "embeddings", "family", "cache", "tools", "turns")
LARGEST_CONTEXT = 2**24


def read_server_spec(spec: str, *, key_variable: str | None = None) -> ServerSettings:
    """The settings of one server.

    `marker` is what the model writes before its answer, `instructions` what it is told before every question,
    `context` its length in tokens, `embeddings` the model that embeds, `family` who trained it,
    `cache` whether it keeps callers' prompts apart: `salted` (vLLM, SGLang), `off` (llama.cpp) or `shared`,
    `tools` whether it can call any and `turns` whether it reads a conversation: `yes` or `no`.

    Raises:
        UsageError: no model, an option that is not known or twice there, or a value that cannot be.
    """
    url, _, rest = spec.partition("#")
    model, _, query = rest.partition("?")
    if not model:
        raise UsageError(f"which model of {url}? write it behind a #, as in http://localhost:11434/v1#qwen3:8b")
    options = _options(model, query)
    return ServerSettings(
        base_url=url,
        model=model,
        key_variable=key_variable,
        answer_marker=options.get("marker"),
        instructions=options.get("instructions"),
        context_tokens=_context(options.get("context", "4096")),
        embedding_model=options.get("embeddings"),
        family=options.get("family"),
        cache=_cache(options.get("cache", "shared")),
        tools=_is_yes("tools", options.get("tools", "yes")),
        turns=_is_yes("turns", options.get("turns", "yes")),
    )


def _options(model: str, query: str) -> dict[str, str]:
    try:
        pairs = parse_qsl(query, strict_parsing=bool(query), errors="strict", max_num_fields=len(NAMES))
    except ValueError:
        raise UsageError(f"what follows {model}? should be name=value, joined by &: {', '.join(NAMES)}") from None
    options = dict(pairs)
    if len(options) < len(pairs) or not options.keys() <= set(NAMES):
        raise UsageError(f"of {model} can be said, each once: {', '.join(NAMES)}")
    return options


def _context(text: str) -> int:
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= LARGEST_CONTEXT and len(text) < 9):
        raise UsageError(f"context should be a number of tokens up to {LARGEST_CONTEXT}, found {text[:40]!r}")
    return int(text)


def _cache(text: str) -> PromptCache:
    try:
        return PromptCache(text)
    except ValueError:
        raise UsageError(f"cache should be one of {', '.join(PromptCache)}, found {text[:40]!r}") from None


def _is_yes(name: str, text: str) -> bool:
    if text not in ("yes", "no"):
        raise UsageError(f"{name} should be yes or no, found {text[:40]!r}")
    return text == "yes"
