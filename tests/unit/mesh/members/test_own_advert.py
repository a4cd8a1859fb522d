"""Adverts under our key that we did not make: ours are numbered above them, and only those of today mean a twin."""

import pytest
from msgspec.structs import replace

from waggle.core.ids import NodeId
from waggle.core.mesh_values import Advert
from waggle.mesh.liveness.pace import Pace
from waggle.mesh.members.own_advert import TWIN_SECONDS, Description, OwnAdvert
from waggle.mesh.memory import Conditions, MemoryNetwork
from waggle.trust.keys import NodeKey

STARTED = 1_800_000_000.0
KEY = NodeKey.from_seed(bytes(32))


class Calendar:
    """A date that the test moves."""

    today = STARTED

    def __call__(self) -> float:
        return self.today


@pytest.fixture
def calendar() -> Calendar:
    return Calendar()


@pytest.fixture
async def own(calendar: Calendar) -> OwnAdvert:
    """Ours, of incarnation 10, with one advert made."""
    transport = MemoryNetwork(0, Conditions()).join(KEY.node_id)
    described = Description(version="0")
    made = OwnAdvert(transport, KEY, described, network="n", wall=calendar, pace=Pace(), incarnation=10)
    await made.make()
    return made


def advert(incarnation: int, sequence: int = 1, *, after: float = 0.0, departed: bool = False) -> Advert:
    """One under our key, dated so many seconds after our start."""
    return Advert(
        node=NodeId(KEY.node_id),
        network="n",
        incarnation=incarnation,
        sequence=sequence,
        issued_at=STARTED + after,
        ttl=60.0,
        version="0",
        departed=departed,
    )


@pytest.mark.parametrize("other", [advert(10, 7), advert(11, 3), advert(12, 2**20), advert(10, 7, departed=True)])
async def test_our_next_advert_is_numbered_above_every_other_one(own: OwnAdvert, other: Advert) -> None:
    own.outdo(other)
    ours = (await own.make()).advert
    assert (ours.incarnation, ours.sequence) > (other.incarnation, other.sequence)


async def test_an_older_one_changes_nothing(own: OwnAdvert) -> None:
    own.outdo(advert(9, 500))
    assert (own.incarnation, own.sequence) == (10, 1)


@pytest.mark.parametrize("incarnation", [9, 10, 11])
async def test_one_that_was_made_after_our_start_means_a_twin(own: OwnAdvert, incarnation: int) -> None:
    assert "another node" in own.outdo(advert(incarnation, after=TWIN_SECONDS + 1))


async def test_an_old_one_or_a_farewell_means_none(own: OwnAdvert) -> None:
    late = advert(11, after=TWIN_SECONDS + 1)
    assert [own.outdo(other) for other in (advert(11), replace(late, departed=True))] == ["", ""]


async def test_every_start_is_another_incarnation_and_grows_with_the_date(calendar: Calendar) -> None:
    numbers = []
    for _ in range(3):
        transport = MemoryNetwork(0, Conditions()).join(KEY.node_id)
        described = Description(version="0")
        made = OwnAdvert(transport, KEY, described, network="n", wall=calendar, pace=Pace(), incarnation=None)
        numbers.append((await made.make()).advert.incarnation)
        calendar.today += 0.01
    assert numbers == sorted(set(numbers))
