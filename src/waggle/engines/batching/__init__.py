"""Many requests through one decoder at once: jobs, the batch they share, and the thread that turns the crank."""
