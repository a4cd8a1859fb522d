"""Links between two nodes, each as two ends; what goes on over a link is told when it breaks."""

from typing import Protocol

from waggle.core.ids import NodeId


class Work(Protocol):
    """Something under way over a link: a call we made, a call we serve, a stream."""

    def broke(self) -> None:
        """The link is gone."""
        ...


class End:
    """One node's end of a link; `table` is the node's own list of links, `work` what to tell of a break, in order."""

    __slots__ = ("open", "peer", "table", "twin", "work")

    def __init__(self, table: dict[NodeId, "End"], peer: NodeId) -> None:
        """An end without its other end yet; in place of an older link to the same peer."""
        self.open = True
        self.peer = peer
        self.table = table
        self.twin = self
        self.work: dict[Work, None] = {}
        table[peer] = self

    def break_off(self) -> None:
        """Close this end and tell all work on it; twice is harmless."""
        if not self.open:
            return
        self.open = False
        if self.table.get(self.peer) is self:
            del self.table[self.peer]
        work, self.work = self.work, {}
        for piece in work:
            piece.broke()

    def sever(self) -> None:
        """Break both ends at this moment."""
        self.break_off()
        self.twin.break_off()


def link(a: NodeId, links_of_a: dict[NodeId, End], b: NodeId, links_of_b: dict[NodeId, End]) -> End:
    """Join two nodes; gives the end of `a`."""
    near, far = End(links_of_a, b), End(links_of_b, a)
    near.twin, far.twin = far, near
    return near
