"""`waggle doctor`: what this machine has, what is missing, and what to do about it."""

import os
import platform
import sys

import typer

from waggle.cli.shared import calibration_path, plain_console

REQUIRED = (
    "torch",
    "tokenizers",
    "safetensors",
    "numpy",
    "scipy",
    "msgspec",
    "jinja2",
    "httpx",
    "typer",
    "rich",
    "hivemind",
    "cryptography",
)
OPTIONAL = {
    "reasoning-gym": "waggle train, calibrate and bench quality",
    "matplotlib": "plots of waggle bench",
    "transformers": "the comparison in waggle bench engine",
    "choix": "the comparison in waggle bench consensus",
}
LEAST_MEMORY_BYTES = 1_000_000_000


Row = tuple[str, str, str, bool]  # what, found, remark, whether that is good enough


def doctor() -> None:
    """Check this machine, and say what is missing and what to do.

    Versions, cores, memory, the bundled models, and which ways of reaching other nodes work: direct links, multicast,
    relays. Exit status 1 if something needed is missing.
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from waggle import __version__

    console = plain_console()
    table = Table(box=box.SIMPLE, pad_edge=False, show_header=False)
    rows = [_python(), _cores(), _memory(), *map(_package, REQUIRED), *map(_optional, OPTIONAL), _hive(), _measured()]
    rows += _network()
    for name, found, remark, fine in rows:
        table.add_row(Text("ok", style="green") if fine else Text("!!", style="red"), name, found, remark)
    console.print(f"waggle {__version__}", style="bold")
    console.print(table)
    raise typer.Exit(0 if all(fine for *_, fine in rows) else 1)


def _network() -> list[Row]:
    """Direct links are needed; without multicast or relays there are other ways."""
    import asyncio

    from waggle.node.network_check import check_network

    findings = asyncio.run(check_network())
    return [(f.way, "works" if f.works else "does not", f.remark, f.works or f.way != "direct") for f in findings]


def _python() -> Row:
    fine = sys.version_info >= (3, 11)
    return "python", platform.python_version(), "" if fine else "waggle needs Python 3.11 or newer", fine


def _cores() -> Row:
    return "cores", str(os.cpu_count()), f"{platform.machine()}, {platform.system()}", True


def _memory() -> Row:
    if not hasattr(os, "sysconf") or "SC_PHYS_PAGES" not in os.sysconf_names:
        return "memory", "unknown", "this system does not say", True
    amount = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    fine = amount >= LEAST_MEMORY_BYTES
    return "memory", f"{amount / 1e9:.1f} GB", "" if fine else "the hive needs about 1 GB", fine


def _version(name: str) -> str | None:
    from importlib import metadata

    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _package(name: str) -> Row:
    version = _version(name)
    return name, version or "missing", "" if version else "run make setup", version is not None


def _optional(name: str) -> Row:
    version, use = _version(name), OPTIONAL[name]
    return name, version or "not installed", use if version else f"only needed for {use}", True


def _hive() -> Row:
    from waggle.models.hive import hive_names

    names = hive_names()
    remark = ", ".join(names) if names else "no bundled models: run waggle train hive"
    return "hive", f"{len(names)} models", remark, bool(names)


def _measured() -> Row:
    path = calibration_path(bundled=True)
    fine = path.exists()
    return "calibration", "found" if fine else "missing", "" if fine else "run waggle calibrate", fine
