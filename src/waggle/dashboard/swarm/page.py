"""Swarm: who is here, how far away, what they can, how busy they are, and why some are not asked."""

import time
from collections.abc import Sequence

from fastapi import FastAPI
from msgspec import Struct
from nicegui import ui

from waggle.core.mesh_values import Load, Peer
from waggle.core.words import many
from waggle.dashboard.frame.context import Context, page
from waggle.dashboard.frame.elements import box, empty_state, words
from waggle.dashboard.frame.layout import frame
from waggle.dashboard.frame.notices import show_down
from waggle.dashboard.frame.words import duration, one_line, short_id
from waggle.dashboard.settings_table import own_name
from waggle.dashboard.swarm.gone import Gallery, Gone
from waggle.dashboard.swarm.network_layout import Own, peer_kind, peer_name
from waggle.dashboard.swarm.network_picture import draw_network
from waggle.dashboard.swarm.skill_table import draw_skills
from waggle.node.rounds.swarm import HERE
from waggle.node.services.service import ServedModel, Service

REFRESH_SECONDS = 1.5
MOST_LISTED = 200
TROUBLE = 300  # characters
KINDS = {"": ("good", "usable"), "standby": ("warn", "standby"), "off": ("bad", "not usable")}


class Seen(Struct, frozen=True):
    """Everything that the page shows; where two are equal nothing is drawn anew."""

    models: tuple[ServedModel, ...]
    peers: tuple[Peer, ...]
    load: Load
    troubles: tuple[str, ...] = ()
    gone: tuple[Gone, ...] = ()


def look(service: Service, gallery: Gallery, now: float) -> Seen:
    """The swarm now, without what changes all the time and is not shown."""
    peers = tuple(sorted((_rounded(peer) for peer in service.peers() if peer.node != service.id), key=_order))
    return Seen(service.models(), peers, service.load, service.troubles, gallery.look(peers, now))


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
            gallery = Gallery()

            def refresh() -> None:
                seen = look(context.service, gallery, time.monotonic())
                if shown != [seen]:
                    shown[:] = [seen]
                    place.clear()
                    with place:
                        _show(context, seen)

            refresh()
            ui.timer(REFRESH_SECONDS, refresh)


def _show(context: Context, seen: Seen) -> None:
    service = context.service
    usable = sum(peer_kind(peer) == "" for peer in seen.peers)
    with box("facts"):
        _fact("Peers", f"{usable} of {len(seen.peers)} usable" if seen.peers else "none")
        _fact("Models", models_words(seen.models))
        _fact("Under way here", f"{seen.load.running} running, {seen.load.waiting} waiting")
        _fact("This node", own_name(context), "" if service.id == HERE else service.id)
    show_down(seen.models)
    _troubles(seen.troubles)
    own = own_models(seen)
    with box("grid2"):
        with box("card pictured", "section"):
            words("Network", "", "h2")
            words(network_words(seen, own), "card-note", "p")
            if seen.peers or own:
                draw_network(seen.peers, own)
        with box("card", "section"):
            words("Peers", "", "h2")
            if seen.peers or seen.gone:
                _peers(seen.peers, seen.gone)
            else:
                _alone(service, own)
    with box("card", "section"):
        words("Models and their measured skills", "", "h2")
        words("Right answers to calibration questions, in percent, by kind of question.", "card-note", "p")
        draw_skills(seen.models)


def network_words(seen: Seen, own: Sequence[Own]) -> str:
    """What the picture shows, in one sentence."""
    if not seen.peers:
        return "All models are behind this one process." if own else "There is nobody to draw."
    mine = f" This node itself has {many(len(own), 'model')}." if own else ""
    return f"The further out, the longer an answer to a ping takes.{mine}"


def _troubles(troubles: tuple[str, ...]) -> None:
    """Say what hinders this node, where something does."""
    if not troubles:
        return
    with box("notice", "section", role="alert", aria_label="What hinders this node"):
        words("Something hinders this node in the swarm:", "", "strong")
        with box("", "ul"):
            for trouble in troubles:
                words(one_line(trouble, TROUBLE), "small words", "li")


def _alone(service: Service, own: Sequence[Own]) -> None:
    if service.id == HERE:
        works = any(not each.down for each in own)
        mine = "This gateway answers with the models of its process." if works else "No model of this process answers."
        text = f"{mine} To answer with other machines, join a swarm:"
        empty_state("person_add", "Nobody else is here", text, "waggle join INVITE --gateway-port 8080")
    else:
        text = "This node answers alone. Print an invitation, and use it on another machine:"
        empty_state("person_add", "Nobody else is here", text, "waggle invite")


def models_words(models: Sequence[ServedModel]) -> str:
    """How many there are, and how many of them can be used where that is not all."""
    usable = sum(model.usable for model in models)
    return str(len(models)) if usable == len(models) else f"{usable} of {len(models)} usable"


def own_models(seen: Seen) -> list[Own]:
    """The models that this process itself runs, with why one cannot be used now."""
    peers = {peer.node for peer in seen.peers}
    made = []
    for model in seen.models:
        works = any(node not in peers for node in model.nodes)
        down = [reason for node, reason in model.down.items() if node not in peers]
        if works or down:
            made.append(Own(model.name, "" if works else down[0]))
    return made


def _fact(name: str, value: str, node: str = "") -> None:
    with box("fact"):
        words(name, "fact-name")
        words(value, "fact-value")
        if node and value != short_id(node):
            words(short_id(node), "dim small mono", "div", title=one_line(node, 128))


def _peers(peers: tuple[Peer, ...], gone: tuple[Gone, ...]) -> None:
    with box("peers", "ul", tabindex="0"):
        for peer in peers[:MOST_LISTED]:
            with box("peer-row", "li", data_node=one_line(peer.node, 100)):
                _peer(peer)
        for each in gone:
            with box("peer-row row gone", "li", data_node=one_line(each.node, 100)):
                words(one_line(each.name, 60), "", "strong")
                words(f"gone, {each.ago}", "chip")
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
