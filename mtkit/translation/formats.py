"""How translations are written: as text, with scores, n best, as JSON; and whether a line is of a format.

Between columns stands a tab; one inside a translation, which kept it from its source, is a space there.
"""

import re
from dataclasses import dataclass
from typing import Any

from mtkit.translation.translation import Translation, json_line

_SCORE = rb"-?(?:\d+\.\d{4}|inf|nan)"
_SCORED = re.compile(_SCORE + rb"\t")
_RANKED = re.compile(rb"(\d+)\t(?:" + _SCORE + rb")?\t")
_JSON = re.compile(rb'\{"line": (\d+), ')


@dataclass(frozen=True)
class Format:
    """What stands in the output for a translation.

    Attributes:
        scores: the score and a tab before it.
        n_best: so many translations, each with its rank; None: the best alone.
        as_json: one JSON object, whatever else is wanted.
        is_noted: what is there already is known to be of this format, so that any line can be plain text.
    """

    scores: bool = False
    n_best: int | None = None
    as_json: bool = False
    is_noted: bool = False

    @property
    def name(self) -> str:
        """As the command's options say it."""
        if self.as_json:
            return "--json" + (f" --n-best {self.n_best}" if self.n_best is not None else "")
        if self.n_best is not None:
            return f"--n-best {self.n_best}"
        return "--scores" if self.scores else "plain text"

    @property
    def lines_each(self) -> int:
        """Output lines of a translation."""
        return 1 if self.as_json or self.n_best is None else self.n_best

    def written(self, translation: Translation, line: int, **more: Any) -> list[str]:
        """The output lines of one translation, `lines_each` of them.

        Args:
            translation: what is written.
            line: number of its line, from 1.
            more: what JSON says beside what a translation knows of itself.
        """
        if self.as_json:
            return [json_line(translation.record(line, with_n_best=self.n_best is not None) | more)]
        if self.n_best is not None:
            found = [
                f"{rank}\t{candidate.score:.4f}\t{_column(candidate.text)}"
                for rank, candidate in enumerate(translation.n_best, start=1)
            ]
            return found + [f"{rank}\t\t" for rank in range(len(found) + 1, self.n_best + 1)]
        if self.scores:
            return [f"{translation.score:.4f}\t{_column(translation.text)}"]
        return [translation.text]

    def fits(self, written: bytes, line: int, rank: int) -> bool:
        """True if bytes can be an output line of this format.

        Args:
            written: the output line.
            line: number of the input line that it would belong to, from 1.
            rank: which of the translation's lines it would be, from 1.
        """
        if self.as_json:
            found = _JSON.match(written)
            has_n_best = b', "n_best": [' in written
            return found is not None and int(found[1]) == line and has_n_best == (self.n_best is not None)
        if self.n_best is not None:
            found = _RANKED.match(written)
            return found is not None and int(found[1]) == rank
        if self.scores:
            return _SCORED.match(written) is not None
        found = _JSON.match(written)
        return self.is_noted or found is None or int(found[1]) != line


def _column(text: str) -> str:
    return text.replace("\t", " ")
