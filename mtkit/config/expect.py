"""Expectations of a recipe: what a run's scores and minutes should come to, compared after the run."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

_NUMBER = r"(-?\d+(?:\.\d+)?)"
_FORMS: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], tuple[float, float]]], ...] = (
    (re.compile(rf"{_NUMBER} to {_NUMBER}"), lambda m: (float(m[1]), float(m[2]))),
    (re.compile(rf"at most {_NUMBER}"), lambda m: (-math.inf, float(m[1]))),
    (re.compile(rf"at least {_NUMBER}"), lambda m: (float(m[1]), math.inf)),
)
MINUTES = "minutes"


@dataclass(frozen=True)
class Expectation:
    """A range that a figure of a run should fall into.

    Attributes:
        low: smallest value that meets it; minus infinity where there is none.
        high: largest value that meets it; infinity where there is none.
        text: as written in the recipe.
    """

    low: float
    high: float
    text: str

    @classmethod
    def parse(cls, text: str) -> "Expectation":
        """Read `32.0 to 34.5`, `at most 15` or `at least 25`.

        Raises:
            ValueError: it is none of these, or the range is empty.
        """
        spaced = " ".join(text.split())
        for form, bounds in _FORMS:
            if match := form.fullmatch(spaced):
                low, high = bounds(match)
                if low > high:
                    raise ValueError("expected 'LOW to HIGH' with LOW not above HIGH")
                return cls(low, high, spaced)
        raise ValueError("expected 'LOW to HIGH', 'at most X' or 'at least X'")

    def met(self, value: float) -> bool:
        """True if `value` lies in the range, ends included."""
        return self.low <= value <= self.high

    def __str__(self) -> str:
        """As written in the recipe."""
        return self.text


def checked(text: str) -> str:
    """An expectation's text, spaced as it should be; a validator of settings."""
    return str(Expectation.parse(text))
