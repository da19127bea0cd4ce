"""What is known of each token of a hypothesis. Light: no torch, so that every engine can speak of it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class TokenScores:
    """The tokens of a hypothesis, one by one; EOS is the last of one that is finished.

    Attributes:
        log_probabilities: log P(token | source, tokens before) in nats; their sum is the hypothesis'.
        attention: how much each token attended to each source token, EOS last, each row a sum of 1;
            empty if nobody asked.
    """

    log_probabilities: tuple[float, ...]
    attention: tuple[tuple[float, ...], ...] = ()

    def aligned(self) -> tuple[int, ...]:
        """Which source token, from 0, each token attended to most; the source's EOS left out of account."""
        return tuple(
            max(range(len(row) - 1), key=row.__getitem__) if len(row) > 1 else 0 for row in self.attention
        )
