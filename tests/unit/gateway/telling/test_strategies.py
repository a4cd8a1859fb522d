"""Outside, `swarm` is the gate's model and never the committee's way of answering."""

import httpx
import pytest

from tests.unit.gateway.conftest import QUESTION


async def test_the_list_of_models_says_gate_and_committee_apart(client: httpx.AsyncClient) -> None:
    entries = {each["id"]: each["waggle"]["strategy"] for each in (await client.get("/v1/models")).json()["data"]}
    assert entries == {
        "swarm": "auto",
        "swarm/committee": "committee",
        "swarm/vote": "vote",
        "swarm/best": "best",
        "solo/ant": "solo",
        "solo/bee": "solo",
        "solo/cat": "solo",
    }


@pytest.mark.parametrize(
    ("model", "strategy"),
    [
        ("swarm", "committee"),  # nothing was measured, so the gate chooses the committee
        ("swarm/committee", "committee"),
        ("swarm/vote", "vote"),
        ("swarm/best", "best"),
        ("solo/ant", "solo"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_an_answer_says_how_it_was_found(
    client: httpx.AsyncClient, model: str, strategy: str, stream: bool
) -> None:
    asked = {"model": model, "stream": stream, "messages": [{"role": "user", "content": QUESTION}]}
    text = (await client.post("/v1/chat/completions", json=asked)).text
    assert f'"strategy":"{strategy}"' in text
    assert '"strategy":"swarm"' not in text
