"""The curves as a picture: score over minutes, a panel a metric. Needs matplotlib (extra `bench`)."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.quality.curves import METRICS, NAMES, curve, systems
from benchmarks.quality.points import Point

# Okabe and Ito 2008: colours that people with any colour vision can tell apart; ours is always the first.
OWN = "#0072B2"
PEERS = ("#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"


def can_draw() -> bool:
    """True if matplotlib is installed."""
    return find_spec("matplotlib") is not None


def draw(points: Sequence[Point], path: Path, title: str) -> None:
    """Write a PNG with a line a system.

    Args:
        points: of all systems.
        path: of the picture.
        title: corpus and machine, in a line.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.6), dpi=150, layout="constrained")
    FigureCanvasAgg(figure)  # no window, whatever the environment says
    figure.suptitle(title, fontsize=10)
    for number, metric in enumerate(METRICS):
        axes = figure.add_subplot(1, len(METRICS), number + 1)
        _panel(axes, points, metric)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, format="png")


def _panel(axes: Any, points: Sequence[Point], metric: str) -> None:
    peers = 0
    for number, name in enumerate(systems(points)):
        line = curve(points, name)
        own = not line[0].peer
        colour = OWN if own else PEERS[peers % len(PEERS)]
        peers += not own
        axes.plot(
            [point.minutes for point in line],
            [point.scores[metric] for point in line],
            marker=MARKERS[number % len(MARKERS)],
            color=colour,
            linewidth=2.2 if own else 1.3,
            label=name,
        )
    axes.set_xlabel("minutes of training, from the start of the command")
    axes.set_ylabel(f"{NAMES[metric]} of the test set, beam 5")
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)
    axes.grid(alpha=0.3)
    axes.legend(frameon=False, loc="lower right")
