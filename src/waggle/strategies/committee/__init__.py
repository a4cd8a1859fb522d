"""The round as a pure state machine: events in, effects out. See `round.step`."""
