"""Models that write nothing of use: an abstention that is paid for once, and no error that invites to try again."""

from pathlib import Path

import pytest
from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from tests.unit.gateway.asking import CHAT, PATHS, RESPONSES, USER, body_of, sent
from tests.unit.gateway.conftest import QUESTION, FakeService, Serve, bees, caller, client_of, make_play
from waggle.core.asking import AskOptions
from waggle.core.failures import Cause, Failure
from waggle.core.round_values import Record
from waggle.engines.script import Crasher, Mute, Script
from waggle.gateway.app import make_app
from waggle.gateway.jobs.results import is_abstention
from waggle.gateway.options import GatewayOptions
from waggle.node.history.history import History

SENTENCE = "The swarm abstained: no model wrote anything that can be used as an answer."
MUTE, DEAD = Script(name="mute", conduct=Mute()), Script(name="dead", conduct=Crasher())


async def record_of(**scripts: Script) -> Record:
    play = await make_play(**scripts)
    record = await play.service.ask(QUESTION, AskOptions())
    await play.service.close()
    return record


@pytest.mark.parametrize("model", ["swarm", "swarm/committee", "swarm/vote", "swarm/best"])
@pytest.mark.parametrize("path", PATHS)
async def test_empty_texts_are_an_abstention_that_says_so(path: str, model: str) -> None:
    response = await sent((await make_play(a=MUTE, b=MUTE)).service, path, model=model)
    told = response.json()
    assert response.status_code == 200
    assert SENTENCE in response.text
    facts = told["waggle"]
    assert (facts["abstained"], facts["confidence"], facts["best_guess"], facts["supporters"]) == (True, 0.0, None, [])
    assert told["usage"]["total_tokens"] == facts["spent"]["proposing_tokens"] > 0


@pytest.mark.parametrize("path", PATHS)
async def test_a_stream_of_it_is_an_answer_with_an_end(path: str) -> None:
    response = await sent((await make_play(a=MUTE)).service, path, stream=True)
    assert response.status_code == 200
    assert "error" not in response.text.replace('"error":null', "")
    assert SENTENCE in response.text
    assert '"abstained":true' in response.text
    assert response.text.rstrip().endswith("data: [DONE]") is (path != RESPONSES)
    assert ("response.completed" in response.text) is (path == RESPONSES)


async def test_openai_s_client_does_not_ask_again(serve: Serve) -> None:
    play = await make_play(a=MUTE, b=MUTE)
    async with serve(make_app(play.service, GatewayOptions())) as url, client_of(url) as client:
        made = await client.with_options(max_retries=3).chat.completions.create(model="swarm", messages=[USER])
    assert made.choices[0].message.content == SENTENCE
    assert play.calls == 2


async def test_one_that_wrote_is_enough_to_have_been_heard() -> None:
    assert (await sent((await make_play(a=MUTE, b=DEAD, c=DEAD)).service)).json()["waggle"]["abstained"]
    assert (await sent((await make_play(b=DEAD, c=DEAD)).service)).status_code == 503


async def test_too_long_for_some_and_nothing_of_use_from_the_others_is_an_abstention() -> None:
    record = await record_of(a=MUTE, b=DEAD)
    long = {"b": Failure(Cause.TOO_LONG, "the question takes 900 tokens")}
    mixed = replace(record, outcome=replace(record.outcome, failures={**record.outcome.failures, **long}))
    unheard = await record_of(a=DEAD, b=DEAD)
    alone = replace(unheard, outcome=replace(unheard.outcome, failures=long))
    assert is_abstention(mixed)
    assert not is_abstention(alone)
    assert [(await sent(FakeService(record=each))).status_code for each in (mixed, alone)] == [200, 400]


async def test_where_json_is_due_it_is_the_422_of_an_abstention() -> None:
    response = await sent((await make_play(a=MUTE)).service, response_format={"type": "json_object"})
    assert (response.status_code, response.json()["error"]["code"]) == (422, "abstained")
    assert "no model wrote an answer" in response.json()["error"]["message"]
    assert response.json()["usage"]["total_tokens"] > 0


async def test_it_can_be_explained_like_any_other_round() -> None:
    facts = (await sent((await make_play(a=MUTE, b=DEAD)).service, waggle={"explain": True})).json()["waggle"]
    assert (facts["failed"], facts["candidates"]) == (["a", "b"], [])


@pytest.mark.parametrize(("scripts", "abstained", "failed"), [({"a": MUTE}, 1, 0), ({"a": DEAD, "b": DEAD}, 0, 1)])
async def test_history_and_metrics_count_abstentions_and_failures_apart(
    tmp_path: Path, scripts: dict[str, Script], abstained: int, failed: int
) -> None:
    play, history = await make_play(**scripts), History(tmp_path / "h.sqlite3")
    app = make_app(play.service, GatewayOptions(), history=history)
    async with caller(app) as client:
        await client.post(CHAT, json=body_of(model="swarm/committee"))
        text = (await client.get("/metrics")).text
    history.flush()
    totals = history.totals()
    assert (totals.rounds, totals.abstained, totals.failed) == (1, abstained, failed)
    assert [row.abstained for row in history.search()] == [bool(abstained)]
    history.close()
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    rounds = {each.labels["outcome"]: each.value for each in samples if each.name == "waggle_rounds_total"}
    assert rounds == ({"abstained": 1.0} if abstained else {"failed": 1.0})
    assert sum(each.value for each in samples if each.name == "waggle_abstentions_total") == abstained


async def test_an_answer_is_none_of_it() -> None:
    record = await record_of(**bees())
    assert not is_abstention(record)
