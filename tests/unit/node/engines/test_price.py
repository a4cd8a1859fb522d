"""What a node wants for 1,000 tokens is told to the others as it was set; nothing else goes by it."""

import asyncio
import json
from pathlib import Path

import msgspec
import pytest

from tests.swarm.solo_crowd import solo_crowd
from tests.virtual import in_virtual_time
from waggle.core.errors import UsageError
from waggle.engines.script import Script
from waggle.node.config.load import load_settings
from waggle.node.config.settings import Settings
from waggle.node.control.messages import Peers, PeersReply
from waggle.node.running.local_control import LocalControl
from waggle.node.running.running import options_of


@pytest.mark.parametrize("price", [0, 7])
@in_virtual_time
async def test_others_read_the_price_that_was_set(price: int) -> None:
    async with solo_crowd([None]) as (crowd, _):
        await crowd.add(1, Script(name="bee"), options_of(Settings(price=price), relays=False))
        await crowd.service()
        reply = await LocalControl(crowd.nodes[0], asyncio.Event()).handle(Peers())
    assert isinstance(reply, PeersReply)
    [peer] = json.loads(msgspec.json.encode(reply.peers))
    assert [offer["price"] for offer in peer["advert"]["offers"]] == [price]


@pytest.mark.parametrize("given", ["-1", "1.5", "free"])
def test_a_price_that_is_none_is_refused(given: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--price"):
        load_settings({"price": given}, environment={}, folder=tmp_path)
