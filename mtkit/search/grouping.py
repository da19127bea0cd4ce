"""Which sentences are searched together: those of like length, within a budget of tokens. Light: no torch."""

from collections.abc import Sequence


def token_batches(lengths: Sequence[int], batch_tokens: int, sentences: int | None = None) -> list[list[int]]:
    """Cut sentences into batches whose padded size is at most `batch_tokens`, the longest first.

    Sorted by length, so that little is padding; equal lengths keep their order. A sentence longer than the
    budget is a batch of its own. The longest come first, so that a lack of memory shows at once.

    Args:
        lengths: tokens of each sentence.
        batch_tokens: most rows times longest length.
        sentences: most of a batch; None: any number.

    Returns:
        Batches of positions in `lengths`, each position once.
    """
    batches: list[list[int]] = []
    widest = 0
    for number in sorted(range(len(lengths)), key=lambda n: (-lengths[n], n)):
        if not batches or (len(batches[-1]) + 1) * widest > batch_tokens or len(batches[-1]) == sentences:
            batches.append([])
            widest = lengths[number]
        batches[-1].append(number)
    return batches
