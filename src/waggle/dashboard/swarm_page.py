"""Swarm: who is here, how far away, what they can, how busy they are, and why some are not asked."""

from fastapi import FastAPI
from msgspec import Struct
from nicegui import ui

from waggle.core.mesh_values import Load, Peer
from waggle.dashboard.context import Context, page
from waggle.dashboard.elements import box, empty_state, words
from waggle.dashboard.layout import frame
from waggle.dashboard.network_picture import draw_network, peer_kind, peer_name
from waggle.dashboard.skill_table import draw_skills
from waggle.dashboard.words import duration, many, one_line, short_id
from waggle.node.local_service import HERE
from waggle.node.service import ServedModel, Service

REFRESH_SECONDS = 1.5
MOST_LISTED = 200
KINDS = {"": ("good", "usable"), "standby": ("warn", "standby"), "off": ("bad", "not usable")}


class Seen(Struct, frozen=True):
    """Everything that the page shows; where two are equal nothing is drawn anew."""

    models: tuple[ServedModel, ...]
    peers: tuple[Peer, ...]
    load: Load


def look(service: Service) -> Seen:
    """The swarm now, without what changes all the time and is not shown."""
    peers = [peer for peer in service.peers() if peer.node != service.id]
    return Seen(service.models(), tuple(sorted(map(_rounded, peers), key=_order)), service.load)


def _rounded(peer: Peer) -> Peer:
    trip = None if peer.round_trip is None else float(f"{peer.round_trip:.1e}")
    return Peer(advert=peer.advert, liveness=peer.liveness, round_trip=trip, load=peer.load, reason=peer.reason)


def _order(peer: Peer) -> tuple[int, str]:
    return list(KINDS).index(peer_kind(peer)), peer_name(peer)


def add(app: FastAPI, context: Context) -> None:
    """Put the page on the app."""

    @page(app, "/swarm")
    def swarm() -> None:
        with frame("/swarm", "Swarm", "Who is here, how far away, and what they were measured to know."):
            place = box("stack").style("gap: 1.25rem")
            shown: list[Seen] = []

            def refresh() -> None:
                seen = look(context.service)
                if shown != [seen]:
                    shown[:] = [seen]
                    place.clear()
                    with place:
                        _show(context.service, seen)

            refresh()
            ui.timer(REFRESH_SECONDS, refresh)


def _show(service: Service, seen: Seen) -> None:
    usable = sum(peer_kind(peer) == "" for peer in seen.peers)
    with box("facts"):
        _fact("Peers", f"{usable} of {len(seen.peers)} usable" if seen.peers else "none")
        _fact("Models", str(len(seen.models)))
        _fact("Under way here", f"{seen.load.running} running, {seen.load.waiting} waiting")
        _fact("This node", short_id(service.id))
    own = own_names(service, seen)
    with box("grid2"):
        with box("card", "section"):
            words("Network", "", "h2")
            rings = "The rings: an answer to a ping within 1 ms, 22 ms, half a second."
            words(rings if seen.peers else "All in this process.", "card-note", "p")
            draw_network(seen.peers, own)
        with box("card", "section"):
            words("Peers", "", "h2")
            if seen.peers:
                _peers(seen.peers)
            else:
                _alone(service)
    with box("card", "section"):
        words("Models and their measured skills", "", "h2")
        words("Right answers to calibration questions, in percent, by kind of question.", "card-note", "p")
        draw_skills(seen.models)


def _alone(service: Service) -> None:
    if service.id == HERE:
        text = "This gateway answers with the models of its own process. To answer with other machines, join a swarm:"
        empty_state("person_add", "Nobody else is here", text, "waggle join INVITE --gateway-port 8080")
    else:
        text = "This node answers alone. Print an invitation, and use it on another machine:"
        empty_state("person_add", "Nobody else is here", text, "waggle invite")


def own_names(service: Service, seen: Seen) -> list[str]:
    """The models that this process itself runs."""
    peers = {peer.node for peer in seen.peers}
    return [model.name for model in seen.models if any(node not in peers for node in model.nodes)]


def _fact(name: str, value: str) -> None:
    with box("fact"):
        words(name, "fact-name")
        words(value, "fact-value")


def _peers(peers: tuple[Peer, ...]) -> None:
    with box("peers", "ul", tabindex="0"):
        for peer in peers[:MOST_LISTED]:
            with box("peer-row", "li", data_node=one_line(peer.node, 100)):
                _peer(peer)
    if len(peers) > MOST_LISTED:
        words(f"{MOST_LISTED} of {len(peers):,} are listed, the usable ones first.", "dim small", "p")


def _peer(peer: Peer) -> None:
    kind, state = KINDS[peer_kind(peer)]
    name = one_line(peer_name(peer), 60)
    with box("row"):
        words(name, "", "strong")
        if peer.node != name:
            words(short_id(peer.node), "dim small mono", title=one_line(peer.node, 128))
        words(state if kind != "bad" else peer.liveness.value, f"chip {kind}")
    if peer.reason:
        words(f"because {one_line(peer.reason, 160)}", "small", "p")
    offers = ", ".join(one_line(offer.model, 60) for offer in peer.advert.offers)
    facts = {"round trip": duration(peer.round_trip), "load": _load(peer.load), "models": offers or "none"}
    with box("dim small num", "p"):
        words(" · ".join(f"{name} {value}" for name, value in facts.items()))


def _load(load: Load | None) -> str:
    if load is None:
        return "–"
    waiting = f", {load.waiting} waiting" if load.waiting else ""
    return f"{load.running} of {many(load.capacity, 'place')}{waiting}"
