"""Bare hivemind P2P on uvloop, the event loop of hivemind's own processes; the other subjects run on asyncio's."""

from importlib import import_module

from waggle.bench.mesh.with_hivemind import connected, serving

__all__ = ["connected", "loop_factory", "serving"]

loop_factory = import_module("uvloop").new_event_loop
