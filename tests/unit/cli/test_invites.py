"""To which network an invite leads, by one rule for join, ask, fetch and doctor."""

from pathlib import Path

import pytest

from tests.unit.cli.ran import Running, Waggle, address
from waggle.cli.invites import in_network_of, invites_here, read_invites
from waggle.core.errors import PeerUnreachable, UsageError
from waggle.node.config.load import Configuration, load_settings

ADDRESS = address()
ORCHARD = f"waggle://{ADDRESS}?network=orchard"


def configured(tmp_path: Path, network: str | None = None, variable: str = "") -> Configuration:
    environment = {"WAGGLE_HOME": str(tmp_path), "WAGGLE_NETWORK": variable}
    return load_settings({"network": network}, environment=environment, folder=tmp_path)


def test_an_invite_leads_to_its_own_network_where_nobody_named_one(tmp_path: Path) -> None:
    configuration = configured(tmp_path)
    found = read_invites([ORCHARD], configuration)
    assert found[0].network == "orchard"
    joined = in_network_of(found, configuration)
    assert (joined.settings.network, joined.origins["network"]) == ("orchard", "the invite")
    assert in_network_of([], configuration) is configuration


@pytest.mark.parametrize(("network", "variable"), [("meadow", ""), ("waggle", ""), (None, "meadow")])
def test_another_network_that_somebody_named_is_an_error(tmp_path: Path, network: str | None, variable: str) -> None:
    configuration = configured(tmp_path, network, variable)
    origin = "--network" if network else "WAGGLE_NETWORK"
    with pytest.raises(UsageError, match=f"for the network 'orchard', and {origin} says '{network or variable}'"):
        read_invites([ORCHARD], configuration)


def test_an_address_leads_to_the_network_of_the_settings(tmp_path: Path) -> None:
    assert read_invites([ADDRESS], configured(tmp_path, "meadow"))[0].network == "meadow"
    assert read_invites([ADDRESS, ORCHARD], configured(tmp_path, "orchard"))[0].network == "orchard"


def test_invites_to_several_networks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"different networks \(orchard, waggle\)"):
        read_invites([ADDRESS, ORCHARD], configured(tmp_path))


@pytest.mark.parametrize("verb", [("join", ORCHARD), ("ask", "why?", "--via", ORCHARD)])
def test_the_verbs_keep_to_the_rule(waggle: Waggle, verb: tuple[str, ...]) -> None:
    told = waggle(*verb, "--network", "meadow").complaint(2)
    assert "this invite is for the network 'orchard', and --network says 'meadow'" in told


def test_here_is_every_node_of_waggle_up(tmp_path: Path, running: Running) -> None:
    with pytest.raises(PeerUnreachable, match="no node of yours is running"):
        invites_here(tmp_path, None)
    running(tmp_path, "up-acacia", "up-sage")
    assert [invite.addresses[0].split("/")[4] for invite in invites_here(tmp_path, None)] == ["1", "2"]
    assert [invite.addresses[0].split("/")[4] for invite in invites_here(tmp_path, "up-sage")] == ["2"]
    running(tmp_path, "bee")
    with pytest.raises(UsageError, match="which node"):
        invites_here(tmp_path, None)


def test_here_and_elsewhere_are_one_too_many(waggle: Waggle) -> None:
    for own in (["--here"], ["--node", "bee"]):
        assert "give one of them" in waggle("ask", "why?", "--via", ADDRESS, *own).complaint()
    assert "--here asks models elsewhere" in waggle("ask", "why?", "--here", "--engine", "x").complaint()


def test_here_asks_nobody_else_where_nothing_runs(waggle: Waggle) -> None:
    ran = waggle("ask", "why?", "--here")
    assert (ran.status, ran.out) == (1, "")
    assert "no node of yours is running" in ran.complaint()
