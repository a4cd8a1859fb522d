"""Asking servers on loopback: good, slow, broken and hostile ones."""

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from tests.unit.cli.ran import COMMAND, Ran, Waggle, environment
from tests.unit.cli.rounds import HOSTILE, assert_inert
from tests.unit.cli.test_answer import KEYS
from waggle.testing.openai_server import Fault, OpenAIServer, serve_openai

pytestmark = pytest.mark.network

QUESTION = "What is 6 * 7?"


@asynccontextmanager
async def serving(said: str | Fault) -> AsyncIterator[OpenAIServer]:
    """A server that answers so and thinks that proposal A is better; with a fault it does nothing else."""

    def reply(prompt: str) -> str:
        return "Verdict: A" if prompt.startswith("Two proposals") else said

    async with serve_openai(reply) as server:
        server.faults.extend([said] * 1_000 if isinstance(said, Fault) else [])
        yield server


async def ask(waggle: Waggle, said: Sequence[str | Fault], *options: str) -> Ran:
    """Ask a server for each of these, as models m0, m1, ..."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(serving(each)) for each in said]
        engines = [word for i, server in enumerate(servers) for word in ("--engine", f"{server.base_url}#m{i}")]
        return await asyncio.to_thread(waggle, "ask", QUESTION, *engines, *options)


async def test_three_servers_give_one_answer(waggle: Waggle) -> None:
    ran = await ask(waggle, ["42", "42", "41"])
    assert (ran.status, ran.err) == (0, "")
    assert ran.out.startswith("42\nconfidence ")


async def test_json_of_three_servers_has_stable_keys(waggle: Waggle) -> None:
    ran = await ask(waggle, ["42", "42", "41"], "--json", "--seed", "7")
    shown = json.loads(ran.out)
    assert list(shown) == KEYS
    assert (shown["answer"], shown["runner_up"], shown["nodes"], shown["seed"]) == ("42", "41", ["m0", "m1", "m2"], 7)


@pytest.mark.parametrize(("strategy", "answer"), [("vote", "42"), ("best", "42"), ("solo:m2", "41")])
async def test_every_strategy_answers(waggle: Waggle, strategy: str, answer: str) -> None:
    ran = await ask(waggle, ["42", "42", "41"], "--strategy", strategy, "--min-confidence", "0", "--json")
    assert json.loads(ran.out)["answer"] == answer


async def test_two_who_disagree_abstain(waggle: Waggle) -> None:
    ran = await ask(waggle, ["42", "41"])
    assert ran.status == 3
    assert ran.out.startswith("the swarm is not sure enough to answer\nbest guess: ")


@pytest.mark.parametrize("fault", [Fault.BAD_REQUEST, Fault.UNAUTHORIZED, Fault.GARBAGE, Fault.REDIRECT])
async def test_a_broken_server_alone_is_a_failure_that_keeps_its_secrets(waggle: Waggle, fault: Fault) -> None:
    ran = await ask(waggle, [fault])
    assert ran.out == ""
    assert ran.complaint(1).startswith("no answer: m0: ")
    assert "secret" not in ran.complaint()


async def test_a_broken_server_in_company_is_mentioned_and_explained(waggle: Waggle) -> None:
    ran = await ask(waggle, ["42", Fault.UNAUTHORIZED], "--explain")
    assert ran.status == 0
    assert "m1 failed: " in ran.out
    assert "1 of 2 models failed" in ran.out


async def test_a_silent_server_costs_the_time_budget_and_no_more(waggle: Waggle) -> None:
    ran = await ask(waggle, [Fault.HANG], "--budget-seconds", "0.1", "--json")
    assert ran.complaint(1) == "no answer: m0: no answer in time"
    assert json.loads(ran.out)["spent"]["seconds"] < 20.0  # without a budget of its own it would be sixty


async def test_a_port_where_nobody_listens_is_a_failure(waggle: Waggle) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    ran = await asyncio.to_thread(waggle, "ask", QUESTION, "--engine", f"http://127.0.0.1:{port}/v1#m0")
    assert "cannot be reached: is the server running" in ran.complaint(1)


async def test_a_token_budget_below_one_answer_is_a_failure(waggle: Waggle) -> None:
    assert "token budget" in (await ask(waggle, ["42"], "--budget-tokens", "1")).complaint(1)


@pytest.mark.parametrize("option", ["--explain", "--json"])
async def test_hostile_answers_are_shown_inert(waggle: Waggle, option: str) -> None:
    ran = await ask(waggle, [HOSTILE, HOSTILE, "42"], option, "--min-confidence", "0")
    assert "[bold]big[/]" in ran.out
    assert_inert(ran.out)


async def test_calibrating_a_server_that_is_not_there_fails_at_once(waggle: Waggle) -> None:
    async with serving(Fault.UNAUTHORIZED) as server:
        ran = await asyncio.to_thread(waggle, "calibrate", "--engine", f"{server.base_url}#m0")
    assert "refused the call (status 401)" in ran.complaint(1)


def _mind_interrupts() -> None:
    """Where the tests run in a shell's background, their children would be born ignoring interrupts."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


async def test_interrupting_a_round_stops_the_servers_too() -> None:
    async with serving(Fault.HANG) as server:
        command = (*COMMAND, "ask", QUESTION, "--engine", f"{server.base_url}#m0")
        process = await asyncio.create_subprocess_exec(
            *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), preexec_fn=_mind_interrupts
        )
        async with asyncio.timeout(50):
            while not server.busy and process.returncode is None:  # noqa: ASYNC110  # the server has no such event
                await asyncio.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        await server.until(lambda: server.abandoned == 1)
    assert (process.returncode, out, err) == (130, b"", b"waggle: interrupted\n")
