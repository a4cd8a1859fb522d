"""Which answers are equal, which are not, and what hostile ones cost."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from waggle.consensus.grouping import Group, canonical_answer, group_answers

relaxed = settings(deadline=None, max_examples=100)
SAME = [
    ["1/2", "0.5", ".50", "+.5", " 0.500 ", "5e-1", "2 / 4", "½", "**0.5**", "0.5."],
    ["1,234", "1234", "1234.0", "$1,234", "1.234e3", "+1234", "`1234`"],
    ["-5", "−5", "-5.0", "-10/2"],
    ["Paris", "paris.", " PARIS ", '"Paris!"', "*Paris*"],
    ["(b)", "B", "b.", "B)"],
    ["well-known", "Well known", "well  known"],
    ["x = 5", "x=5", "X =5"],
    ["x - 1", "x-1", "x - 1."],
    ["3, 4", "3,4", "3 4", "3; 4"],
    ["50%", "50 %"],
]


@pytest.mark.parametrize("answers", SAME)
def test_equal_answers_have_one_canonical_form(answers: list[str]) -> None:
    assert len({canonical_answer(answer) for answer in answers}) == 1


def test_different_answers_stay_different() -> None:
    forms = [canonical_answer(group[0]) for group in SAME]
    others = ["x+1", "[0,1)", "[0,1]", "5", "5!", "1,23", "50", "1.5.2", "x<1", "x>1", "?", "!", "1/0", "1e2000"]
    forms += [canonical_answer(text) for text in others]
    assert len(set(forms)) == len(forms)


def test_the_worked_forms() -> None:
    assert canonical_answer(".50") == "number:1/2"
    assert canonical_answer(" The Cat.") == "text:the cat"
    assert canonical_answer("x" * 201) == "free:" + "x" * 201
    assert canonical_answer(" \n") is None


def test_only_what_follows_the_last_marker_counts() -> None:
    assert canonical_answer("ANSWER: 3, no, ANSWER: 4", marker="ANSWER:") == "number:4"
    assert canonical_answer("4", marker="ANSWER:") == "number:4"
    assert canonical_answer("so ANSWER: ", marker="ANSWER:") is None


@pytest.mark.parametrize(
    "hostile", ["1e999999999", "9" * 60_000, "1/" + "9" * 60_000, "1e9999", "," * 60_000, "(" * 60_000, "1," * 30_000]
)
@pytest.mark.timeout(2)
def test_hostile_answers_cost_nothing_and_equal_only_themselves(hostile: str) -> None:
    form = canonical_answer(hostile)
    assert form is not None
    assert not form.startswith("number:")
    assert len(group_answers([hostile, "1", hostile])) == 2


def test_long_free_text_equals_only_its_copy() -> None:
    essay = "Because the sky is blue. " * 20
    assert len(group_answers([essay, essay.upper(), essay, essay.replace(" ", "\n")])) == 2


def test_empty_answers_form_no_candidate() -> None:
    assert group_answers([None, "", "  ", "\n"]) == []
    assert group_answers([]) == []


def test_groups_come_in_first_seen_order() -> None:
    assert group_answers(["0.5", "cat", None, "1/2"]) == [
        Group(answer="0.5", members=(0, 3)),
        Group(answer="cat", members=(1,)),
    ]


@relaxed
@given(st.lists(st.one_of(st.none(), st.sampled_from([text for group in SAME for text in group]), st.text(max_size=5))))
def test_shuffled_answers_give_the_same_groups(answers: list[str | None]) -> None:
    order = list(range(len(answers)))[::-1]
    straight = {frozenset(group.members) for group in group_answers(answers)}
    mixed = {frozenset(order[i] for i in group.members) for group in group_answers([answers[i] for i in order])}
    assert straight == mixed
    grouped = sorted(member for members in straight for member in members)
    assert grouped == [i for i, answer in enumerate(answers) if answer is not None and answer.strip()]


@relaxed
@given(st.text(max_size=400))
def test_any_text_has_a_form_and_it_does_not_depend_on_outer_space(text: str) -> None:
    form = canonical_answer(text)
    assert (form is None) == (not text.strip())
    assert canonical_answer(f" {text}\n") == form


@relaxed
@given(st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=10**6), st.integers(1, 50))
def test_numbers_are_equal_by_value(value: Fraction, factor: int) -> None:
    plain = canonical_answer(f"{value.numerator}/{value.denominator}")
    assert canonical_answer(f"{value.numerator * factor} / {value.denominator * factor}") == plain
    assert plain == f"number:{value}"
