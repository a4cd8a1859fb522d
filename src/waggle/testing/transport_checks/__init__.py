"""The checks of `waggle.testing.check_transport`, by what they look at."""
