"""By which names a gateway may be called, and where it may listen.

A web page can make a browser resolve the page's own name to this machine (DNS rebinding); the browser then still sends
that name, so a gateway that answers only to names it knows is out of the page's reach.
"""

import re
from ipaddress import ip_address

from waggle.core.errors import UsageError
from waggle.gateway.door.asked import Asked, refused
from waggle.gateway.door.callers import Keys
from waggle.gateway.options import GatewayOptions

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
EVERYWHERE = frozenset({"", "0.0.0.0", "::"})
HOST = re.compile(r"(?:\[([0-9a-f:.]{2,45})\]|([a-z0-9_](?:[a-z0-9._-]{0,252})))(?::([0-9]{1,5}))?", re.ASCII)


class Hosts:
    """The names and addresses by which one gateway answers."""

    def __init__(self, options: GatewayOptions) -> None:
        """Loopback, the bound address and the allowed names; without ports, in lower case."""
        names = {*options.allowed_hosts, *({options.host} - EVERYWHERE)}
        self._names = LOOPBACK_NAMES | {name.lower().strip("[]") for name in names}
        self._everywhere = options.host in EVERYWHERE

    def check(self, asked: Asked) -> None:
        """Let a request in that calls us by one of our names.

        Raises:
            ApiError: no Host header, one that is none, or a foreign one.
        """
        name = host_name(asked.header(b"host") or "")
        if name is None:
            raise refused(400, "the Host header is missing or malformed", "bad_host")
        if name not in self._names and not (self._everywhere and name == asked.server and _is_address(name)):
            raise refused(
                421,
                "this gateway is not called by that name: --gateway-name adds a name",
                "unknown_host",
            )


def host_name(header: str) -> str | None:
    """The name or address of a Host header in lower case, without brackets and port; None where it is malformed."""
    found = HOST.fullmatch(header.lower())
    if not found or int(found[3] or 1) > 65_535 or (found[1] and ":" not in found[1]):
        return None
    return found[1] or found[2]


def is_loopback(host: str) -> bool:
    """Whether nobody outside this machine can connect to it; a name other than localhost might be anywhere."""
    return host == "localhost" or (_is_address(host) and ip_address(host).is_loopback)


def check_binding(options: GatewayOptions, keys: Keys | None) -> None:
    """See to it that a gateway which others can reach has keys.

    Raises:
        UsageError: it would listen beyond this machine, and there is no live key.
    """
    if not is_loopback(options.host) and (keys is None or not keys.has_live()):
        raise UsageError(
            f"will not listen on {options.host or 'every address'} without API keys, since anybody could use the "
            "swarm: make one with waggle key create NAME, or listen on 127.0.0.1"
        )


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
