"""Fetching a model from peers: find who has it, ask several at once, verify, land."""
