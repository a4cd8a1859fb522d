"""DECIDE: from ballots and support to strengths, a confidence, and an outcome.

The features that the confidence is calculated from are part of the outcome, so that a deployment can fit its own
`ConfidenceModel` to rounds whose right answer it knows.
"""

import math

import numpy as np

from waggle.consensus.bradley_terry import Strengths, fit_strengths, wins_matrix
from waggle.consensus.confidence import probability_stronger
from waggle.consensus.stopping import can_winner_change
from waggle.consensus.top_two import find_top_two
from waggle.core.errors import WaggleError
from waggle.core.round_values import AskBallot, CandidateResult, ConfidenceModel, Outcome
from waggle.swarm.propose import standing_of
from waggle.swarm.rank import judges_of, words_for
from waggle.swarm.state import State

ALONE_MARGIN = 6.0  # strength margin credited where there is only one candidate: nothing speaks against it
MAX_MARGIN = 10.0


def strengths_of(state: State) -> Strengths:
    """Fit the ballots so far, weighted by judge, together with the candidates' support."""
    plan = state.plan
    weights = {standing.node: standing.judge_weight for standing in plan.judges}
    cast = [ballot for ballot in state.ballots if ballot.p is not None]
    wins = wins_matrix(
        [ballot.first for ballot in cast],
        [ballot.second for ballot in cast],
        [ballot.p or 0.0 for ballot in cast],
        [weights[ballot.judge] for ballot in cast],
        len(state.candidates),
    )
    support = np.array([candidate.support for candidate in state.candidates]) if plan.use_support else None
    return fit_strengths(wins, support=support, prior_ballots=plan.prior_ballots)


def undecided(state: State) -> bool:
    """Whether ballots that are still open could likely change the winner."""
    if len(state.candidates) < 2:
        return False
    weights = {standing.node: standing.judge_weight for standing in state.plan.judges}
    waiting = [weights[ask.judge] for ask in (*state.open, *state.pending) if isinstance(ask, AskBallot)]
    return can_winner_change(strengths_of(state), sum(waiting), level=state.plan.stop_level)


def conclude(state: State, reason: str) -> Outcome:
    """The outcome as things stand; an abstention where the confidence is below what was asked for."""
    if not state.candidates:
        return _nobody(state, "nobody proposed an answer")
    try:
        strengths = strengths_of(state)
    except WaggleError as error:
        return _nobody(state, f"the ballots could not be fitted: {error}")
    order = strengths.order()
    pair = find_top_two(strengths) if len(order) > 1 else None
    features = features_of(state, strengths)
    confidence = confidence_of(features, state.plan.confidence)
    return Outcome(
        answer=words_for(state, state.candidates[order[0]]),
        confidence=confidence,
        abstained=confidence < state.plan.min_confidence,
        candidates=tuple(_result(state, index, float(strengths.s[index])) for index in order),
        runner_up=words_for(state, state.candidates[order[1]]) if len(order) > 1 else None,
        confusion_p=pair.confusion_p if pair else None,
        ballots=state.count,
        connected=strengths.connected,
        failures=state.failures,
        spent=state.spent,
        reason=reason,
        features=features,
    )


def _nobody(state: State, reason: str) -> Outcome:
    return Outcome(
        answer=None,
        confidence=0.0,
        abstained=True,
        candidates=(),
        runner_up=None,
        confusion_p=None,
        ballots=state.count,
        connected=False,
        failures=state.failures,
        spent=state.spent,
        reason=reason,
    )


def _result(state: State, index: int, strength: float) -> CandidateResult:
    candidate = state.candidates[index]
    return CandidateResult(
        answer=words_for(state, candidate),
        supporters=tuple(state.proposals[member].node for member in candidate.members),
        strength=strength,
        support=candidate.support,
    )


def features_of(state: State, strengths: Strengths) -> dict[str, float]:
    """What the confidence may depend on; every value is finite and in [0, 1] except the margin."""
    order = strengths.order()
    winner = state.candidates[order[0]]
    supporters = [state.proposals[member] for member in winner.members]
    standings = [standing_of(state.plan, proposal.node) for proposal in supporters]
    everyone = sum(candidate.support for candidate in state.candidates)
    alone = len(order) == 1
    known = [p.self_confidence for p in supporters if p.self_confidence is not None]
    return {
        "win_p": 1.0 if alone else probability_stronger(strengths, order[0], order[1]),
        "margin": ALONE_MARGIN if alone else min(MAX_MARGIN, float(strengths.s[order[0]] - strengths.s[order[1]])),
        "support_share": winner.support / everyone if everyone > 0 else 1 / len(order),
        "vote_share": len(winner.members) / len(state.proposals),
        "self_confidence": float(np.mean(known)) if known else 0.5,
        "skill": max(standing.skill for standing in standings),
        "best_skill": max(standing.skill for standing in state.plan.proposers),
        "judge_weight": min(1.0, sum(standing.judge_weight for standing in judges_of(state)) / 10.0),
        "familiarity": state.plan.familiarity,
    }


def confidence_of(features: dict[str, float], model: ConfidenceModel | None) -> float:
    """P(the winner is right). Without a calibrated model: the win probability, discounted by a split vote."""
    if model is None:
        return features["win_p"] * (0.5 + 0.5 * features["vote_share"])
    pairs = zip(model.features, model.coefficients, strict=True)
    score = model.intercept + sum(coefficient * features[name] for name, coefficient in pairs)
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, score))))
