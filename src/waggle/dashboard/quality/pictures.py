"""Pictures of quality: bars with intervals for how often a strategy is right, and the calibration curve."""

from collections.abc import Sequence

from waggle.core.asking import COMMITTEE
from waggle.dashboard.frame.elements import drawing, shape, words
from waggle.dashboard.frame.words import percent
from waggle.dashboard.quality.report import Accuracy, CurvePoint

WIDTH, ROW, LEFT, RIGHT = 410.0, 34.0, 112.0, 54.0
SIDE, MARGIN = 320.0, 54.0


def draw_accuracy(strategies: Sequence[Accuracy]) -> None:
    """One bar a strategy; the line on it is the 95 % interval."""
    height = ROW * len(strategies) + 22
    said = ", ".join(f"{each.name} {percent(each.right)}" for each in strategies)
    span = WIDTH - LEFT - RIGHT
    with drawing(WIDTH, height, f"Share of right answers: {said}", "accuracy"):
        for share in (0.0, 0.25, 0.5, 0.75, 1.0):
            x = LEFT + span * share
            shape("line", "axis", x1=x, x2=x, y1=0.0, y2=height - 20)
            words(percent(share), "soft mid", "text", x=f"{x:.1f}", y=f"{height - 5:.1f}")
        for place, each in enumerate(strategies):
            y = ROW * place + 6
            kind = "barshape swarm" if each.name == COMMITTEE else "barshape"
            words(each.name, "end", "text", x=f"{LEFT - 10}", y=f"{y + 15:.1f}")
            shape("rect", kind, x=LEFT, y=y, width=max(1.0, span * each.right), height=ROW - 13, rx=4.0)
            middle = y + (ROW - 13) / 2
            shape("line", "whisker", x1=LEFT + span * each.low, x2=LEFT + span * each.high, y1=middle, y2=middle)
            words(percent(each.right), "", "text", x=f"{LEFT + span + 8:.1f}", y=f"{y + 15:.1f}")


def draw_curve(points: Sequence[CurvePoint]) -> None:
    """Confidence against the share that was right; on the dashed line the confidence is what it says."""
    span = SIDE - MARGIN - 14
    most = max((point.questions for point in points), default=1)
    said = ", ".join(f"{percent(point.confidence)} sure: {percent(point.right)} right" for point in points)

    def place(x: float, y: float) -> tuple[float, float]:
        return MARGIN + span * x, 14 + span * (1 - y)

    with drawing(SIDE, SIDE, f"Calibration curve: {said}", "curve-picture"):
        for share in (0.0, 0.5, 1.0):
            (x, low), (left, y) = place(share, 0), place(0, share)
            shape("line", "axis", x1=x, x2=x, y1=14.0, y2=low)
            shape("line", "axis", x1=left, x2=left + span, y1=y, y2=y)
            words(percent(share), "soft mid", "text", x=f"{x:.1f}", y=f"{low + 15:.1f}")
            words(percent(share), "soft end", "text", x=f"{left - 5:.1f}", y=f"{y + 4:.1f}")
        (x1, y1), (x2, y2) = place(0, 0), place(1, 1)
        shape("line", "ideal", x1=x1, y1=y1, x2=x2, y2=y2)
        path = " ".join("{:.1f},{:.1f}".format(*place(point.confidence, point.right)) for point in points)
        shape("polyline", "curve", points=path)
        for point in points:
            x, y = place(point.confidence, point.right)
            shape("circle", "point", cx=x, cy=y, r=4 + 7 * (point.questions / most) ** 0.5)
        words("confidence stated", "soft mid", "text", x=f"{MARGIN + span / 2:.1f}", y=f"{SIDE - 3:.1f}")
        middle = f"{14 + span / 2:.1f}"
        words("share that was right", "soft mid", "text", x="11", y=middle, transform=f"rotate(-90 11 {middle})")
