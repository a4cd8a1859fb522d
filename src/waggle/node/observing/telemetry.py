"""Optional spans for OpenTelemetry: a request, its rounds, their phases, and each ask, all in the trace of its id.

Without the packages, or without OTEL_EXPORTER_OTLP_ENDPOINT, nothing is even imported and nothing happens. The trace's
id is the request's, which is in every log line and envelope, too.
"""

import logging
import os
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Protocol

from waggle.core.round_values import Record

log = logging.getLogger(__name__)

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PACKAGE = "opentelemetry"


class Telemetry(Protocol):
    """Where spans go. Nothing here waits, but `close`."""

    def observe_request(self, request: str, *, route: str, status: int, at: float, seconds: float) -> None:
        """A request was answered, `at` seconds since 1970."""
        ...

    def observe_record(self, record: Record, *, request: str, at: float, within: bool = False) -> None:
        """A round that began `at` has ended; `within` a request whose span comes later."""
        ...

    def close(self) -> None:
        """Send what is left; at most a few seconds."""
        ...


class NoTelemetry:
    """Spans go nowhere."""

    def observe_request(self, request: str, *, route: str, status: int, at: float, seconds: float) -> None:
        """Nothing."""

    def observe_record(self, record: Record, *, request: str, at: float, within: bool = False) -> None:
        """Nothing."""

    def close(self) -> None:
        """Nothing."""


def make_telemetry(environment: Mapping[str, str] | None = None) -> Telemetry:
    """Spans to where the environment says, in OpenTelemetry's own variables; nowhere unless it does."""
    environment = os.environ if environment is None else environment
    if not environment.get(ENDPOINT) or environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return NoTelemetry()
    if find_spec(PACKAGE) is None:
        log.warning("%s is set, but its packages are not here: pip install 'waggle[telemetry]'", ENDPOINT)
        return NoTelemetry()
    try:
        from waggle.node.observing.spans import SpanTelemetry, otlp_exporter
    except ImportError:
        log.warning("the packages for %s are incomplete: pip install 'waggle[telemetry]'", ENDPOINT)
        return NoTelemetry()
    return SpanTelemetry(otlp_exporter(), service=environment.get("OTEL_SERVICE_NAME", "waggle"))
