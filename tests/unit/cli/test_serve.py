"""`waggle serve`: what its page says of the settings and of the log."""

import pytest

from waggle.cli.gateway import _words, values_of
from waggle.cli.serve import DEFAULT_PORT, _with_port
from waggle.node.config.load import load_settings
from waggle.node.observing.logs import LogLine


@pytest.mark.parametrize(
    ("flags", "port", "shown", "origin"),
    [
        ({}, None, DEFAULT_PORT, "default"),
        ({}, 9000, 9000, "--port"),
        ({"gateway_port": "9100"}, None, 9100, "--gateway-port"),
        ({"gateway_port": "9100"}, 9000, 9000, "--port"),
    ],
)
def test_a_port_is_told_with_where_it_came_from(
    flags: dict[str, object], port: int | None, shown: int, origin: str
) -> None:
    configuration = _with_port(load_settings(flags, environment={}), port)
    assert configuration.settings.gateway_port == shown
    assert values_of(configuration)["gateway_port"] == (shown, origin)


def test_numbers_of_a_log_line_have_the_digits_that_somebody_reads() -> None:
    line = LogLine(at=0.0, level="info", logger="waggle", message="round ended", facts={"seconds": 0.6866404, "n": 7})
    assert _words(line).endswith(" info    round ended seconds=0.6866 n=7")
