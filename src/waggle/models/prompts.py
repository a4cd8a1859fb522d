"""The words around a question: how the hive is asked, how it marks its answer, how it is asked to judge.

One place, because training, the engine and the tests must agree to the letter. Special tokens are only ever written
by us; the text between them is encoded as plain text, so a question cannot forge them.
"""

PADDING, QUESTION, WORK, END = "<|pad|>", "<|question|>", "<|work|>", "<|end|>"
SPECIAL_TOKENS = (PADDING, QUESTION, WORK, END)

ANSWER_MARKER = "\nAnswer:"
VERDICT_MARKER = "\nVerdict:"
FITS, FAILS = "yes", "no"

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}{{ message['content'] + '<|end|>' }}"
    "{% else %}{{ '<|question|>' + message['content'] + '<|work|>' }}{% endif %}{% endfor %}"
)


def worked_answer(trace: str, answer: str) -> str:
    """What the hive writes after a question: the working, then the marked answer."""
    return f"{trace}{ANSWER_MARKER} {answer}"


def judging_question(question: str, first: str, second: str) -> str:
    """The question a judge is asked. The original comes first, so that its working is the same as when answering."""
    return f"{question}\nA: {first}\nB: {second}\nIs A or B right?"


def worked_verdict(trace: str, answer: str, first: str, second: str) -> str:
    """What a judge writes: its own answer, each proposal beside a fits/does-not mark, and the verdict."""
    marks = [FITS if proposal == answer else FAILS for proposal in (first, second)]
    verdict = "A" if marks[0] == FITS else "B"
    checks = f"\nA {first} {marks[0]}\nB {second} {marks[1]}"
    return f"{worked_answer(trace, answer)}{checks}{VERDICT_MARKER} {verdict}"
