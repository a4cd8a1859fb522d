"""Liveness: who is alive, suspect and dead, and when."""

from random import Random

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Liveness, Load
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.liveness.watch import Watch

A, B, C = NodeId("a"), NodeId("b"), NodeId("c")


def watching(*nodes: NodeId) -> Watch:
    watch = Watch(Pace(), Random(0))
    for node in nodes:
        watch.add(node, 1, 0.0)
        watch.answered(node, 0.0, 0.01, Load())
    return watch


def test_nobody_is_usable_at_first() -> None:
    watch = Watch(Pace(), Random(0))
    assert list(watch.usable) == watch.some(3) == watch.anybody() == watch.condemned(99.0) == []
    assert watch.next_in_round() is None
    watch.add(A, 1, 0.0)
    assert list(watch.usable) == []
    assert watch.reason(A, 0.0) == "it has not answered yet"


def test_only_an_answer_to_our_ping_makes_usable() -> None:
    watch = Watch(Pace(), Random(0))
    watch.add(A, 1, 0.0)
    assert watch.answered(A, 1.0, 0.02, Load(running=3))
    assert not watch.answered(A, 2.0, 0.02, None)
    assert list(watch.usable) == [A]
    pulse = watch.pulse(A)
    assert pulse is not None
    assert pulse.load == Load(running=3)


def test_a_suspect_is_not_chosen_and_says_why() -> None:
    watch = watching(A, B)
    watch.failed(A)
    assert watch.suspect(A, 5.0)
    assert list(watch.usable) == [B]
    assert watch.liveness(A) is Liveness.SUSPECT
    assert watch.reason(A, 6.0) == "no answer for 6 s"
    assert all(A not in watch.some(2) for _ in range(20))


def test_suspicion_becomes_death_only_after_time_and_several_failures() -> None:
    watch = watching(A)
    watch.failed(A)
    watch.suspect(A, 0.0)
    assert watch.condemned(100.0) == []
    watch.failed(A)
    watch.failed(A)
    assert watch.condemned(2.9) == []
    assert watch.condemned(3.0) == [A]


def test_an_answer_ends_all_suspicion() -> None:
    watch = watching(A)
    for _ in range(5):
        watch.failed(A)
    watch.suspect(A, 0.0)
    assert watch.answered(A, 2.9, 0.01, None)
    assert watch.condemned(100.0) == []
    watch.failed(A)
    watch.suspect(A, 100.0)
    assert watch.condemned(110.0) == []


def test_the_word_of_others_puts_death_off_once_and_makes_nobody_usable() -> None:
    watch = watching(A)
    for _ in range(5):
        watch.failed(A)
    watch.suspect(A, 0.0)
    watch.vouch(A)
    watch.suspect(A, 3.0)
    watch.vouch(A)
    assert list(watch.usable) == []
    assert watch.condemned(8.9) == []
    assert watch.condemned(9.0) == [A]
    assert watch.reason(A, 6.0) == "no answer for 6 s; it answers others"


def test_hearsay_alone_changes_nothing_but_that_we_ask() -> None:
    watch = watching(A)
    for now in range(2, 100):
        watch.doubt(A, float(now))
    assert list(watch.usable) == [A]
    assert watch.condemned(1_000.0) == []


def test_hearsay_makes_us_ask_seldom() -> None:
    watch = watching(A)
    assert not watch.is_doubtful(A, 1, 0.5)  # it has just answered us
    assert not watch.is_doubtful(A, 2, 5.0)  # about another start of it
    assert not watch.is_doubtful(B, 1, 5.0)  # we do not know it
    asked = 0
    for step in range(100):
        if watch.is_doubtful(A, 1, 5.0 + 0.1 * step):
            watch.doubt(A, 5.0 + 0.1 * step)
            asked += 1
    assert asked == 4


def test_a_new_start_begins_anew_and_an_old_one_changes_nothing() -> None:
    watch = watching(A)
    assert not watch.add(A, 1, 5.0)
    assert not watch.add(A, 0, 5.0)
    assert list(watch.usable) == [A]
    assert watch.add(A, 2, 5.0)
    assert list(watch.usable) == []


def test_a_node_that_never_answered_is_given_up_late_unless_it_was_dead_before() -> None:
    watch = Watch(Pace(), Random(0))
    watch.add(A, 1, 0.0)
    watch.add(B, 1, 0.0, was_lost=True)
    for node in (A, B):
        for _ in range(6):
            watch.failed(node)
        watch.suspect(node, 0.0)
    assert watch.condemned(3.0) == [B]
    assert set(watch.condemned(10.0)) == {A, B}


def test_everybody_has_a_turn_before_anybody_has_another() -> None:
    nodes = [NodeId(str(number)) for number in range(20)]
    watch = watching(*nodes)
    for _ in range(3):
        assert sorted(str(watch.next_in_round()) for _ in nodes) == sorted(nodes)


def test_a_newcomer_has_its_turn_in_the_round_under_way() -> None:
    for seed in range(50):
        watch = Watch(Pace(), Random(seed))
        for number in range(20):
            watch.add(NodeId(str(number)), 1, 0.0)
        first = watch.next_in_round()
        watch.add(A, 1, 0.0)
        rest = [watch.next_in_round() for _ in range(20)]
        assert A in rest
        assert len({first, *rest}) == 21


def test_who_begins_anew_again_and_again_makes_the_round_no_longer() -> None:
    watch = watching(A, B, C)
    assert watch.next_in_round() is not None
    for incarnation in range(2, 1_000):
        watch.add(A, incarnation, 0.0)
    turns = [watch.next_in_round() for _ in range(30)]
    assert turns.count(A) <= 11


def test_hints_name_the_newest_suspects_that_we_know_ourselves() -> None:
    nodes = [NodeId(str(number)) for number in range(8)]
    watch = watching(*nodes)
    watch.add(A, 1, 0.0)
    for node in [*nodes[:6], A]:
        watch.suspect(node, 1.0)
    watch.vouch(nodes[5])
    assert [hint.node for hint in watch.hints()] == ["4", "3", "2", "1"]
