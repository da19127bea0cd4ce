"""How length enters search: what scores are made of, and the limits. Light: no torch."""

import math

from mtkit.config.search import SearchSettings


def length_penalty(tokens: int, alpha: float) -> float:
    """What a log probability is divided by: ((5 + T) / 6)^alpha.

    It grows with length, so that a long translation is not beaten just for having more factors below 1.

    Args:
        tokens: T, EOS counted.
        alpha: 0 divides by 1.
    Source: Wu et al. 2016, equation 14.
    """
    return _power((5.0 + tokens) / 6.0, alpha)


def average_penalty(tokens: int, alpha: float) -> float:
    """What a log probability is divided by: T^alpha; with alpha 1 the score is the mean of the tokens'.

    Args:
        tokens: T, EOS counted.
        alpha: 0 divides by 1.
    Source: Koehn and Knowles 2017, section 3.6 (alpha 1); Jean et al. 2015.
    """
    return _power(max(tokens, 1), alpha)


def _power(base: float, exponent: float) -> float:
    """base^exponent; infinite where it is beyond all numbers."""
    try:
        return float(base**exponent)
    except OverflowError:
        return math.inf


def score_of(log_probability: float, tokens: int, settings: SearchSettings) -> float:
    """What hypotheses are ranked by: the log probability with its length made up for.

    `reward` adds `length_penalty` nats for each token: He et al. 2016 (word reward).

    Args:
        log_probability: of a whole hypothesis, in nats.
        tokens: T, EOS counted.
        settings: the penalty and its form.
    """
    strength = settings.length_penalty
    if settings.length_penalty_form == "reward":
        return log_probability + strength * tokens
    if settings.length_penalty_form == "average":
        return log_probability / average_penalty(tokens, strength)
    return log_probability / length_penalty(tokens, strength)


def length_limit(source_tokens: int, settings: SearchSettings, max_tokens: int | None = None) -> int:
    """Most target tokens, EOS counted: factor times source tokens, rounded down, plus extra.

    Args:
        source_tokens: tokens of the source without EOS.
        settings: factor and extra.
        max_tokens: what the model's positions allow, or None.
    """
    limit = int(settings.max_length_factor * source_tokens) + settings.max_length_extra
    return limit if max_tokens is None else min(limit, max_tokens)


def least_length(source_tokens: int, settings: SearchSettings) -> int:
    """Fewest target tokens, EOS counted: factor times source tokens, rounded down, plus extra."""
    return int(settings.min_length_factor * source_tokens) + settings.min_length_extra
