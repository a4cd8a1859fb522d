"""What must be said about a server before it can be used, and the checks on it that need no network."""

import os
import re
from enum import StrEnum

import httpx
from msgspec import Struct

from waggle.core.errors import UsageError
from waggle.engines.openai.bounded_http import HttpBounds


class PromptCache(StrEnum):
    """What a server is told about the prompts that it remembers, where it knows how to keep callers apart.

    SHARED says nothing, as not every server knows the fields. SALTED names the caller by a secret word in `cache_salt`
    (vLLM, SGLang), OFF asks for no reuse by `cache_prompt` (llama.cpp).
    """

    SHARED = "shared"
    SALTED = "salted"
    OFF = "off"


class ServerSettings(Struct, frozen=True, kw_only=True):
    """Which server, which model, and what the server cannot tell about it.

    Attributes:
        base_url: up to and with "/v1", as http://127.0.0.1:11434/v1.
        model: the name under which the server knows it.
        embedding_model: the name to embed with; `model` where None.
        key_variable: name of the environment variable with the key; None sends no key.
        instructions: a system message for every question, None for none.
        answer_marker: what the instructions tell the model to write before its answer.
        context_tokens: assumed where the server does not tell.
        family: who trained it, for swarms that want different families; from the model's name where None.
        cache: what of one caller's prompts may serve another one's.
        tools: whether it can call tools.
        turns: whether it reads a whole conversation, or only the question at its end.
        bounds: time-outs, retries and sizes.
    """

    base_url: str
    model: str
    embedding_model: str | None = None
    key_variable: str | None = None
    instructions: str | None = None
    answer_marker: str | None = None
    context_tokens: int = 4_096
    family: str | None = None
    cache: PromptCache = PromptCache.SHARED
    tools: bool = True
    turns: bool = True
    bounds: HttpBounds = HttpBounds()


def checked_url(base_url: str) -> str:
    """The URL itself where it is a plain http(s) address; UsageError where it is not, without repeating it."""
    try:
        url = httpx.URL(base_url)
        url.host.encode("idna")  # a label over 63 characters would only fail when connecting
    except (httpx.InvalidURL, UnicodeError):
        raise UsageError("the base URL cannot be read: give one like http://127.0.0.1:11434/v1") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise UsageError("the base URL must begin with http:// or https:// and name a host")
    if url.port is not None and not 0 < url.port < 2**16:
        raise UsageError("the base URL's port must be from 1 to 65535")
    if url.userinfo or url.query or url.fragment:
        raise UsageError("the base URL may hold no password, query or fragment: a key belongs in the environment")
    return base_url


def key_from_environment(variable: str | None) -> str | None:
    """The key in the named environment variable; UsageError, without the key, where there is none that can be sent."""
    if variable is None:
        return None
    key = os.environ.get(variable, "").strip()
    if not key:
        raise UsageError(f"the environment variable {variable} is not set: put the server's key there")
    if not (key.isascii() and key.isprintable()):
        raise UsageError(f"the environment variable {variable} holds characters that no key has: set it again")
    return key


def family_of(model: str) -> str:
    """The letters that a model's name begins with: "Qwen/Qwen2.5-7B" and "qwen2.5:7b" are both "qwen"."""
    letters = re.match(r"[A-Za-z]+", model.rpartition("/")[2])
    return letters[0].lower() if letters else model
