"""What a node sends when nothing happens, on links that lose messages: it must not grow with the swarm."""

import pytest

from tests.swarm.background import measure_background
from waggle.testing.clock import run_virtual


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twice_as_many_nodes_send_hardly_more_each(capsys: pytest.CaptureFixture[str]) -> None:
    (few, _), (many, _) = (run_virtual(measure_background(count, loss=0.05)) for count in (100, 200))
    with capsys.disabled():
        print(f"messages per node and second with 5 % loss: {few:.1f} among 100 nodes, {many:.1f} among 200")
    assert many < 1.5 * few
