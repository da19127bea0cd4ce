"""Attention: softmax(QKᵀ/√K)V with several heads, over the sentence itself or over the other one.

`G` is the number of key/value heads: G = H is multi-head attention, G < H grouped-query attention, where
H/G neighbouring query heads share one key/value head. Masks are True where attention is allowed.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkit.batches.packed import Layout
from mtkit.config.model import ModelSettings
from mtkit.model.dropout import dropout as dropped
from mtkit.model.packed_attention import attend_packed
from mtkit.model.positions import turned_positions
from mtkit.model.products import Linear


def attend(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    *,
    may_attend: Tensor | None = None,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """Attention of every query over the keys it may see.

    Args:
        query: [B, H, T, K].
        key: [B, G, S, K].
        value: [B, G, S, K].
        may_attend: True where attention is allowed, or what is added to the scores, broadcastable to
            [B, H, T, S]; None: everywhere.
        causal: position t sees positions up to t only; not together with `may_attend`.
        dropout: share of attention weights zeroed.

    Returns:
        The heads side by side, [B, T, H * K].
    Source: Vaswani et al. 2017, equation 1; Ainslie et al. 2023 for G < H.
    """
    if query.device.type == "cpu" and (dropout or query.dtype == torch.bfloat16):
        return _written_out(query, key, value, may_attend, causal, dropout)
    grouped = query.size(1) != key.size(1)
    heads = F.scaled_dot_product_attention(
        query, key, value, may_attend, dropout, is_causal=causal, enable_gqa=grouped
    )  # [B, H, T, K]
    return heads.transpose(1, 2).flatten(2)  # [B, T, H * K]


def _written_out(
    query: Tensor, key: Tensor, value: Tensor, may_attend: Tensor | None, causal: bool, share: float
) -> Tensor:
    """Attention step by step, for a CPU: where torch's own is not what is wanted.

    It would draw dropout from torch's one generator, not from the thread's own; and in bfloat16 its backward
    pass takes five times as long as in float32 (docs/log.md, 2026-11-29).
    """
    groups = key.size(1)
    grouped = query.reshape(query.size(0), groups, -1, *query.shape[2:])  # [B, G, H/G, T, K]
    scores = grouped @ key.unsqueeze(2).mT * query.size(-1) ** -0.5  # [B, G, H/G, T, S]
    if causal:
        scores = scores.masked_fill(torch.ones_like(scores[0, 0, 0], dtype=torch.bool).triu(1), -torch.inf)
    if may_attend is not None:
        scores = scores.masked_fill(~may_attend.unsqueeze(2), -torch.inf)
    weights = dropped(scores.softmax(dim=-1), share, training=True)
    heads = (weights @ value.unsqueeze(2)).flatten(1, 2)  # [B, H, T, K]
    return heads.transpose(1, 2).flatten(2)  # [B, T, H * K]


def attend_by_products(query: Tensor, keys: Tensor, values: Tensor, added: Tensor | None = None) -> Tensor:
    """Attention of a few queries in batched products, for a step of search on a CPU; M = B * G.

    Keys and values come from afar, and torch's own attention waits for them twice as long (docs/log.md).

    Args:
        query: [M, H/G * N, K].
        keys: [M, K, S].
        values: [M, S, K].
        added: to the scores, [M, 1, S]; None: nothing.

    Returns:
        [M, H/G * N, K].
    """
    scale = query.size(-1) ** -0.5
    if added is None:
        nothing = query.new_empty(1, 1, 1)  # not looked at
        scores = torch.baddbmm(nothing, query, keys, beta=0, alpha=scale)
    else:
        scores = torch.baddbmm(added, query, keys, alpha=scale)
    return torch.bmm(scores.softmax(-1), values)


def attend_from_few(query: Tensor, key: Tensor, value: Tensor, *, may_attend: Tensor | None = None) -> Tensor:
    """Attention of a few queries, as `attend`, for a step of search on a CPU.

    Args:
        query: [B, H, N, K].
        key: [B, G, S, K]; quick where [B * G, S, K] is a view of it.
        value: the same.
        may_attend: 0 where attention is allowed, -inf elsewhere, [B, 1, 1, S]; None: everywhere.
    """
    sentences, heads, count, size = query.shape
    groups = key.size(1)
    added = None if may_attend is None else for_each_group(may_attend, groups)  # [B * G, 1, S]
    grouped = query.reshape(sentences * groups, -1, size)  # [B * G, H/G * N, K]
    found = attend_by_products(grouped, key.flatten(0, 1).mT, value.flatten(0, 1), added)
    return found.view(sentences, heads, count, size).transpose(1, 2).flatten(2)  # [B, N, H * K]


def for_each_group(padding: Tensor, groups: int) -> Tensor:
    """What is added to the scores of a sentence, [B, 1, 1, S], for each of its key heads, [B * G, 1, S]."""
    return padding.expand(-1, groups, -1, -1).flatten(0, 1)


class SelfAttention(nn.Module):
    """Attention over the sentence itself; queries, keys and values come from one matrix product.

    Args:
        settings: the architecture.
        causal: a position sees itself and the past only (decoder).
    """

    def __init__(self, settings: ModelSettings, causal: bool) -> None:
        super().__init__()
        self.heads = settings.heads
        self.kv_heads = settings.kv_heads or settings.heads
        self.head_dim = settings.dim // settings.heads
        self.causal = causal
        self.dropout = settings.attention_dropout
        width = (self.heads + 2 * self.kv_heads) * self.head_dim
        self.query_key_value = Linear(settings.dim, width, bias=settings.bias)  # [(H + 2G) * K, D]
        self.out = Linear(settings.dim, settings.dim, bias=settings.bias)
        self.rotary = turned_positions(settings)

    def forward(self, states: Tensor, may_attend: Tensor | Layout | None = None) -> Tensor:
        """States [B, T, D] to states [B, T, D]; `may_attend` [B, 1, 1, T] or None.

        Of a packed batch states [M, D] to states [M, D]; `may_attend` is where its sentences lie.
        """
        if isinstance(may_attend, Layout):
            return self._packed(states, may_attend)
        query_key, value = self._project(states, start=0)
        query_key, value = query_key.transpose(1, 2), value.transpose(1, 2)  # [B, H + G, T, K], [B, G, T, K]
        query, key = torch.split(query_key, [self.heads, self.kv_heads], dim=1)
        share = self.dropout if self.training else 0.0
        heads = attend(query, key, value, may_attend=may_attend, causal=self.causal, dropout=share)
        return self.out(heads)  # type: ignore[no-any-return]  # [B, T, D]

    def _packed(self, states: Tensor, layout: Layout) -> Tensor:
        heads = self.query_key_value(states).unflatten(-1, (-1, self.head_dim))  # [M, H + 2G, K]
        query_key, value = torch.split(heads, [self.heads + self.kv_heads, self.kv_heads], dim=1)
        if self.rotary is not None:
            query_key = self.rotary.at(query_key, layout)
        query, key = torch.split(query_key, [self.heads, self.kv_heads], dim=1)  # [M, H, K], [M, G, K]
        return self.out(attend_packed(query, key, value, layout, layout, causal=self.causal))  # type: ignore[no-any-return]

    def step(self, states: Tensor, past: Tensor, place: int, position: int, seen: Tensor | None) -> Tensor:
        """One more position, written into the cache.

        Args:
            states: [R, D] with R = B * N.
            past: keys and values of what came before, [B, C, N, 2, G, K] with room at `place`.
            place: where the new ones are written.
            position: how many positions came before.
            seen: the places that each hypothesis sees, the new one among them, [B, 1, N, P * N] with
                P = place + 1; None: all.

        Returns:
            The heads side by side, [R, D], which `out` has still to read.
        """
        sentences, _, count = past.shape[:3]
        heads = self._at(states, position).view(sentences, count, -1, self.head_dim)  # [B, N, H + 2G, K]
        query, key_value = torch.split(heads, [self.heads, 2 * self.kv_heads], dim=2)
        past[:, place] = key_value.view(sentences, count, 2, -1, self.head_dim)  # [B, N, 2, G, K]
        places = past[:, : place + 1].flatten(1, 2)  # [B, P * N, 2, G, K]
        keys, values = places.permute(2, 0, 3, 1, 4).unbind(0)  # [B, G, P * N, K]
        # The hypotheses, and the query heads that share a key head, stand where positions would stand.
        shared = self.heads // self.kv_heads
        query = query.view(sentences, count, self.kv_heads, shared, self.head_dim)
        query = query.permute(0, 2, 3, 1, 4).flatten(2, 3)  # [B, G, H/G * N, K]
        if seen is not None and shared > 1:
            seen = seen.repeat(1, 1, shared, 1)
        heads = F.scaled_dot_product_attention(query, keys, values, seen)  # [B, G, H/G * N, K]
        heads = heads.view(sentences, self.kv_heads, shared, count, self.head_dim)
        heads = heads.permute(0, 3, 1, 2, 4)  # [B, N, G, H/G, K]
        return heads.reshape(states.shape)  # [R, D]

    def step_alone(self, states: Tensor, past: Tensor, place: int) -> Tensor:
        """As `step` on a CPU, where each sentence has one hypothesis: in as few operations as may be.

        Args:
            states: [B, D].
            past: keys and values of what came before, [2, C, B * G, K] with room at `place`.
            place: where the new ones are written, which is how many positions came before.
        """
        rows, width = states.size(0), self.heads * self.head_dim
        heads = self._at(states, place)  # [B, (H + 2G) * K]
        new = heads[:, width:].view(rows, 2, -1).transpose(0, 1)  # [2, B, G * K]
        past.select(1, place).view(2, rows, -1).copy_(new)
        keys, values = past.narrow(1, 0, place + 1).unbind()  # [P, B * G, K]
        query = heads[:, :width].reshape(past.size(2), -1, self.head_dim)  # [B * G, H/G, K]
        return attend_by_products(query, keys.permute(1, 2, 0), values.transpose(0, 1)).view(rows, width)

    def _at(self, states: Tensor, position: int) -> Tensor:
        """Queries, keys and values of rows [R, D] at a position, side by side, [R, (H + 2G) * K]."""
        found: Tensor = self.query_key_value(states)
        if self.rotary is None:
            return found
        heads = found.view(found.size(0), -1, self.head_dim)  # [R, H + 2G, K]
        turning, value = torch.split(heads, [self.heads + self.kv_heads, self.kv_heads], dim=1)
        turned = self.rotary(turning.unsqueeze(1), position).squeeze(1)  # [R, H + G, K]
        return torch.cat([turned, value], dim=1).flatten(1)

    def _project(self, states: Tensor, start: int) -> tuple[Tensor, Tensor]:
        """Queries and keys [B, T, H + G, K], with their positions, and values [B, T, G, K]."""
        heads = self.query_key_value(states).unflatten(-1, (-1, self.head_dim))  # [B, T, H + 2G, K]
        # One split, not slices: the gradient of a slice is a whole tensor of zeros.
        query_key, value = torch.split(heads, [self.heads + self.kv_heads, self.kv_heads], dim=2)
        if self.rotary is not None:
            query_key = self.rotary(query_key, start)
        return query_key, value


class CrossAttention(nn.Module):
    """Attention of the target over the source; keys and values are computed once a sentence."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.heads = settings.heads
        self.kv_heads = settings.kv_heads or settings.heads
        self.head_dim = settings.dim // settings.heads
        self.dropout = settings.attention_dropout
        self.query = Linear(settings.dim, settings.dim, bias=settings.bias)
        self.key_value = Linear(settings.dim, 2 * self.kv_heads * self.head_dim, bias=settings.bias)
        self.out = Linear(settings.dim, settings.dim, bias=settings.bias)

    def keys_values(self, memory: Tensor) -> Tensor:
        """Keys and values of `memory` [B, S, D]: [B, 2, G, S, K]; of a packed one [M, D]: [M, 2, G, K]."""
        both: Tensor = self.key_value(memory).unflatten(-1, (2, self.kv_heads, self.head_dim))
        if memory.dim() == 2:
            return both  # [M, 2, G, K]
        return both.permute(0, 2, 3, 1, 4)  # [B, 2, G, S, K]

    def forward(
        self,
        states: Tensor,
        keys_values: Tensor,
        may_attend: Tensor | Layout | None = None,
        of_target: Layout | None = None,
    ) -> Tensor:
        """States [B, T, D] over `keys_values` [B, 2, G, S, K]; `may_attend` [B, 1, 1, S] or None.

        Of a packed batch states [N, D] over `keys_values` [M, 2, G, K]; `may_attend` is where its sources
        lie, `of_target` where its targets lie.
        """
        if isinstance(may_attend, Layout):
            assert of_target is not None, "both sides are packed"
            return self._packed(states, keys_values, may_attend, of_target)
        query = self.query(states).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)  # [B, H, T, K]
        key, value = keys_values.unbind(1)  # [B, G, S, K]
        share = self.dropout if self.training else 0.0
        return self.out(attend(query, key, value, may_attend=may_attend, dropout=share))  # type: ignore[no-any-return]

    def _packed(self, states: Tensor, keys_values: Tensor, of_source: Layout, of_target: Layout) -> Tensor:
        query = self.query(states).unflatten(-1, (self.heads, self.head_dim))  # [N, H, K]
        key, value = keys_values.unbind(1)  # [M, G, K]
        return self.out(attend_packed(query, key, value, of_target, of_source))  # type: ignore[no-any-return]

    def step(self, states: Tensor, keys_values: Tensor, padding: Tensor | None) -> Tensor:
        """One more position of N hypotheses a sentence, as `forward`.

        Args:
            states: [B, N, D].
            keys_values: each a tensor of its own, [2, B, G, S, K].
            padding: 0 at source tokens, -inf elsewhere, [B, 1, 1, S], or None.

        Returns:
            The heads side by side, [B, N, D], which `out` has still to read.
        """
        key, value = keys_values.unbind(0)  # [B, G, S, K]
        query = self.query(states).unflatten(-1, (self.heads, self.head_dim)).transpose(1, 2)  # [B, H, N, K]
        look = attend_from_few if states.device.type == "cpu" else attend
        return look(query, key, value, may_attend=padding)

    def step_alone(self, states: Tensor, keys: Tensor, values: Tensor, padding: Tensor | None) -> Tensor:
        """As `step` on a CPU, where each sentence has one hypothesis: in as few operations as may be.

        Args:
            states: [B, D].
            keys: [B * G, K, S].
            values: [B * G, S, K].
            padding: 0 at source tokens, -inf elsewhere, [B * G, 1, S], or None.
        """
        query = self.query(states).view(keys.size(0), -1, self.head_dim)  # [B * G, H/G, K]
        return attend_by_products(query, keys, values, padding).view_as(states)

    def weights(self, states: Tensor, keys_values: Tensor, may_attend: Tensor | None = None) -> Tensor:
        """How much each position attends to each source position, the mean over heads, [B, T, S].

        Args:
            states: [B, T, D].
            keys_values: of the source, [B, 2, G, S, K].
            may_attend: [B, 1, 1, S], or None.
        """
        query = self.query(states).unflatten(-1, (self.kv_heads, -1, self.head_dim))  # [B, T, G, H/G, K]
        key = keys_values[:, 0].unsqueeze(2)  # [B, G, 1, S, K]
        scores = query.permute(0, 2, 3, 1, 4) @ key.mT * self.head_dim**-0.5  # [B, G, H/G, T, S]
        if may_attend is not None:
            scores = scores.masked_fill(~may_attend.unsqueeze(2), -torch.inf)
        return scores.softmax(-1).mean((1, 2))  # type: ignore[no-any-return]  # [B, T, S]


def padding_mask(source_is_token: Tensor) -> Tensor | None:
    """The mask of keys that are padding, [B, 1, 1, S], or None on a CPU if there is no padding.

    A batch of equal lengths, the common case with bucketing, is spared the mask. On an accelerator the
    question would wait for the device, so the mask stays.
    """
    if source_is_token.device.type == "cpu" and bool(source_is_token.all()):
        return None
    return source_is_token[:, None, None, :]  # [B, 1, 1, S]
