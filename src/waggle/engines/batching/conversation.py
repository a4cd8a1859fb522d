"""A conversation as the messages that a model's own chat template takes.

Templates differ in what they bear: many want user and assistant to take turns, some take no instructions of the system.
So turns of one speaker that follow each other become one, and instructions go where the template has a place for them.
These models call no tools: calls made before, and what came of them, are told in words.
"""

from collections.abc import Sequence

from waggle.core.chat_values import Role, Turn
from waggle.core.engine_values import GenerateRequest
from waggle.core.errors import EngineRefused
from waggle.engines.batching.completion import encoded
from waggle.models.chat_template import Message
from waggle.models.tokenizer import ChatTokenizer

OPTIONAL = ("auto", "none")  # choices that an engine without tools can honour


async def prompt_tokens(request: GenerateRequest, tokenizer: ChatTokenizer, *, converses: bool) -> list[int]:
    """The prompt of a request: the whole conversation where the model holds one, else the question alone.

    Raises:
        EngineRefused: it cannot be encoded, or a tool must be called.
    """
    if request.tool_choice not in OPTIONAL:
        raise EngineRefused("this model calls no tools, and a tool must be called")
    if not request.turns or not converses:
        return await encoded(request.question, tokenizer.encode_prompt)
    messages = messages_of(request.turns, takes_instructions=tokenizer.takes_instructions)
    whole = "\n".join(message["content"] for message in messages)
    return await encoded(whole, lambda _: tokenizer.encode_messages(messages))


def messages_of(turns: Sequence[Turn], *, takes_instructions: bool) -> list[Message]:
    """Turns of one speaker joined; instructions first, in the user's turn where they have no place of their own."""
    told = [turn.content for turn in turns if turn.role is Role.SYSTEM]
    first = "system" if takes_instructions else "user"
    spoken = [(first, text) for text in told]
    spoken += [(_speaker(turn), _words(turn)) for turn in turns if turn.role is not Role.SYSTEM]
    messages: list[Message] = []
    for role, text in spoken:
        if messages and messages[-1]["role"] == role:
            messages[-1] = {"role": role, "content": f"{messages[-1]['content']}\n\n{text}"}
        else:
            messages.append({"role": role, "content": text})
    return messages


def _speaker(turn: Turn) -> str:
    return "assistant" if turn.role is Role.ASSISTANT else "user"


def _words(turn: Turn) -> str:
    if turn.role is Role.TOOL:
        return f"The tool gave: {turn.content}"
    called = [f"I call the tool {call.name} with {call.arguments}" for call in turn.tool_calls]
    return "\n".join([*([turn.content] if turn.content or not called else ()), *called])
