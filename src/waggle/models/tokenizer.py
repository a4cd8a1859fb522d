"""Text to token ids and back, so that text from outside can never become a special token.

Only the pieces that the chat template itself writes may become special tokens. An innocent question gets exactly the
tokens that the template and the ordinary tokenizer give it; one that would forge a special token (or hide one) is
encoded as plain text between the template's own pieces. The same holds for every turn of a conversation. Knows nothing
of models; one instance serves all threads.
"""

import json
import re
import secrets
import threading
from collections.abc import Iterable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from waggle.core.errors import CheckpointError
from waggle.models.chat_template import ChatTemplate, Message, find_template
from waggle.models.config import load_json
from waggle.models.prompts import CHAT_TEMPLATE, END, PADDING

NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # how a decoder shows bytes that are not yet a whole character
UNFINISHED_BYTES = 3  # a character of UTF-8 has at most 4 bytes
REMEMBERED = 64  # sequences of roles, with the special tokens that belong to them
LONGEST_WINDOW = 32  # tokens; only bytes that are no text at all get that far


class ChatTokenizer:
    """A `tokenizer.json` with its chat template; make it by `load_tokenizer`."""

    def __init__(self, tokenizer: Tokenizer, *, end_tokens: frozenset[int], template: ChatTemplate | None) -> None:
        self._tokenizer = tokenizer
        self._template = template
        self._lock = threading.Lock()  # around the switch that says whether special tokens are recognised
        self.end_tokens = end_tokens
        added = tokenizer.get_added_tokens_decoder()
        self._hidden = frozenset(number for number, token in added.items() if token.special)
        tags = [AddedToken(token.content, special=True) for token in added.values() if _is_tag(token)]
        tokenizer.add_special_tokens(tags)
        self._special = self._hidden | {tokenizer.token_to_id(token.content) for token in tags}
        self._contents = tuple(token.content for number, token in added.items() if number in self._special)
        self._frame_specials = lru_cache(REMEMBERED)(self._written_around)

    @property
    def size(self) -> int:
        """Number of token ids."""
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> list[int]:
        """Plain text to ids; no character of it becomes a special token. Raises ValueError for lone surrogates."""
        return self._encode(text, special=False)

    def encode_prompt(self, question: str) -> list[int]:
        """The question as the model expects to be asked, up to where it begins to write."""
        if self._template is None:
            return self._opening + self.encode(question)
        return self.encode_messages([{"role": "user", "content": question}])

    @cached_property
    def can_converse(self) -> bool:
        """Whether the template lays out several turns, each once and in their order."""
        return self._lays_out(["user", "assistant", "user"])

    @cached_property
    def takes_instructions(self) -> bool:
        """Whether the template lays out a turn of the system before the others."""
        return self._lays_out(["system", "user"])

    def encode_messages(self, messages: Sequence[Message]) -> list[int]:
        """A conversation as the model expects it, up to where it begins to write.

        Raises:
            CheckpointError: there is no template, or it fails on this conversation.
        """
        whole = self._encode(self._rendered(messages), special=True)
        named = any(special in message["content"] for special in self._contents for message in messages)
        roles = tuple(message["role"] for message in messages)
        if not named and self._specials(whole) == self._frame_specials(roles):
            return whole
        contents = {_placeholder(): message["content"] for message in messages}
        frame = self._rendered(_turns(roles, contents))
        tokens: list[int] = []
        for piece in re.split(f"({'|'.join(contents)})", frame):
            tokens += self.encode(contents[piece]) if piece in contents else self._encode(piece, special=True)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Ids to text; special tokens (end, padding, roles) leave nothing behind."""
        shown = [token for token in tokens if token not in self._hidden]
        return self._tokenizer.decode(shown, skip_special_tokens=False)

    def _lays_out(self, roles: Sequence[str]) -> bool:
        marks = [_placeholder() for _ in roles]
        try:
            return re.findall("|".join(marks), self._rendered(_turns(roles, marks))) == marks
        except CheckpointError:
            return False

    def _rendered(self, messages: Sequence[Message]) -> str:
        if self._template is None:
            raise CheckpointError("the model has no chat template")
        return self._template.render(messages)

    @cached_property
    def _opening(self) -> list[int]:
        """What an ordinary encoding of nothing begins with (a model's beginning-of-text token, usually)."""
        return self._tokenizer.encode("", add_special_tokens=True).ids if self._template is None else []

    def _written_around(self, roles: tuple[str, ...]) -> list[int]:
        """The special tokens that the template itself writes around turns of these roles."""
        frame = self._rendered(_turns(roles, [_placeholder() for _ in roles]))
        return self._specials(self._encode(frame, special=True))

    def _specials(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token in self._special]

    def _encode(self, text: str, *, special: bool) -> list[int]:
        text.encode()  # UnicodeEncodeError, a ValueError, for what is no text
        with self._lock:
            self._tokenizer.encode_special_tokens = not special
            return self._tokenizer.encode(text, add_special_tokens=False).ids


class Detokenizer:
    """Gives out text token by token; a character that is spread over several tokens comes with the last of them.

    What `feed` and then `rest` return adds up to `decode` of all tokens. Only the last few tokens are decoded again.
    """

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        self._tokenizer = tokenizer
        self._window: list[int] = []  # the tokens that the next character may depend on
        self._old = 0  # how many of them were there already when the window last moved
        self._given = 0  # characters of the window's text that have been given out

    def feed(self, token: int) -> str:
        """The text that this token completes; "" while a character is unfinished."""
        self._window.append(token)
        text = self._tokenizer.decode(self._window)
        unfinished = min(len(text) - len(text.rstrip(UNFINISHED)), UNFINISHED_BYTES)
        piece = text[self._given : len(text) - unfinished]
        self._given += len(piece)
        if not unfinished or len(self._window) > LONGEST_WINDOW:
            self._move(len(text) - self._given)
        return piece

    def rest(self) -> str:
        """What an unfinished character at the very end is shown as."""
        piece = self._tokenizer.decode(self._window)[self._given :]
        self._given += len(piece)
        return piece

    def _move(self, withheld: int) -> None:
        """Drop what came before the last move; the tokens since then stay, as context for the next."""
        self._window = self._window[self._old :]
        self._old = len(self._window)
        self._given = len(self._tokenizer.decode(self._window)) - withheld


def load_tokenizer(folder: Path) -> ChatTokenizer:
    """Read `tokenizer.json`, the chat template and the end tokens of a model folder.

    Raises:
        CheckpointError: a file is missing or damaged, or no file names a token that ends a text.
    """
    tokenizer = open_tokenizer(folder)
    source = find_template(folder)
    template = None if source is None else ChatTemplate(source, token_names(folder))
    return ChatTokenizer(tokenizer, end_tokens=frozenset(end_tokens(folder, tokenizer)), template=template)


def save_tokenizer(folder: Path, tokenizer: Tokenizer) -> None:
    """Write `tokenizer.json` and the `tokenizer_config.json` by which transformers finds the hive's template."""
    tokenizer.save(str(folder / "tokenizer.json"))
    raw = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": END,
        "pad_token": PADDING,
        "clean_up_tokenization_spaces": False,
        "chat_template": CHAT_TEMPLATE,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(raw, indent=2) + "\n")


