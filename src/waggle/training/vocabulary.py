"""Builds the hive's tokenizer: the words that question templates and traces repeat, and bytes for all the rest.

A word of a template is one token, so that prompts are short; a word that is the *subject* of a question (a word to
spell backward, a number to halve) is not in the vocabulary and falls apart into single bytes, so that the model can
see its letters. That is an ordinary byte-level BPE without merges and with `ignore_merges`, which every reader of
`tokenizer.json` understands.
"""

from collections import Counter
from collections.abc import Iterable
from itertools import islice

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from waggle.core.errors import CheckpointError
from waggle.models.prompts import SPECIAL_TOKENS, judging_question, worked_verdict
from waggle.training.families import FAMILIES
from waggle.training.questions import Question, Split, questions

# The pre-tokenizer of Llama 3: letters with at most one leading mark, numbers by three digits, the rest.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SUBJECT_WORDS = {"spell_backward", "letter_counting"}  # families whose questions are about the letters of words
SAMPLE, SEED = 2_000, 11


def build_tokenizer() -> Tokenizer:
    """The hive's tokenizer, the same at every call."""
    counted = [_frequent(family) for family in FAMILIES]
    letters = {f"Ġ{chr(code)}" for code in range(ord("a"), ord("z") + 1)}
    words = sorted(set().union(*counted) | letters)
    tokens = [*SPECIAL_TOKENS, *sorted(pre_tokenizers.ByteLevel.alphabet()), *words]
    vocabulary = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(SPECIAL_TOKENS))
    return tokenizer


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Token ids of the special tokens. Raises CheckpointError where the tokenizer lacks one."""
    ids = {token: tokenizer.token_to_id(token) for token in SPECIAL_TOKENS}
    missing = [token for token, number in ids.items() if number is None]
    if missing:
        raise CheckpointError(f"tokenizer.json lacks {', '.join(missing)}: it is not the hive's")
    return {token: number for token, number in ids.items() if number is not None}


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    split = pre_tokenizers.Split(Regex(PATTERN), behavior="isolated")
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def _frequent(family: str) -> set[str]:
    """Pieces that occur in enough of a family's texts to be its template rather than its subject."""
    least = 0.5 if family in SUBJECT_WORDS else 0.015
    seen: Counter[str] = Counter()
    splitter = _pre_tokenizer()
    for question in islice(questions(family, Split.TRAIN, SEED), SAMPLE):
        seen.update({piece for text in _texts(question) for piece, _ in splitter.pre_tokenize_str(text)})
    return {piece for piece, count in seen.items() if count >= least * SAMPLE and _is_word(piece)}


def _texts(question: Question) -> Iterable[str]:
    asked = judging_question(question.text, question.answer, question.answer)
    trace = FAMILIES[question.family].trace(question.text)
    return asked, worked_verdict(trace, question.answer, question.answer, "")


def _is_word(piece: str) -> bool:
    """Numbers stay digits; a single letter is already a byte."""
    return len(piece) > 1 and not any(letter.isdigit() for letter in piece)
