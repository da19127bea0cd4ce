"""What search finds. Light: no torch, so that every engine can speak of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """One translation of a sentence, in ids.

    Attributes:
        ids: target ids without BOS and EOS.
        log_probability: log P(hypothesis | source) in nats, EOS included if finished.
        score: what hypotheses are ranked by: log_probability / length penalty.
        finished: True if it ended with EOS, False if the length limit cut it.
    """

    ids: tuple[int, ...]
    log_probability: float
    score: float
    finished: bool

    @property
    def tokens(self) -> int:
        """T, its length in tokens, EOS counted if there is one."""
        return len(self.ids) + self.finished


def best_first(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """Finished before unfinished, then by score; equal scores by ids, so that the order never wavers."""
    return sorted(hypotheses, key=lambda found: (not found.finished, -found.score, found.ids))
