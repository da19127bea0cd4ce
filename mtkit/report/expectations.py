"""What a recipe expects of its run, beside what came out. Changes no result and no exit code."""

from collections.abc import Mapping
from dataclasses import dataclass

from mtkit.config.expect import Expectation


@dataclass(frozen=True)
class Outcome:
    """One expected figure and what became of it.

    Attributes:
        figure: its name, as in the recipe: `test.bleu`, `minutes`.
        measured: what came out, or None if this run does not tell.
    """

    figure: str
    expected: Expectation
    measured: float | None

    @property
    def verdict(self) -> str:
        """`met`, `not met` or `not measured`."""
        if self.measured is None:
            return "not measured"
        return "met" if self.expected.met(self.measured) else "not met"


def compare(expect: Mapping[str, str], figures: Mapping[str, float]) -> tuple[Outcome, ...]:
    """Put what is expected beside what was measured, in the recipe's order."""
    return tuple(Outcome(name, Expectation.parse(text), figures.get(name)) for name, text in expect.items())


def table(outcomes: tuple[Outcome, ...]) -> list[str]:
    """The comparison for people, a line a figure."""
    rows = [
        (item.figure, f"expected {item.expected}", f"measured {shown(item.measured)}", item.verdict)
        for item in outcomes
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def shown(value: float | None) -> str:
    """A figure as a report writes it."""
    if value is None:
        return "–"
    return f"{value:,.0f}" if isinstance(value, int) or abs(value) >= 1000 else f"{value:.2f}"
