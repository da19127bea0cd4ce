"""How length enters search: the penalty that scores are divided by, and the limit. Light: no torch."""

from mtkit.config.search import SearchSettings


def length_penalty(tokens: int, alpha: float) -> float:
    """What a log probability is divided by: ((5 + T) / 6)^alpha.

    It grows with length, so that a long translation is not beaten just for having more factors below 1.

    Args:
        tokens: T, EOS counted.
        alpha: 0 divides by 1.
    Source: Wu et al. 2016, equation 14.
    """
    return float(((5.0 + tokens) / 6.0) ** alpha)


def length_limit(source_tokens: int, settings: SearchSettings, max_tokens: int | None = None) -> int:
    """Most target tokens, EOS counted: factor times source tokens, rounded down, plus extra.

    Args:
        source_tokens: tokens of the source without EOS.
        settings: factor and extra.
        max_tokens: what the model's positions allow, or None.
    """
    limit = int(settings.max_length_factor * source_tokens) + settings.max_length_extra
    return limit if max_tokens is None else min(limit, max_tokens)
