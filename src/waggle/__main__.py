"""`python -m waggle` is the `waggle` command."""

from waggle.cli.main import run

run()
