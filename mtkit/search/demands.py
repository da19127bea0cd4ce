"""What is asked of translations beside the settings, in ids: how they begin, what they never say. Light."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, eq=False)  # compared by identity: tables are kept for each
class Banned:
    """What no translation may contain.

    Attributes:
        ids: pieces that are never produced.
        texts: texts in UTF-8 that never appear; a space at an end stands for a word's edge.
        spelt: what each id adds to the text, in UTF-8, a space before each word; needed for `texts`.
    """

    ids: tuple[int, ...] = ()
    texts: tuple[bytes, ...] = ()
    spelt: tuple[bytes, ...] = ()


@dataclass(frozen=True)
class Demands:
    """What is asked of the translations of some sources.

    Attributes:
        prefixes: ids that each translation begins with, one sequence a source; empty: none has any.
        banned: what none may contain; None: everything may be said.
    """

    prefixes: tuple[tuple[int, ...], ...] = ()
    banned: Banned | None = None

    @property
    def any(self) -> bool:
        """True if anything is asked."""
        return bool(self.prefixes) or self.banned is not None

    def prefix(self, number: int) -> tuple[int, ...]:
        """How the translation of a source must begin."""
        return self.prefixes[number] if self.prefixes else ()

    def of(self, numbers: Sequence[int]) -> "Demands":
        """The demands on some of the sources."""
        return Demands(tuple(self.prefixes[n] for n in numbers) if self.prefixes else (), self.banned)


NO_DEMANDS = Demands()
