"""What every reader yields: a sentence pair; and the error for there being none."""

from typing import NamedTuple

from mtkit.errors import DataError


class Pair(NamedTuple):
    """A sentence and its translation, one line each."""

    source: str
    target: str


def empty(name: object) -> DataError:
    """The error for a corpus without a line."""
    return DataError(
        "the corpus is empty",
        where=str(name),
        expected="at least one sentence pair",
        advice="Check that the right file is named and that it was written to its end.",
    )
