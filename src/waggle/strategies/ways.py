"""The ways of answering a question, one row each: the only list of them there is.

A row says what a way is called and what it does, how it makes a plan, which machine plays the plan, and what of a
question's options it honours. Command line, gateway, pages, calibration, benches and metrics read it. A package of
somebody else's adds a row by an entry point of the group `waggle.strategies`: its name there, its value a `Way`; a
program adds one for its own process by `add_way`.

Vote, best and solo are rounds of the committee's machine with other proposers and no judges: so they share deadlines,
budgets, records and confidence.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from waggle.core.asking import AUTO, COMMITTEE, AskOptions, check_turns, prompt_ceiling
from waggle.core.errors import UsageError
from waggle.core.round_values import ConfidenceModel, Plan, Standing

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from waggle.strategies.machine import Machine, Moment

GROUP = "waggle.strategies"
Shape = Callable[[Plan, AskOptions, Sequence[Standing]], Plan]
"""Makes a way's plan of a base (who may take part, the most wanted first, and what is known of them), the options, and
those nodes whose answer needs no check by others."""


def _committee() -> "Machine[Any]":
    from waggle.strategies.committee.round import CommitteeMachine  # imports the mathematics

    return CommitteeMachine()


def _unchanged(plan: Plan, options: AskOptions, trusted: Sequence[Standing]) -> Plan:
    return plan


@dataclass(frozen=True)
class Way:
    """One way of answering.

    `says` completes a sentence that begins with its name. `honours` are the options `proposers` and `judges`, where
    they mean something to it. `confidence` names the calibrated fit of its features, which several ways may share;
    empty for none. `takes` is what stands behind its name and a colon: MODEL for solo:MODEL. `becomes` are the ways
    that its plans are of, where it only chooses between others. `machine` makes the machine, with all that it imports.
    """

    name: str
    says: str
    shape: Shape = _unchanged
    machine: "Callable[[], Machine[Any]]" = _committee
    honours: frozenset[str] = field(default_factory=frozenset)
    confidence: str = ""
    takes: str = ""
    becomes: tuple[str, ...] = ()

    @property
    def written(self) -> str:
        """How it is asked for: "vote", "solo:MODEL"."""
        return f"{self.name}:{self.takes}" if self.takes else self.name


# --- shapes -----------------------------------------------------------------------------------------------------------


def _judged(plan: Plan, options: AskOptions, _: Sequence[Standing]) -> Plan:
    if not options.use_weights:
        plan = replace(_unweighted(plan), judges=_equal(plan.judges))
    return replace(
        plan,
        judges=plan.judges if options.use_judges else (),
        judge_method=options.judge_method,
        both_orders=options.both_orders,
        pairs_per_judge=options.pairs_per_judge,
        use_support=options.use_support,
    )


def _counted(plan: Plan, options: AskOptions, _: Sequence[Standing]) -> Plan:
    return replace(_unweighted(plan), judges=(), count_self_confidence=False)


def _first(plan: Plan, options: AskOptions, _: Sequence[Standing]) -> Plan:
    return _alone(plan, plan.proposers + plan.standby)


def _named(plan: Plan, options: AskOptions, _: Sequence[Standing]) -> Plan:
    """Those that go by this name, or answer with a model of this name."""
    name, everyone = argument_of(options.strategy), plan.proposers + plan.standby
    chosen = tuple(standing for standing in everyone if name in (standing.node, standing.model))
    if not name or not chosen:
        names = ", ".join(sorted({standing.model or standing.node for standing in everyone}))
        raise UsageError(f"no model {name!r} in this swarm; there are {names}")
    return _alone(plan, chosen)


def _gated(plan: Plan, options: AskOptions, trusted: Sequence[Standing]) -> Plan:
    """One node where it is surely good enough; who asks for a number of proposers or judges asks for the committee."""
    from waggle.routing.committee import one_is_enough  # imports numpy

    free = options.proposers is None and options.judges is None
    alone = one_is_enough(trusted) if free else None
    if alone is None:
        return replace(_judged(plan, options, trusted), strategy=COMMITTEE)
    others = tuple(standing for standing in trusted if standing.node != alone.node)
    return replace(_alone(plan, (alone, *others)), strategy="best")


def _alone(plan: Plan, ranked: tuple[Standing, ...]) -> Plan:
    return replace(plan, proposers=ranked[:1], standby=ranked[1:], judges=())


def _unweighted(plan: Plan) -> Plan:
    return replace(plan, proposers=_equal(plan.proposers), standby=_equal(plan.standby))


def _equal(standings: tuple[Standing, ...]) -> tuple[Standing, ...]:
    return tuple(
        Standing(node=s.node, skill=s.skill, model=s.model, expected_seconds=s.expected_seconds) for s in standings
    )


# --- the table --------------------------------------------------------------------------------------------------------

SOLO = "solo"
_ROWS = (
    Way(
        AUTO,
        "one node where it is surely good enough, else the committee",
        _gated,
        honours=frozenset({"proposers", "judges"}),
        becomes=(COMMITTEE, "best"),
    ),
    Way(
        COMMITTEE,
        "propose, judge, decide",
        _judged,
        honours=frozenset({"proposers", "judges"}),
        confidence=COMMITTEE,
    ),
    Way(
        "vote",
        "the most frequent answer, without judges",
        _counted,
        honours=frozenset({"proposers"}),
        confidence="vote",
    ),
    Way("best", "the node that is best at this kind of question", _first, confidence=SOLO),
    Way(SOLO, "this model alone", _named, confidence=SOLO, takes="MODEL"),
)
_known = {way.name: way for way in _ROWS}
BUILT_IN = tuple(_known)
"""The names of those that come with waggle."""


def add_way(way: Way) -> None:
    """Have one more way in this process; whoever replays its rounds elsewhere needs it there as well.

    Raises:
        UsageError: the name is taken, or cannot be one.
    """
    if not way.name or ":" in way.name:
        raise UsageError(f"a way cannot be called {way.name!r}: a colon parts its name from what it takes")
    if way.name in names():
        raise UsageError(f"there is a way {way.name!r} already: give yours another name")
    _known[way.name] = way


def remove_way(name: str) -> None:
    """Take away a way that was added. Raises UsageError for another one."""
    if name in BUILT_IN or name not in _known:
        raise UsageError(f"no way {name!r} was added in this process")
    del _known[name]


def names() -> tuple[str, ...]:
    """The names of all ways, those of other packages last; none of their code is imported for it."""
    return (*_known, *(name for name in _installed() if name not in _known))


def ways() -> Iterator[Way]:
    """All ways but those of other packages that cannot be loaded: that is told to who asks by one (`find_way`)."""
    return (row for row in map(_row, names()) if isinstance(row, Way))


def spoken(which: Sequence[str] | None = None) -> str:
    """How all ways are asked for, or those named, in words: "auto, committee, vote, best and solo:MODEL"."""
    written = [_known[name].written if name in _known else name for name in which or names()]
    return f"{', '.join(written[:-1])} and {written[-1]}"


def find_way(strategy: str) -> Way:
    """The row of a strategy: of "solo:acacia" that of solo. Raises UsageError where there is none."""
    name, colon, _ = strategy.partition(":")
    row = _row(name) if name in names() else None
    if isinstance(row, UsageError):
        raise UsageError(str(row))  # anew: one that is raised again and again would gather its tracebacks
    if row is not None and bool(colon) == bool(row.takes):
        return row
    raise UsageError(f"unknown strategy {strategy!r}; there are {spoken()}")


def argument_of(strategy: str) -> str:
    """What stands behind the name: "acacia" in "solo:acacia", nothing in "vote"."""
    return strategy.partition(":")[2]


def plan_round(
    base: Plan, options: AskOptions, trusted: Sequence[Standing] = (), fits: Mapping[str, ConfidenceModel] | None = None
) -> Plan:
    """Fix everything that decides how a round goes.

    Args:
        base: the question, who may take part (the most wanted first), and what is known of them.
        options: how it is to be answered.
        trusted: the nodes whose answer needs no check, with their standing on the question.
        fits: how sure a winner may be, by the name of the fit.

    Raises:
        UsageError: an unknown strategy or model, or a conversation that is too long.
    """
    check_turns(options.turns)
    base = replace(
        base,
        budget=options.budget,
        max_tokens=_longest(base.question, options),
        sampling=options.sampling,
        min_confidence=options.min_confidence,
        seed=options.seed,
        strategy=options.strategy,
        turns=options.turns,
    )
    plan = find_way(options.strategy).shape(base, options, trusted)
    fit = find_way(plan.strategy).confidence
    return _fewer(replace(plan, confidence=(fits or {}).get(fit)), options)


def _fewer(plan: Plan, options: AskOptions) -> Plan:
    """At most as many proposers and judges as asked for, the first of each; the other proposers may step in."""
    asked = max(1, options.proposers) if options.proposers is not None else len(plan.proposers)
    judges = plan.judges if options.judges is None else plan.judges[: max(0, options.judges)]
    standby = plan.proposers[asked:] + plan.standby
    return replace(plan, proposers=plan.proposers[:asked], standby=standby, judges=judges)


def _longest(question: str, options: AskOptions) -> int:
    """The longest answer asked for: no longer than a small budget pays for, so that at least one node is asked."""
    if options.budget.tokens is None:
        return options.max_tokens
    room = options.budget.tokens - prompt_ceiling(question, options.turns)
    return min(options.max_tokens, room) if room >= 1 else options.max_tokens


def is_plan_of(plan: Plan, asked: str) -> bool:
    """Whether a plan is one for the strategy that was asked for; one that is not known here is none."""
    try:
        return plan.strategy in (find_way(asked).becomes or (asked,))
    except UsageError:
        return False


def begin(plan: Plan) -> "Moment":
    """The moment before a plan's round begins. Raises UsageError where its way is not installed here."""
    from waggle.strategies.machine import Moment

    machine = find_way(plan.strategy).machine()
    return Moment(plan=plan, machine=machine, state=machine.begin(plan))


@cache
def _installed() -> "Mapping[str, EntryPoint]":
    from importlib.metadata import entry_points  # takes as long to import as all of this

    return {found.name: found for found in entry_points(group=GROUP)}


def _row(name: str) -> Way | UsageError:
    return _known[name] if name in _known else _load(name)


@cache
def _load(name: str) -> Way | UsageError:
    """The row, or why there is none: in words that strangers may hear, and once, since loading takes time."""
    found = _installed()[name]
    try:
        way = found.load()
    except Exception as error:  # noqa: BLE001  # whatever a stranger's module does while it is imported
        return UsageError(f"the way {name!r} of {found.value} cannot be loaded ({type(error).__name__})")
    if not isinstance(way, Way) or way.name != name:
        return UsageError(f"{found.value} is no waggle.strategies.ways.Way of the name {name!r}")
    return way
