"""What the parser of command lines says of a wrong value, in words for people. Pure."""

import re

WORDS = (
    (r"Input should be a valid integer.*", "it must be a whole number"),
    (r"Input should be a valid number.*", "it must be a number"),
    (r"Input should be greater than or equal to (\S+?)\.?", r"it must be at least \1"),
    (r"Input should be less than or equal to (\S+?)\.?", r"it must be at most \1"),
    (r"Input should be greater than (\S+?)\.?", r"it must be more than \1"),
    (r"Input should be less than (\S+?)\.?", r"it must be less than \1"),
    (r"Input should be a finite number.*", "it must be a finite number"),
)
"""What stands behind "Invalid value for ...: ", whole, and what we say."""
_CHOICES = re.compile(r"Value error, .* is not one of ((?:'[^']*'(?:, )?)+)\.?")
_HEAD = re.compile(r"(Invalid value(?: for [^:]*)?: )(.*)", re.DOTALL)


def plain_usage(message: str) -> str:
    """The message, where we know the cause, as "Invalid value for '--seed': it must be a whole number"."""
    if (parts := _HEAD.fullmatch(message)) is None:
        return message
    head, cause = parts.groups()
    if choices := _CHOICES.fullmatch(cause):
        return f"{head}it must be one of {choices[1].replace(chr(39), '')}"
    for pattern, words in WORDS:
        if found := re.fullmatch(pattern, cause, re.DOTALL):
            return head + found.expand(words)
    return head + cause.removeprefix("Value error, ")
