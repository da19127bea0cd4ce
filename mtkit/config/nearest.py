"""What a misspelt word was meant to be.

A file of its own because comparing words takes longer to load than most commands take to begin: who only
needs it where something is wrong loads it there.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`Did you mean 'beam_size'?`, or nothing where no known word is near."""
    near = nearest(str(word), list(known))
    return f"Did you mean '{near}'?" if near else ""


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known word nearest to a misspelt one, or None."""
    folded = {candidate.lower().replace("-", "_"): candidate for candidate in known}
    near = get_close_matches(word.lower().replace("-", "_"), folded, n=1, cutoff=0.65)
    return folded[near[0]] if near else None
