"""Forced decoding: the log probability of given translations."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mtkit.model.evaluating import evaluating
from mtkit.model.transformer import Transformer
from mtkit.model.workers import ALONE, Workers
from mtkit.search.batching import Ids, in_batches, padded
from mtkit.search.beam import BATCH_TOKENS
from mtkit.subword.vocabulary import BOS, EOS


def log_probabilities(
    model: Transformer,
    sources: Sequence[Ids],
    targets: Sequence[Ids],
    batch_tokens: int = BATCH_TOKENS,
    workers: Workers = ALONE,
) -> list[float]:
    """log P(target | source) of each pair in nats, EOS included: the sum over its tokens.

    It is what `search` reports as `log_probability` of the same finished hypothesis.

    Args:
        model: the model.
        sources: ids of each source, without EOS.
        targets: ids of each target, without BOS and EOS.
        batch_tokens: tokens of the longer side read at once; changes speed and memory.
        workers: read batches side by side.

    Raises:
        ModelError: a side is longer than the model's positions.
    """
    lengths = [max(len(source), len(target)) + 1 for source, target in zip(sources, targets, strict=True)]

    def of_batch(numbers: list[int]) -> list[float]:
        return _batch(model, [sources[n] for n in numbers], [targets[n] for n in numbers]).tolist()

    with evaluating(model):
        return in_batches(of_batch, lengths, batch_tokens, workers)


@torch.inference_mode()
def _batch(model: Transformer, sources: Sequence[Ids], targets: Sequence[Ids]) -> Tensor:
    """Log probabilities of pairs side by side, [B]."""
    source, source_is_token = padded([[*ids, EOS] for ids in sources], model.device)
    target_in, _ = padded([[BOS, *ids] for ids in targets], model.device)
    target_out, target_is_token = padded([[*ids, EOS] for ids in targets], model.device)
    hidden = model.decode(target_in, model.encode(source, source_is_token), source_is_token)  # [B, T, D]
    # Only real tokens reach the output layer, the largest product of a small model.
    logits = model.output(hidden[target_is_token]).float()  # [tokens, V]
    wanted = logits.gather(1, target_out[target_is_token].unsqueeze(1)).squeeze(1)  # [tokens]
    each = torch.zeros_like(target_out, dtype=torch.float)
    each[target_is_token] = wanted - logits.logsumexp(-1)
    return each.sum(1)  # [B]
