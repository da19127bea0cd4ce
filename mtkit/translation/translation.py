"""What a translation is: the text, its scores, what is known against it; and how it is written as JSON."""

import json
import re
from dataclasses import dataclass
from typing import Any

from mtkit.translation.scored_pieces import ScoredPieces

# whatever some program takes for the end of a line: an output line holds none of them
_LINE_BREAK = re.compile("[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")
_JSON_LINE_BREAK = re.compile("[\x7f-\x9f\u2028\u2029]")  # what json.dumps leaves as it is


@dataclass(frozen=True)
class Candidate:
    """One of the n best translations of a line.

    Attributes:
        text: the translation, one line.
        score: log-probability divided by the length penalty; of a split line the sum over its parts.
        log_probability: of the whole translation given the source, in nats, EOS included.
        tokens: how many target tokens, EOS not counted.
        scored: piece by piece, if somebody asked for that.
    """

    text: str
    score: float
    log_probability: float
    tokens: int
    scored: ScoredPieces | None = None


@dataclass(frozen=True)
class Translation:
    """The translation of one line.

    Attributes:
        source: the line as it came.
        n_best: what was found, best first; at least one.
        flags: what is known against it, names of `flags.FLAGS`.
    """

    source: str
    n_best: tuple[Candidate, ...]
    flags: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The best translation."""
        return self.n_best[0].text

    @property
    def score(self) -> float:
        """The score of the best translation."""
        return self.n_best[0].score

    @property
    def log_probability(self) -> float:
        """The log-probability of the best translation, in nats."""
        return self.n_best[0].log_probability

    @property
    def tokens(self) -> int:
        """The target tokens of the best translation, EOS not counted."""
        return self.n_best[0].tokens

    def to_json(self, line: int, *, with_n_best: bool = False) -> str:
        """As `record`, as one line of JSON."""
        return json_line(self.record(line, with_n_best=with_n_best))

    def record(self, line: int, *, with_n_best: bool = False) -> dict[str, Any]:
        """The translation for JSON.

        Args:
            line: number of the line, from 1.
            with_n_best: add the list `n_best` of {translation, score, log_probability, tokens}.
        """
        record: dict[str, Any] = {"line": line, "source": self.source}
        record |= _record(self.n_best[0]) | {"flags": list(self.flags)}
        if with_n_best:
            record["n_best"] = [_record(candidate) for candidate in self.n_best]
        return record


def _record(candidate: Candidate) -> dict[str, Any]:
    return {
        "translation": candidate.text,
        "score": round(candidate.score, 6),
        "log_probability": round(candidate.log_probability, 6),
        "tokens": candidate.tokens,
        **(candidate.scored.record() if candidate.scored is not None else {}),
    }


def json_line(record: dict[str, Any]) -> str:
    """JSON that stays on one line for every reader: U+2028, U+0085 and the like are escaped."""
    text = json.dumps(record, ensure_ascii=False)
    return _JSON_LINE_BREAK.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def one_line(text: str) -> str:
    """The text with each line break of any kind replaced by a space."""
    return _LINE_BREAK.sub(" ", text)
