"""How a gateway is run: where it listens, and the most that it takes on."""

from dataclasses import dataclass

KIB, MIB = 1024, 1024 * 1024


@dataclass(frozen=True)
class GatewayOptions:
    """Limits hold for the whole gateway where they do not say otherwise; those of one key are kept with the key.

    `max_running` requests are answered at once, `max_waiting` wait in line (`max_waiting_per_key` of one key), the rest
    is told when to come again. `min_confidence` and `budget_seconds` hold for a question whose request does not say,
    `budget_tokens` also where it asks for more; None is no ceiling.
    """

    host: str = "127.0.0.1"
    port: int = 8080
    allowed_hosts: tuple[str, ...] = ()
    """Names besides the address itself by which the gateway may be called (the Host header)."""
    allowed_origins: tuple[str, ...] = ()
    """Web pages that may call it from a browser; none by default, and never all."""
    open_metrics: bool = False
    """Whether /metrics and the API's description need no key where keys are in use."""
    max_body_bytes: int = 2 * MIB
    max_running: int = 64
    max_waiting: int = 256
    max_waiting_per_key: int = 64
    request_seconds: float = 120.0
    keep_alive_seconds: float = 5.0
    drain_seconds: float = 20.0
    min_confidence: float = 0.5
    budget_seconds: float = 60.0
    budget_tokens: int | None = None
    max_tokens: int = 256
