"""The conformance suite passes a good transport, and finds those that are broken in one way."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.unit.testing import broken_links
from tests.unit.testing import broken_transports as broken
from tests.unit.testing.broken_transports import Sound
from tests.virtual import in_virtual_time
from waggle.core.ids import NodeId
from waggle.mesh.memory import Conditions, MemoryNetwork
from waggle.testing.check_transport import CHECKS, SHARING_CHECKS, Check, MakeTrio, check_transport, run_check
from waggle.testing.clock import run_virtual
from waggle.testing.transport_checks import calls, limits, links, streams
from waggle.testing.transport_checks.subject import Trio


def nodes_of(kind: type[Sound]) -> MakeTrio:
    @asynccontextmanager
    async def make() -> AsyncIterator[Trio]:
        network = MemoryNetwork(7, Conditions(delay=0.01))
        inner = [network.join(NodeId(name)) for name in ("ann", "bob", "cat")]
        a, b, c = (kind(transport) for transport in inner)
        yield a, b, c
        for transport in inner:
            await transport.close()

    return make


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_a_sound_transport_passes(check: Check) -> None:
    run_virtual(run_check(check, nodes_of(Sound)))


@in_virtual_time
async def test_all_sharing_checks_can_share_three_nodes() -> None:
    async with nodes_of(Sound)() as trio:

        @asynccontextmanager
        async def same() -> AsyncIterator[Trio]:
            yield trio

        for check in (*SHARING_CHECKS, *SHARING_CHECKS):
            await run_check(check, same)


def test_the_whole_suite_runs_every_check() -> None:
    run_virtual(check_transport(nodes_of(Sound)))


def test_every_check_in_the_files_belongs_to_the_suite() -> None:
    files = (calls, limits, links, streams)
    named = {name for file in files for name in vars(file) if name.startswith("check_")}
    assert named == {check.__name__ for check in CHECKS}


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (calls.check_a_call_is_answered, broken.GarblesReplies),
        (calls.check_calls_at_once_get_their_own_replies, broken.MixesUpReplies),
        (calls.check_the_handler_is_told_the_true_caller, broken.BelievesWhatCallersSay),
        (calls.check_calls_go_both_ways_on_a_link, broken.CallsOnlyWhomItDialled),
        (calls.check_an_unknown_protocol_is_refused, broken.TakesRefusalsForEmptyReplies),
        (calls.check_a_failing_handler_refuses_and_tells_nothing, broken.TellsWhatWentWrong),
        (calls.check_a_failing_handler_refuses_and_tells_nothing, broken.RaisesErrorsOfItsOwn),
        (calls.check_a_busy_handler_is_busy_for_its_caller, broken.TellsWhatWentWrong),
        (calls.check_a_busy_handler_is_busy_for_its_caller, broken.RaisesErrorsOfItsOwn),
        (calls.check_the_largest_call_passes_and_a_larger_one_does_not, broken.CutsLargeRequestsShort),
        (calls.check_a_silent_handler_times_out_and_is_cancelled, broken.IsPatient),
        (calls.check_a_silent_handler_times_out_and_is_cancelled, broken.LetsLostCallsRunOn),
        (calls.check_cancelling_a_call_cancels_its_handler, broken.LetsLostCallsRunOn),
        (calls.check_a_second_handler_is_a_local_error, broken.TakesSecondHandlers),
        (limits.check_one_call_too_many_is_told_busy, broken.AsksUntilThereIsRoom),
        (limits.check_one_call_too_many_is_told_busy, broken.CountsAllPeersTogether),
        (limits.check_who_is_answered_may_call_again, broken.KeepsPlacesForAWhile),
        (limits.check_one_stream_too_many_is_told_busy, broken.AsksUntilThereIsRoom),
        (limits.check_too_many_bytes_are_told_busy, broken.AsksUntilThereIsRoom),
        (limits.check_too_many_frames_are_slowed_down, broken.ReadsAtAnyRate),
        (limits.check_a_slow_reader_holds_its_sender_back, broken.NeverHoldsBack),
        (streams.check_frames_arrive_whole_and_in_order, broken_links.DropsEmptyFrames),
        (streams.check_frames_arrive_whole_and_in_order, broken_links.SwapsFrames),
        (streams.check_both_directions_run_at_once, broken_links.TalksOneAtATime),
        (streams.check_the_smallest_and_the_largest_frame_pass, broken_links.DropsEmptyFrames),
        (streams.check_the_smallest_and_the_largest_frame_pass, broken_links.TakesOversizeFrames),
        (streams.check_an_unknown_protocol_opens_no_stream, broken_links.TakesRefusalsForSilence),
        (streams.check_the_opener_ends_a_stream, broken_links.ForgetsToClose),
        (streams.check_the_opener_ends_a_stream, broken_links.SendsIntoTheVoid),
        (streams.check_the_server_ends_a_stream, broken_links.ForgetsToClose),
        (streams.check_a_stream_ends_with_its_handler, broken_links.KeepsStreamsOfFailedHandlers),
        (streams.check_closing_wakes_our_own_reader, broken_links.ForgetsToClose),
        (streams.check_a_broken_link_is_no_clean_end, broken_links.TakesABreakForTheEnd),
        (streams.check_a_broken_link_is_no_clean_end, broken_links.NeverDrops),
        (streams.check_cancelled_receives_lose_no_frame, broken_links.LosesFramesWhenCancelled),
        (links.check_connecting_gives_the_peer_and_a_link_at_both_ends, broken_links.ListsNoLinks),
        (links.check_nonsense_is_a_usage_error, broken_links.ConnectsToAnything),
        (links.check_a_stranger_is_unreachable, broken_links.WaitsForStrangers),
        (links.check_a_dropped_link_is_dialled_again, broken_links.NeverDialsAgain),
        (links.check_a_dropped_link_is_dialled_again, broken_links.NeverDrops),
        (links.check_a_dropped_link_ends_the_calls_on_it, broken_links.NeverDrops),
        (links.check_a_peer_that_goes_is_unreachable, broken_links.WaitsForStrangers),
        (links.check_closing_stops_the_handlers, broken.LetsLostCallsRunOn),
        (links.check_closing_stops_the_handlers, broken_links.LeavesATaskBehind),
        (links.check_a_closed_transport_stays_closed, broken_links.ClosesOnceOnly),
        (links.check_a_closed_transport_stays_closed, broken_links.ComesBackToLife),
        (links.check_our_own_work_ends_when_we_close, broken_links.TakesABreakForTheEnd),
    ],
    ids=lambda value: value.__name__,
)
def test_a_broken_transport_is_found(check: Check, kind: type[Sound]) -> None:
    with pytest.raises(AssertionError):
        run_virtual(run_check(check, nodes_of(kind)))
