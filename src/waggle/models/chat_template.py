"""Renders a model's own chat template in a sandbox: text from a model folder decides layout, and nothing else.

A template is a Jinja program written by strangers. It sees a list of messages and the names of the special tokens; it
cannot reach attributes of Python objects, change anything, count far or write much. What it refuses by
`raise_exception` and whatever goes wrong inside it is a CheckpointError: the folder is at fault, not the question.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from waggle.core.errors import CheckpointError
from waggle.models.config import load_json

MAX_SOURCE_CHARACTERS = 200_000  # the longest known template, with tools, has about 20,000
MAX_ADDED_CHARACTERS = 200_000  # what a template may write beyond the messages' own text
MAX_LOOP_STEPS = 10_000

Message = Mapping[str, str]


class ChatTemplate:
    """One compiled template; `variables` are what it may refer to beside the messages (`bos_token` and the like)."""

    def __init__(self, source: str, variables: Mapping[str, str]) -> None:
        if len(source) > MAX_SOURCE_CHARACTERS:
            raise CheckpointError(f"the chat template has {len(source)} characters, over {MAX_SOURCE_CHARACTERS}")
        self._variables = dict(variables)
        try:
            self._sandbox = _Sandbox()
            self._template = self._sandbox.from_string(source)
        except (TemplateError, RecursionError) as error:
            raise CheckpointError(f"the chat template does not compile: {error}") from error

    def render(self, messages: Sequence[Message]) -> str:
        """The messages laid out, up to the place where the assistant begins to write."""
        self._sandbox.steps_left = MAX_LOOP_STEPS
        most = MAX_ADDED_CHARACTERS + 4 * sum(len(message["content"]) for message in messages)
        try:
            pieces = self._template.generate(
                messages=messages, add_generation_prompt=True, tools=None, documents=None, **self._variables
            )
            return "".join(_bounded(pieces, most))
        except (TemplateError, ArithmeticError, LookupError, TypeError, ValueError, RecursionError) as error:
            raise CheckpointError(f"the chat template failed: {type(error).__name__}: {error}") from error


def find_template(folder: Path) -> str | None:
    """The template's source, from `chat_template.jinja` or `tokenizer_config.json`; None where there is none."""
    file = folder / "chat_template.jinja"
    if file.exists():
        try:
            return file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CheckpointError(f"{file} cannot be read: {error}") from error
    path = folder / "tokenizer_config.json"
    source = load_json(path).get("chat_template") if path.exists() else None
    if isinstance(source, list):  # several named ones: [{"name": "default", "template": ...}, ...]
        named = {entry.get("name"): entry.get("template") for entry in source if isinstance(entry, dict)}
        source = named.get("default")
    if source is not None and not isinstance(source, str):
        raise CheckpointError(f"{path}: chat_template should be text, found {type(source).__name__}")
    return source


class _Sandbox(ImmutableSandboxedEnvironment):
    """The sandbox with the settings and functions that chat templates rely on, and a bound on what they cost."""

    intercepted_binops = frozenset({"*", "**"})

    def __init__(self) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        self.globals.update(raise_exception=_raise_exception, range=self._short_range)
        self.steps_left = MAX_LOOP_STEPS  # of all counted loops together, while one text is rendered
        for expensive in ("center", "format", "indent", "wordwrap"):
            self.filters.pop(expensive)

    def call_binop(self, context: object, operator: str, left: object, right: object) -> object:
        """Small numbers only: `"x" * 10 ** 9` would fill the memory."""
        if not all(isinstance(value, int | float) and abs(value) < MAX_LOOP_STEPS for value in (left, right)):
            raise SecurityError(f"{operator} is for small numbers only")
        return super().call_binop(context, operator, left, right)  # type: ignore[arg-type]

    def _short_range(self, *limits: int) -> range:
        steps = range(*limits)
        self.steps_left -= len(steps)
        if self.steps_left < 0:
            raise SecurityError(f"loops of more than {MAX_LOOP_STEPS} steps")
        return steps


def _raise_exception(message: str) -> NoReturn:
    raise TemplateError(message)


def _bounded(pieces: Iterator[str], most: int) -> Iterator[str]:
    written = 0
    for piece in pieces:
        written += len(piece)
        if written > most:
            raise SecurityError(f"more than {most} characters")
        yield piece
