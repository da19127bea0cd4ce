"""Markdown: tables, text that stays text, curves in a line. Nothing here knows what is reported."""

from collections.abc import Iterable, Sequence

BARS = "▁▂▃▄▅▆▇█"
SPECIAL = str.maketrans({character: f"\\{character}" for character in "\\`*_[]<>|#"})


def text(value: object) -> str:
    """Somebody's text, so that no character of it acts as Markdown; a line of any length stays one line."""
    return " ".join(str(value).translate(SPECIAL).split())


def table(header: Sequence[str], rows: Iterable[Sequence[object]], numbers: str = "") -> list[str]:
    """A Markdown table.

    Args:
        rows: cells that are already Markdown.
        numbers: a letter a column: `r` where it is aligned right, anything else left; shorter: left.
    """
    marks = ["---:" if numbers[column : column + 1] == "r" else "---" for column in range(len(header))]
    lines = [header, marks, *([str(cell) for cell in row] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def section(title: str, *blocks: Sequence[str]) -> list[str]:
    """A heading and its blocks, each followed by an empty line; nothing at all if every block is empty."""
    filled = [block for block in blocks if block]
    if not filled:
        return []
    lines = [f"## {title}", ""]
    for block in filled:
        lines += [*block, ""]
    return lines


def sparkline(values: Sequence[float], width: int = 60) -> str:
    """A curve in one line of bars, from the smallest value to the largest; long curves are thinned."""
    if not values:
        return ""
    if len(values) > width:
        values = [values[round(place * (len(values) - 1) / (width - 1))] for place in range(width)]
    low, high = min(values), max(values)
    step = (high - low) / (len(BARS) - 1)
    return "".join(BARS[round((value - low) / step)] if step else BARS[0] for value in values)
