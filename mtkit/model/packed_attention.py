"""Attention over packed batches: each sentence over itself, or over its source, without padding or masks.

On a GPU this is torch's attention of variable length. On a CPU it is a slow and simple reference with which
nobody trains: it lets tests compare packed batches with padded ones where there is no GPU.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from mtkit.batches.packed import Layout


def attend_packed(
    query: Tensor, key: Tensor, value: Tensor, queries: Layout, keys: Layout, *, causal: bool = False
) -> Tensor:
    """Attention of every query over the keys of its own sentence.

    Args:
        query: [N, H, K].
        key: [M, G, K].
        value: [M, G, K].
        queries: where the sentences of the N rows lie.
        keys: where the same sentences' M rows lie.
        causal: a row sees those up to itself only; queries and keys are the same rows.

    Returns:
        The heads side by side, [N, H * K].
    """
    if query.device.type == "cpu":
        return _reference(query, key, value, queries, keys, causal)
    return _of_variable_length(query, key, value, queries, keys, causal)


def _of_variable_length(
    query: Tensor, key: Tensor, value: Tensor, queries: Layout, keys: Layout, causal: bool
) -> Tensor:
    """torch's own; what it cannot do, `training/packing.py` knows."""
    from torch.nn.attention.varlen import varlen_attn  # loads torch's compiler, seconds a CPU need not wait

    heads = varlen_attn(
        query,
        key,
        value,
        queries.starts,
        keys.starts,
        queries.longest,
        keys.longest,
        window_size=(-1, 0) if causal else (-1, -1),
        enable_gqa=query.size(1) != key.size(1),
    )
    assert isinstance(heads, Tensor)
    return heads.flatten(1)  # [N, H * K]


def _reference(
    query: Tensor, key: Tensor, value: Tensor, queries: Layout, keys: Layout, causal: bool
) -> Tensor:
    """All rows over all rows, those of other sentences masked: N x M numbers a head."""
    may_attend = _sentences(queries)[:, None] == _sentences(keys)  # [N, M]
    if causal:
        may_attend = may_attend & (queries.positions[:, None] >= keys.positions)
    heads = F.scaled_dot_product_attention(
        query.transpose(0, 1).unsqueeze(0),  # [1, H, N, K]
        key.transpose(0, 1).unsqueeze(0),  # [1, G, M, K]
        value.transpose(0, 1).unsqueeze(0),
        attn_mask=may_attend,
        enable_gqa=query.size(1) != key.size(1),
    )  # [1, H, N, K]
    return heads.squeeze(0).transpose(0, 1).flatten(1)  # [N, H * K]


def _sentences(layout: Layout) -> Tensor:
    """The number of each row's sentence, from 1. [M]"""
    rows = torch.arange(layout.positions.size(0), dtype=layout.starts.dtype)
    return torch.searchsorted(layout.starts, rows, right=True)