def _placeholder() -> str:
    """Stands for a question while its template is rendered; nobody can have written it into the question."""
    return f"waggle{secrets.token_hex(16)}"


def _turns(roles: Iterable[str], contents: Iterable[str]) -> list[Message]:
    return [{"role": role, "content": content} for role, content in zip(roles, contents, strict=True)]


def _is_tag(token: AddedToken) -> bool:
    """Whether an added token that is not flagged as special steers the model all the same, such as <think>."""
    content = token.content
    return not token.special and len(content) > 2 and (content[0], content[-1]) in (("<", ">"), ("[", "]"))


def open_tokenizer(folder: Path) -> Tokenizer:
    """The folder's `tokenizer.json`. Raises CheckpointError."""
    path = folder / "tokenizer.json"
    try:
        return Tokenizer.from_buffer(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path} is missing or cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not a tokenizer: {error}") from error


def token_names(folder: Path) -> dict[str, str]:
    """`bos_token` and the like: their text, where tokenizer_config.json gives it."""
    path = folder / "tokenizer_config.json"
    raw = load_json(path) if path.exists() else {}
    named = {name: raw.get(name) for name in NAMED_TOKENS}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def end_tokens(folder: Path, tokenizer: Tokenizer) -> list[int]:
    """Every token that any of three files names as the end of a text, the tokenizer's own first.

    Raises:
        CheckpointError: none does.
    """
    named = tokenizer.token_to_id(token_names(folder).get("eos_token", ""))
    found = [] if named is None else [named]
    for path in (folder / "generation_config.json", folder / "config.json"):
        value = load_json(path).get("eos_token_id") if path.exists() else None
        found += [number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int)]
    if not found:
        raise CheckpointError(f"{folder}: neither config.json nor tokenizer_config.json names an end token")
    return found
