"""A small internet on one machine: public hosts, NAT boxes and the hosts behind them, each a network namespace.

Everything is made inside namespaces of our own, named after the process that made them, and nothing outside is touched.
Needs root, the Debian packages iproute2 and iptables, and a kernel with namespaces, veth, bridges and NAT;
`can_make_networks` says what is missing. Several labs may exist at once. Links have no delay and lose nothing.
"""

from waggle.testing.netlab.lab import Lab, Nat, open_lab
from waggle.testing.netlab.machine import AgentFailed, Machine
from waggle.testing.netlab.namespaces import can_make_networks

__all__ = ["AgentFailed", "Lab", "Machine", "Nat", "can_make_networks", "open_lab"]
