"""How a command line ended, run in this process or in one of its own."""

import os
import subprocess
import sys
from typing import NamedTuple, Protocol


class Ran(NamedTuple):
    """Exit status and both outputs."""

    status: int
    out: str
    err: str

    def complaint(self) -> str:
        """The one line on standard error, without the program's name."""
        assert self.err.startswith("waggle: "), self.err
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("waggle: ").rstrip("\n")


class Waggle(Protocol):
    """Runs a command line in this process."""

    def __call__(self, *arguments: str) -> Ran:
        """Arguments as after `waggle`."""
        ...


COMMAND = (sys.executable, "-m", "waggle")


def environment(**more: str) -> dict[str, str]:
    """This process's environment and more."""
    return {**os.environ, **more}


def run_alone(*arguments: str, **variables: str) -> Ran:
    """Run a command line in a process of its own, with these environment variables."""
    done = subprocess.run((*COMMAND, *arguments), capture_output=True, env=environment(**variables), timeout=60)
    return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())
