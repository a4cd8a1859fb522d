"""Network namespaces of our own: make them, run programs in them, remove them with all that runs inside.

A namespace is called `waggle-<pid>-<start>-<lab>-<role>` after the process that made it: pid and start time together
name a process for good, so the leftovers of one that is dead can be told from those of one that is at work.
"""

import asyncio
import os
import re
import shutil
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from waggle.core.errors import WaggleError

COMMAND_SECONDS = 20.0
"""How long one `ip` or `iptables` command may take; they take milliseconds."""

PROGRAMS = {"ip": "iproute2", "iptables-restore": "iptables"}
NAME = re.compile(r"waggle-(?P<pid>\d+)-(?P<start>\d+)-\d+-\w+")


class LabFailed(WaggleError):
    """A command that builds the lab did not work; the text says which and what it said."""


async def run(*command: str, given: str = "") -> str:
    """Run a command with `given` on its standard input; gives its standard output.

    Raises LabFailed where it ends with another status than 0 or takes longer than COMMAND_SECONDS.
    """
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(COMMAND_SECONDS):
            output, complaint = await child.communicate(given.encode())
    except TimeoutError:
        child.kill()
        await child.wait()
        raise LabFailed(f"{' '.join(command)}: no end after {COMMAND_SECONDS:g} s") from None
    if child.returncode != 0:
        raise LabFailed(f"{' '.join(command)}: {complaint.decode(errors='replace').strip()[:300]}")
    return output.decode(errors="replace")


async def add(name: str) -> None:
    """Make an empty namespace whose loopback is up."""
    await run("ip", "netns", "add", name)
    await configure(name, ["link set lo up"])


async def configure(name: str, commands: Sequence[str]) -> None:
    """Give `ip` these commands inside the namespace."""
    await run("ip", "-n", name, "-batch", "-", given="\n".join(commands) + "\n")


def inside(name: str, *command: str) -> tuple[str, ...]:
    """The command that runs a command inside the namespace."""
    return ("ip", "netns", "exec", name, *command)


async def kill_all(name: str) -> None:
    """Kill whatever runs inside the namespace; nothing else can be in there than what we started."""
    with suppress(LabFailed):
        for pid in (await run("ip", "netns", "pids", name)).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)


async def remove(name: str) -> None:
    """Kill whatever runs inside, then remove the namespace with its links; one that is gone already is no error."""
    await kill_all(name)
    with suppress(LabFailed):
        await run("ip", "netns", "delete", name)


async def sweep() -> list[str]:
    """Remove the namespaces that dead processes of ours left behind; gives their names."""
    listed = (await run("ip", "netns", "list")).splitlines()
    names = [line.split()[0] for line in listed if line.strip()]
    left = [name for name in names if _owner_is_dead(name)]
    for name in left:
        await remove(name)
    return left


def _owner_is_dead(name: str) -> bool:
    owner = NAME.fullmatch(name)
    return owner is not None and start_time(int(owner["pid"])) != int(owner["start"])


def start_time(pid: int) -> int | None:
    """When the process began, in clock ticks since the machine did; None where there is no such process."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    return int(stat.rpartition(")")[2].split()[19])  # field 22 of the whole line, proc(5)


def own_name(lab: int, role: str) -> str:
    """The name of a namespace of this process's."""
    return f"waggle-{os.getpid()}-{start_time(os.getpid())}-{lab}-{role}"


async def can_make_networks() -> str | None:
    """Why no lab can be made here, in words; None where one can. Tries it out, and leaves nothing behind."""
    if os.name != "posix" or os.uname().sysname != "Linux":
        return "network namespaces exist on Linux only"
    if os.geteuid() != 0:
        return "making network namespaces needs root"
    missing = [package for program, package in PROGRAMS.items() if shutil.which(program) is None]
    if missing:
        return f"missing Debian packages: {' '.join(missing)}"
    try:
        await _try_out(own_name(0, "probe"))
    except LabFailed as error:
        return f"this kernel or container does not allow it: {error}"
    return None


async def _try_out(name: str) -> None:
    """Everything that a lab asks of the kernel, once."""
    try:
        await add(name)
        await configure(name, ["link add wire type veth peer name eriw", "link add hub type bridge"])
        await run(*inside(name, "iptables-restore"), given=nat_rules("wire", "eriw", symmetric=True))
    finally:
        await remove(name)


def nat_rules(outside: str, home: str, *, symmetric: bool) -> str:
    """What `iptables-restore` makes a NAT box of, with one interface to the `outside` and one to the `home`.

    Outside packets that belong to no connection from home are dropped without a word, even those to the box itself: a
    refusal would make the kernel take the port, and the next packet from home would leave through another one. A
    symmetric NAT takes a random port for every destination; the other kind keeps the port, as home routers do.
    """
    return f"""*nat
-A POSTROUTING -o {outside} -j MASQUERADE {"--random-fully" if symmetric else ""}
COMMIT
*filter
:INPUT DROP [0:0]
:FORWARD DROP [0:0]
-A FORWARD -i {home} -o {outside} -j ACCEPT
-A FORWARD -i {outside} -m conntrack --ctstate ESTABLISHED,RELATED -j ACCEPT
COMMIT
"""
