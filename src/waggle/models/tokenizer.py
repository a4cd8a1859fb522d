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
from functools import cached_property
from pathlib import Path

from tokenizers import AddedToken, Tokenizer

from waggle.core.errors import CheckpointError
from waggle.models.chat_template import ChatTemplate, Message, find_template
from waggle.models.config import load_json

NAMED_TOKENS = ("bos_token", "eos_token", "pad_token", "unk_token")
UNFINISHED = "\N{REPLACEMENT CHARACTER}"  # how a decoder shows bytes that are not yet a whole character
UNFINISHED_BYTES = 3  # a character of UTF-8 has at most 4 bytes
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

    @property
    def size(self) -> int:
        """Number of token ids."""
        return self._tokenizer.get_vocab_size()

    def token_to_id(self, token: str) -> int | None:
        """The id of one token by its exact name."""
        return self._tokenizer.token_to_id(token)

    def encode(self, text: str) -> list[int]:
        """Plain text to ids; no character of it becomes a special token. Raises ValueError for lone surrogates."""
        return self._encode(text, special=False)

    def encode_prompt(self, question: str) -> list[int]:
        """The question as the model expects to be asked, up to where it begins to write."""
        if self._template is None:
            return self._opening + self.encode(question)
        whole = self._encode(self._render(question), special=True)
        if self._is_innocent(question, whole):
            return whole
        placeholder = _placeholder()
        before, *after = self._render(placeholder).split(placeholder)
        return self._encode_pieces([before, *after], question)

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
        if self._template is None:
            raise CheckpointError("the model has no chat template")
        contents = {_placeholder(): message["content"] for message in messages}
        frame = self._template.render(_filled(messages, contents))
        whole = self._encode(self._template.render(messages), special=True)
        named = any(special in content for special in self._contents for content in contents.values())
        if not named and self._specials(whole) == self._specials(self._encode(frame, special=True)):
            return whole
        tokens: list[int] = []
        for piece in re.split(f"({'|'.join(contents)})", frame):
            tokens += self.encode(contents[piece]) if piece in contents else self._encode(piece, special=True)
        return tokens

    def decode(self, tokens: Sequence[int]) -> str:
        """Ids to text; special tokens (end, padding, roles) leave nothing behind."""
        shown = [token for token in tokens if token not in self._hidden]
        return self._tokenizer.decode(shown, skip_special_tokens=False)

    def _render(self, question: str) -> str:
        if self._template is None:
            return question
        return self._template.render([{"role": "user", "content": question}])

    def _lays_out(self, roles: Sequence[str]) -> bool:
        if self._template is None:
            return False
        marks = [_placeholder() for _ in roles]
        messages = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
        try:
            text = self._template.render(messages)
        except CheckpointError:
            return False
        return re.findall("|".join(marks), text) == marks

    @cached_property
    def _opening(self) -> list[int]:
        """What an ordinary encoding of nothing begins with (a model's beginning-of-text token, usually)."""
        return self._tokenizer.encode("", add_special_tokens=True).ids if self._template is None else []

    @cached_property
    def _own_specials(self) -> list[int]:
        """The special tokens that the template writes around any question."""
        return self._specials(self._encode(self._render(_placeholder()), special=True))

    def _specials(self, tokens: Sequence[int]) -> list[int]:
        return [token for token in tokens if token in self._special]

    def _is_innocent(self, question: str, whole: Sequence[int]) -> bool:
        named = any(content in question for content in self._contents)
        return not named and self._specials(whole) == self._own_specials

    def _encode(self, text: str, *, special: bool) -> list[int]:
        text.encode()  # UnicodeEncodeError, a ValueError, for what is no text
        with self._lock:
            self._tokenizer.encode_special_tokens = not special
            return self._tokenizer.encode(text, add_special_tokens=False).ids

    def _encode_pieces(self, pieces: Sequence[str], question: str) -> list[int]:
        """The template's pieces with the question, as plain text, in each gap between them."""
        tokens = self._encode(pieces[0], special=True)
        for piece in pieces[1:]:
            tokens += self.encode(question) + self._encode(piece, special=True)
        return tokens


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
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{path} is missing or cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise CheckpointError(f"{path} is not a tokenizer: {error}") from error
    names = _token_names(folder)
    source = find_template(folder)
    template = None if source is None else ChatTemplate(source, names)
    return ChatTokenizer(tokenizer, end_tokens=_end_tokens(folder, tokenizer, names), template=template)


def save_tokenizer(
    folder: Path, tokenizer: Tokenizer, *, chat_template: str, end_token: str, padding_token: str
) -> None:
    """Write `tokenizer.json` and the `tokenizer_config.json` by which transformers finds the same template."""
    tokenizer.save(str(folder / "tokenizer.json"))
    raw = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end_token,
        "pad_token": padding_token,
        "clean_up_tokenization_spaces": False,
        "chat_template": chat_template,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(raw, indent=2) + "\n")


def _placeholder() -> str:
    """Stands for a question while its template is rendered; nobody can have written it into the question."""
    return f"waggle{secrets.token_hex(16)}"


def _filled(messages: Sequence[Message], contents: Iterable[str]) -> list[Message]:
    """The messages with other contents."""
    return [{**message, "content": content} for message, content in zip(messages, contents, strict=True)]


def _is_tag(token: AddedToken) -> bool:
    """Whether an added token that is not flagged as special steers the model all the same, such as <think>."""
    content = token.content
    return not token.special and len(content) > 2 and (content[0], content[-1]) in (("<", ">"), ("[", "]"))


def _token_names(folder: Path) -> dict[str, str]:
    """`bos_token` and the like: their text, where tokenizer_config.json gives it."""
    path = folder / "tokenizer_config.json"
    raw = load_json(path) if path.exists() else {}
    named = {name: raw.get(name) for name in NAMED_TOKENS}
    texts = {name: value.get("content") if isinstance(value, dict) else value for name, value in named.items()}
    return {name: text for name, text in texts.items() if isinstance(text, str)}


def _end_tokens(folder: Path, tokenizer: Tokenizer, names: dict[str, str]) -> frozenset[int]:
    """Every token that any of the three files names as the end of a text."""
    found: set[int] = set()
    for path in (folder / "config.json", folder / "generation_config.json"):
        value = load_json(path).get("eos_token_id") if path.exists() else None
        found.update(number for number in (value if isinstance(value, list) else [value]) if isinstance(number, int))
    named = tokenizer.token_to_id(names["eos_token"]) if "eos_token" in names else None
    found.update(() if named is None else (named,))
    if not found:
        raise CheckpointError(f"{folder}: neither config.json nor tokenizer_config.json names an end token")
    return frozenset(found)
