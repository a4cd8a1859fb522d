"""What every route that has something answered does with its request: find out who asks for what, and make room.

The guard has been here before: it left the request's id, the key and a way to charge tokens in the request's state.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace

from fastapi import Request
from pydantic import ValidationError

from waggle.core.errors import WaggleError
from waggle.core.round_values import Record
from waggle.gateway.door.admission import NO_KEY
from waggle.gateway.errors import ApiError, invalid, of_waggle, renamed, unsupported
from waggle.gateway.jobs.answering import Answerer, drop
from waggle.gateway.jobs.values import Head, Setting
from waggle.gateway.shapes import WaggleOptions

HEADER = "x-waggle-"
OWN = "waggle."
READING_SECONDS = 60.0  # for the client to read what it was given


def extension_of(request: Request, said: WaggleOptions | None) -> WaggleOptions:
    """What only a swarm understands, from the body and, where that says nothing, from the headers. Raises ApiError.

    Nobody is given more tokens than the gateway's own ceiling.
    """
    asked, most = _said(said, request.headers), request.app.state.options.budget_tokens
    if most is None:
        return asked
    return asked.model_copy(update={"budget_tokens": min(asked.budget_tokens or most, most)})


def _said(said: WaggleOptions | None, headers: Mapping[str, str]) -> WaggleOptions:
    given = {name.removeprefix(HEADER): value for name, value in headers.items() if name.startswith(HEADER)}
    if not given:
        return said or WaggleOptions()
    try:
        named = WaggleOptions.model_validate_strings({name.replace("-", "_"): value for name, value in given.items()})
    except ValidationError as error:
        fault = invalid(error.errors(include_url=False, include_input=False))
        name = fault.param or ""
        told = renamed(fault, {name: _header(name)})
        raise replace(told, message=told.message.replace("unknown field", "unknown header")) from None
    return named.model_copy(update=said.model_dump(exclude_none=True)) if said else named


def refuse_extension(request: Request) -> None:
    """Raise ApiError where a header asks for what only rounds understand."""
    _said(None, request.headers)
    for name in request.headers:
        if name.startswith(HEADER):
            raise unsupported(_header(name.removeprefix(HEADER)), "nothing is asked of the swarm here")


@contextmanager
def in_words_of(request: Request, said: WaggleOptions | None, names: Mapping[str, str] | None = None) -> Iterator[None]:
    """Name what is at fault as the client did: by header where it came by header, else by these other `names`.

    Raises:
        ApiError: what was raised inside.
    """
    try:
        yield
    except ApiError as error:
        told = renamed(_by_header(error, request, said), names or {})
        if told is error:
            raise
        raise told from error


def _by_header(error: ApiError, request: Request, said: WaggleOptions | None) -> ApiError:
    field = (error.param or "").removeprefix(OWN)
    if field == (error.param or "") or (said is not None and getattr(said, field, None) is not None):
        return error
    if HEADER + field.replace("_", "-") in request.headers:
        return renamed(error, {OWN + field: _header(field)})
    return replace(renamed(error, {OWN + field: "the gateway's own limit"}), param=None)


def _header(field: str) -> str:
    return f"X-Waggle-{field.replace('_', '-').title()}"


def request_id(request: Request) -> str:
    """The request's id: the guard's, or a new one."""
    found = getattr(request.state, "request", None)
    if not isinstance(found, str):
        found = request.state.request = secrets.token_hex(16)
    return found


@asynccontextmanager
async def place(request: Request) -> AsyncIterator[None]:
    """Room and time for one request, fair between keys. Raises ApiError where there is none, or no more."""
    key = getattr(request.state, "key", None)
    state = request.app.state
    try:
        async with (
            state.admission.place(NO_KEY if key is None else key.id),
            asyncio.timeout(state.options.request_seconds + READING_SECONDS),
        ):
            yield
    except (WaggleError, TimeoutError) as error:
        raise of_waggle(error) from error


def key_name(request: Request) -> str | None:
    """The name of the key that was used; None where none was needed."""
    key = getattr(request.state, "key", None)
    return None if key is None else str(key.name)


def answerer_of(request: Request, head: Head, extension: WaggleOptions) -> Answerer:
    """Whoever does the request's jobs, with its history and its account."""
    service = request.app.state.service
    return Answerer(service, keeper(request, head), charger(request), bool(extension.explain))


def keeper(request: Request, head: Head) -> Callable[[Record], None]:
    """Adds rounds to the history, where one is kept."""
    history, key = request.app.state.history, key_name(request)

    def keep(record: Record) -> None:
        if history is not None:
            history.add(record, request=head.request, at=float(head.created), source="api", key=key)

    return keep


def charger(request: Request) -> Callable[[int], None]:
    """Takes tokens off the key's account."""
    charge: Callable[[int], None] = getattr(request.state, "charge", drop)
    return charge


def setting_of(request: Request) -> Setting:
    """What the request is read against."""
    state = request.app.state
    return Setting(models=state.service.models(), options=state.options, request=request_id(request))
