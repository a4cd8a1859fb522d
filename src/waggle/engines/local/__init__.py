"""A model folder as an engine: many requests through one decoder at once, and the thread that turns the crank."""
