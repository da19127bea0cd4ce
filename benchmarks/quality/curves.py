"""What the points say: when a score was reached, the table, the conclusion. Pure functions over points."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.quality.points import Point

METRICS = ("bleu", "chrf")
NAMES = {"bleu": "BLEU", "chrf": "chrF"}
TOLERATED = 0.03  # share by which a training may miss its minutes before the table says so


@dataclass(frozen=True)
class Reached:
    """When a curve reached a score.

    Attributes:
        minutes: of training; None: never, as far as was measured.
        how: `at most`: the first point is above it already; `between`: on the line between two points.
    """

    minutes: float | None
    how: Literal["at most", "between", "not reached"]

    def __str__(self) -> str:
        if self.minutes is None:
            return "not reached"
        return f"{'at most ' if self.how == 'at most' else ''}{self.minutes:.1f} minutes"


def curve(points: Sequence[Point], system: str) -> list[Point]:
    """One system's points by time."""
    return sorted((point for point in points if point.system == system), key=lambda point: point.minutes)


def systems(points: Sequence[Point]) -> list[str]:
    """The names of all systems, our own first, then peers."""
    names = {point.system: point.peer for point in points}
    return sorted(names, key=lambda name: (names[name], name))


def reached_after(points: Sequence[Point], score: float, metric: str) -> Reached:
    """The training time after which a score was first reached.

    Between two points the score is taken to grow on a straight line. Curves of quality flatten with time, so
    the true one lies above that line: the time that is told is rather too long than too short.

    Args:
        points: of one system, by time.
        score: to be reached.
        metric: `bleu` or `chrf`.
    """
    before: Point | None = None
    for point in points:
        value = point.scores[metric]
        if value >= score:
            if before is None:
                return Reached(point.minutes, "at most")
            start = before.scores[metric]
            share = (score - start) / (value - start)
            return Reached(before.minutes + share * (point.minutes - before.minutes), "between")
        before = point
    return Reached(None, "not reached")


def best_peer(points: Sequence[Point], asked_minutes: float, metric: str) -> Point | None:
    """The peer that scored best at a time; None if no peer was measured there."""
    there = [point for point in points if point.peer and point.asked_minutes == asked_minutes]
    return max(there, key=lambda point: point.scores[metric], default=None)


def table(points: Sequence[Point], minutes: Sequence[float]) -> list[str]:
    """A Markdown table: a row a system, BLEU and chrF at each time."""
    heads = [f"{NAMES[metric]} {asked:g} min" for asked in minutes for metric in METRICS]
    rows = [f"| system | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for name in systems(points):
        cells = [_cell(curve(points, name), asked, metric) for asked in minutes for metric in METRICS]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return rows


def deviations(points: Sequence[Point]) -> list[str]:
    """A line for each training that missed its minutes by more than is tolerated."""
    return [
        f"{point.system} at {point.asked_minutes:g} minutes had {point.minutes:.2f} ({point.deviation:+.1%})"
        for point in points
        if abs(point.deviation) > TOLERATED
    ]


def conclusions(points: Sequence[Point], minutes: Sequence[float]) -> list[str]:
    """When each of our own systems reached what the best peer had after the longest time."""
    longest, lines = max(minutes), []
    for metric in METRICS:
        peer = best_peer(points, longest, metric)
        if peer is None:
            continue
        goal = peer.scores[metric]
        for name in systems(points):
            own = curve(points, name)
            if not own[0].peer:
                lines.append(
                    f"{NAMES[metric]} {goal:.2f}, the best peer's ({peer.system}) after {peer.minutes:.1f}"
                    f" minutes: {name} {_reaching(reached_after(own, goal, metric), peer.minutes)}"
                )
    return lines


def _reaching(reached: Reached, peer_minutes: float) -> str:
    if reached.minutes is None:
        return "did not reach it"
    return f"reached it after {reached}, {reached.minutes / peer_minutes:.2f} of the time"


def _cell(points: Sequence[Point], asked: float, metric: str) -> str:
    return next((f"{point.scores[metric]:.2f}" for point in points if point.asked_minutes == asked), "–")
