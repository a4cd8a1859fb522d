"""What can be known to be wrong before anything heavy is loaded: who runs, which port is taken, what is no address."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from waggle.node.config.settings import Settings


def check_node(settings: "Settings") -> None:
    """See to it that this node can be started here.

    Raises:
        UsageError: it runs already, its folder cannot be written to, or an address or the gateway's port is no good.
    """
    from waggle.mesh.libp2p.settings import Settings as Libp2pSettings
    from waggle.mesh.libp2p.settings import with_ports
    from waggle.node.home.home import NodeHome

    home = NodeHome(settings.home, settings.name)
    with home.lock():
        Libp2pSettings(
            key_path=home.key, listen=settings.listen, announce=settings.announce, relays=settings.relays
        ).checked()
        with_ports(settings.listen)
    check_gateway(settings)


def check_gateway(settings: "Settings") -> None:
    """See to it that the gateway, where there is to be one, can listen where it is to.

    Raises:
        UsageError: its address is taken or not ours, or is open to others while there is no key.
    """
    from waggle.node.config.settings import NO_PORT

    if settings.gateway_port == NO_PORT:
        return
    from waggle.cli.gateway import KEYS
    from waggle.gateway.door.hosts import check_binding
    from waggle.gateway.keys.live import LiveKeys
    from waggle.gateway.options import GatewayOptions
    from waggle.gateway.server import bound

    keys = LiveKeys(settings.home / KEYS)
    try:
        check_binding(GatewayOptions(host=settings.gateway_host, port=settings.gateway_port), keys)
    finally:
        keys.close()
    bound(settings.gateway_host, settings.gateway_port).close()
