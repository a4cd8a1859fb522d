"""What a node can be told, each setting once: `waggle.toml`, `WAGGLE_*`, flags, `waggle config` and the docs follow.

A field of `Settings` is a row of the table: its name is the key in the file, `WAGGLE_` and its name in capitals the
variable, `--` and its name with dashes the flag (`flag` in `extra` where that reads badly). Nothing here is optional:
empty text, an empty list or 0 means none. Every value is checked on its way in, so its readers need not.
"""

from pathlib import Path
from typing import Annotated, Literal

from msgspec import Meta, Struct

LOOPBACK = ("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")
"""Where the nodes of `up` listen: nobody outside this machine can connect."""
EVERYWHERE = ("/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1")
"""Where `join` listens unless told otherwise."""

Level = Literal["debug", "info", "warning", "error"]
Form = Literal["pretty", "json"]
Kept = Literal["all", "answers", "off"]
NO_PORT = -1
"""What stands for no port where 0 means any free one."""
PLAIN = "at most 63 letters, digits, dots, dashes or underscores, the first one a letter or digit"
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}\Z")]
Word = Annotated[str, Meta(min_length=1, max_length=1_024)]
Words = Annotated[tuple[Word, ...], Meta(max_length=64)]


class Settings(Struct, frozen=True, kw_only=True):
    """Everything a node can be told. Durations in seconds; lists keep the order they were given in."""

    home: Annotated[
        Path,
        Meta(description="Folder of this user's nodes and calibrations.", extra={"metavar": "FOLDER"}),
    ] = Path("~/.waggle")
    name: Annotated[
        Name,
        Meta(
            description="What this node is called; each node on a machine needs its own.",
            extra={"metavar": "NAME", "expects": PLAIN},
        ),
    ] = "node"
    network: Annotated[
        Name,
        Meta(
            description="Name of the swarm; nodes of another name are left alone.",
            extra={"metavar": "NAME", "expects": PLAIN},
        ),
    ] = "waggle"
    listen: Annotated[
        Words,
        Meta(
            description="Multiaddr to listen on; by default every interface, and for nodes of up this machine only.",
            extra={"metavar": "ADDRESS"},
        ),
    ] = ()
    announce: Annotated[
        Words,
        Meta(
            description="Multiaddr to tell others in place of our own, where a router forwards a port.",
            extra={"metavar": "ADDRESS"},
        ),
    ] = ()
    join: Annotated[
        Words,
        Meta(description="Invite (waggle://...) or multiaddr of a node to join at.", extra={"metavar": "INVITE"}),
    ] = ()
    relays: Annotated[
        Words,
        Meta(
            description="Multiaddr, ending in /p2p/ID, of a node that relays for us, in place of those in the swarm.",
            extra={"flag": "--relay", "metavar": "ADDRESS"},
        ),
    ] = ()
    serve_as_relay: Annotated[
        bool, Meta(description="Relay for others, which costs this machine's bandwidth; needs a public address.")
    ] = False
    port_map: Annotated[bool, Meta(description="Ask the router (UPnP) to forward our port.")] = False
    multicast: Annotated[bool, Meta(description="Find nodes in the local network, and be found there.")] = True
    remember: Annotated[
        bool, Meta(description="Keep the ports and the last peers' addresses, and use them at the next start.")
    ] = True
    engines: Annotated[
        Words,
        Meta(
            description="In place of the bundled models: a model folder, or http://localhost:11434/v1#qwen3:8b.",
            extra={"flag": "--engine", "metavar": "ENGINE"},
        ),
    ] = ()
    key_variable: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z_][A-Za-z0-9_]{0,254})?\Z",
            description="Environment variable that holds the engine servers' API key.",
            extra={"metavar": "NAME", "expects": "the name of an environment variable, not the key itself"},
        ),
    ] = ""
    capacity: Annotated[int, Meta(ge=1, le=256, description="Pieces of work (answers, comparisons) done at once.")] = 8
    queue: Annotated[
        int, Meta(ge=0, le=4_096, description="Pieces of work that wait; past them the node says that it is full.")
    ] = 64
    queue_per_asker: Annotated[int, Meta(ge=0, le=4_096, description="Of those, the most that wait for one asker.")] = (
        32
    )
    price: Annotated[
        int,
        Meta(
            ge=0,
            le=2**32,
            description="Credits that we tell others to want for 1,000 tokens; nothing is paid yet.",
            extra={"metavar": "CREDITS"},
        ),
    ] = 0
    max_nodes: Annotated[
        int, Meta(ge=1, le=64, description="Most nodes that answer in one round, and most that compare.")
    ] = 7
    budget_tokens: Annotated[
        int, Meta(ge=0, le=2**40, description="Ceiling of a question in tokens, prompts included; 0 for none.")
    ] = 0
    budget_seconds: Annotated[
        float, Meta(ge=0.1, le=86_400.0, description="Ceiling of a question in seconds.", extra={"metavar": "SECONDS"})
    ] = 60.0
    min_confidence: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Abstain below this confidence.", extra={"metavar": "P"})
    ] = 0.5
    hedge_factor: Annotated[
        float,
        Meta(
            ge=1.0,
            le=100.0,
            description="Double a proposer that takes this many times as long as expected.",
            extra={"metavar": "TIMES"},
        ),
    ] = 3.0
    log_level: Annotated[
        Level, Meta(description="What the node's log holds: debug, info, warning or error.", extra={"metavar": "LEVEL"})
    ] = "warning"
    log_format: Annotated[
        Form,
        Meta(
            description="How log lines are written: pretty, or json with one object a line.", extra={"metavar": "FORM"}
        ),
    ] = "pretty"
    log_prompts: Annotated[bool, Meta(description="Log the beginning of questions too, which may be private.")] = False
    history: Annotated[
        Kept,
        Meta(
            description="What is kept of past rounds: all, answers (no question's words), or off.",
            extra={"metavar": "WHAT"},
        ),
    ] = "all"
    gateway_port: Annotated[
        int, Meta(ge=NO_PORT, le=65_535, description="Port of the gateway; 0 for any free one, -1 for no gateway.")
    ] = NO_PORT
    gateway_host: Annotated[
        Word,
        Meta(
            description="Address that the gateway listens on; other than this machine's own needs API keys.",
            extra={"metavar": "ADDRESS"},
        ),
    ] = "127.0.0.1"
    gateway_hosts: Annotated[
        Words,
        Meta(
            description="Name, besides its address, by which programs may call the gateway (the Host header).",
            extra={"flag": "--gateway-name", "metavar": "NAME"},
        ),
    ] = ()
    gateway_origins: Annotated[
        Words,
        Meta(
            description="Web page that may call the gateway from a browser (https://example.org); none by default.",
            extra={"flag": "--gateway-origin", "metavar": "ORIGIN"},
        ),
    ] = ()
    gateway_open_metrics: Annotated[
        bool, Meta(description="Show /metrics and the API's description without a key, where keys are in use.")
    ] = False
