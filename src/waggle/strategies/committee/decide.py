"""DECIDE: from ballots and support to strengths, a confidence, and an outcome.

The features that the confidence is calculated from are part of the outcome, so that a deployment can fit its own
`ConfidenceModel` to rounds whose right answer it knows.
"""

import msgspec
import numpy as np

from waggle.consensus.bradley_terry import Strengths, fit_strengths, wins_matrix
from waggle.consensus.calibration import PlattCalibration
from waggle.consensus.confidence import ConfidenceFeatures, confidence_features, find_top_two
from waggle.consensus.stopping import can_winner_change
from waggle.consensus.votes import plurality
from waggle.core.errors import LocalProtocolError, WaggleError
from waggle.core.round_effects import AskBallot
from waggle.core.round_values import CandidateResult, ConfidenceModel, Outcome
from waggle.strategies.committee.propose import standing_of
from waggle.strategies.committee.rank import words_for
from waggle.strategies.committee.state import State


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


def decided(state: State) -> Strengths | None:
    """The strengths as they stand, where no ballot still open is likely to change the winner; else None."""
    weights = {standing.node: standing.judge_weight for standing in state.plan.judges}
    waiting = [weights[ask.judge] for ask in (*state.open, *state.pending) if isinstance(ask, AskBallot)]
    try:
        strengths = strengths_of(state)
        return None if can_winner_change(strengths, sum(waiting), level=state.plan.stop_level) else strengths
    except WaggleError:
        return None  # so far nothing can be fitted; more ballots may help, and `conclude` reports it if they do not


def conclude(state: State, reason: str, strengths: Strengths | None = None) -> Outcome:
    """The outcome as things stand; an abstention where the confidence is below what was asked for.

    `strengths` are those of this very state, where they are known already.
    """
    if not state.candidates:
        return _nobody(state, "nobody proposed an answer")
    try:
        strengths = strengths or strengths_of(state)
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
        features=msgspec.to_builtins(features),
    )


def _nobody(state: State, reason: str) -> Outcome:
    return Outcome(
        answer=None,
        confidence=0.0,
        abstained=True,
        ballots=state.count,
        failures=state.failures,
        spent=state.spent,
        reason=reason,
    )


def _result(state: State, index: int, strength: float) -> CandidateResult:
    candidate = state.candidates[index]
    return CandidateResult(
        number=index,
        answer=words_for(state, candidate),
        supporters=tuple(state.proposals[member].node for member in candidate.members),
        strength=strength,
        support=candidate.support,
    )


def features_of(state: State, strengths: Strengths) -> ConfidenceFeatures:
    """What speaks for the winner."""
    choices = [index for index, candidate in enumerate(state.candidates) for _ in candidate.members]
    supporters = [state.proposals[member] for member in state.candidates[strengths.order()[0]].members]
    return confidence_features(
        strengths,
        vote=plurality(choices, len(state.candidates)),
        support=[candidate.support for candidate in state.candidates],
        self_confidence=[proposal.self_confidence for proposal in supporters],
        expected_skill=max(standing_of(state.plan, proposal.node).skill for proposal in supporters),
        familiarity=state.plan.familiarity,
    )


def confidence_of(features: ConfidenceFeatures, model: ConfidenceModel | None) -> float:
    """P(the winner is right); without a calibrated model a plain guess at it.

    The guess is the raw win probability, discounted by a split vote, and never above what the winner's supporters
    themselves believe (0.5 where they cannot tell): a lone engine is not sure of anything by being alone.
    """
    if model is None:
        return min(features.self_confidence, features.raw_score * (0.5 + 0.5 * features.vote_share))
    try:
        return PlattCalibration(model.intercept, model.coefficients).probability(features)
    except ValueError as error:
        raise LocalProtocolError(f"the plan's confidence model cannot be used: {error}") from error
