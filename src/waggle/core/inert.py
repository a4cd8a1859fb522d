"""Text from models, servers and files made safe to show: nothing in it can steer a terminal, turn a page's
direction of writing or forge a line of ours. Pure.
"""

import unicodedata

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}  # controls, invisible or direction-changing marks, half characters
HARMLESS = {"\n", "\u200c", "\u200d"}  # the joiners are part of how Persian, Hindi and emoji are written


def inert(text: str) -> str:
    """The text with every letter that cannot be seen written as its escape, such as \\x1b; lines stay lines."""
    lines = text.replace("\r\n", "\n").expandtabs(4)
    return lines if lines.isprintable() else "".join(map(_inert_letter, lines))


def one_line(text: str, limit: int) -> str:
    """The inert text on one line of at most `limit` characters."""
    line = " ".join(inert(text).split())
    return line if len(line) <= limit else line[: limit - 3] + "..."


def _inert_letter(letter: str) -> str:
    if letter in HARMLESS or unicodedata.category(letter) not in UNSEEN:
        return letter
    return letter.encode("unicode_escape").decode("ascii")
