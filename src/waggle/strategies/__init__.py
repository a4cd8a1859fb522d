"""How a question is answered: one row of `ways` for each way, one pure machine behind it. See `machine`."""
