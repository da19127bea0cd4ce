"""Forced decoding by CTranslate2: how probable a converted model finds the tokens of given targets."""

from collections.abc import Sequence
from typing import Any

from mtkit.translation.ctranslate2_loading import readable
from mtkit.translation.failures import waited
from mtkit.translation.replicas import begin_batches, finished_batches

Pair = tuple[list[str], list[str]]  # pieces of source and target


def with_end(
    translator: Any, pairs: Sequence[Pair], batches: Sequence[list[int]]
) -> dict[int, Sequence[float]]:
    """Log probabilities of every token of the pairs of some batches, by their places; that of EOS last.

    A target's last piece is read, for EOS: there must be a position for it.

    Args:
        translator: CTranslate2's, loaded.
        pairs: pieces of sources and targets.
        batches: places of pairs that are read at once.
    """

    def begin(numbers: list[int]) -> Any:
        return translator.score_batch(
            [pairs[number][0] for number in numbers],
            [pairs[number][1] for number in numbers],
            max_input_length=0,
            asynchronous=True,
        )

    values: dict[int, Sequence[float]] = {}
    for numbers, results in finished_batches(begin_batches(begin, batches)):
        values.update((n, result.log_probs) for n, result in zip(numbers, results, strict=True))
    return values


def without_end(translator: Any, pair: Pair, ids: Sequence[int]) -> list[float]:
    """Log probabilities of every token of a target that takes all positions, so that its last is not read.

    Args:
        translator: CTranslate2's, loaded.
        pair: pieces of source and target.
        ids: of the target.
    """
    import numpy as np  # which no translation of a line waits for

    source, target = pair
    [result] = translator.translate_batch(
        [source],
        target_prefix=[target],
        beam_size=1,
        max_decoding_length=len(target),
        max_input_length=0,
        return_logits_vocab=True,
        asynchronous=True,
    )
    each = []
    for logits, one in zip(waited(result).logits[0], ids, strict=True):
        of_all = np.array(readable(logits), dtype=np.float64).ravel()  # [V]
        each.append(float(of_all[one] - np.logaddexp.reduce(of_all)))
    return each
