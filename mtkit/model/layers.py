"""Encoder and decoder layers: attention and feed-forward blocks with their residual sums and norms."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkit.batches.packed import Layout
from mtkit.config.model import ModelSettings
from mtkit.model.attention import CrossAttention, SelfAttention
from mtkit.model.cache import Alone
from mtkit.model.dropout import add_with_dropout, dropout
from mtkit.model.products import Linear

LAYER_NORM_EPSILON = 1e-5
RMS_NORM_EPSILON = 1e-6  # both are what CTranslate2 takes where a model names none

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "gelu": F.gelu,
    "swish": F.silu,
    "swiglu": F.silu,
}


class RMSNorm(nn.Module):
    """x / sqrt(mean(x²) + ε) · weight (Zhang and Sennrich 2019, equation 4)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, states: Tensor) -> Tensor:
        """States [..., D] to states [..., D]."""
        return F.rms_norm(states, self.weight.shape, self.weight, RMS_NORM_EPSILON)


def make_norm(settings: ModelSettings) -> nn.Module:
    """The norm that the settings name."""
    if settings.norm == "rms_norm":
        return RMSNorm(settings.dim)
    return nn.LayerNorm(settings.dim, eps=LAYER_NORM_EPSILON)


class FeedForward(nn.Module):
    """down(activation(up(x))); for swiglu down(silu(gate(x)) · up(x)), gate and up in one matrix product."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__()
        self.gated = settings.activation == "swiglu"
        self.activation = ACTIVATIONS[settings.activation]
        self.dropout = settings.activation_dropout
        width = settings.ffn_dim * (2 if self.gated else 1)
        self.up = Linear(settings.dim, width, bias=settings.bias)  # [F, D], or [2F, D]: gate, then up
        self.down = Linear(settings.ffn_dim, settings.dim, bias=settings.bias)

    def forward(self, states: Tensor) -> Tensor:
        """States [..., D] to states [..., D]."""
        return self.down(dropout(self._inner(states), self.dropout, self.training))  # type: ignore[no-any-return]

    def onto(self, total: Tensor, states: Tensor) -> Tensor:
        """total + what comes of states, both [..., D], in a step of search."""
        return self.down.onto(total, self._inner(states))

    def _inner(self, states: Tensor) -> Tensor:
        inner: Tensor = self.up(states)  # [..., F] or [..., 2F]
        if self.gated:
            gate, inner = inner.chunk(2, dim=-1)
            return self.activation(gate) * inner  # [..., F]
        if self.activation is F.relu and not torch.is_grad_enabled():
            return inner.relu_()
        return self.activation(inner)


class Layer(nn.Module):
    """What both kinds of layers share: self-attention, feed-forward, and how blocks are added."""

    def __init__(self, settings: ModelSettings, causal: bool) -> None:
        super().__init__()
        self.pre_norm = settings.norm_order == "pre"
        self.dropout = settings.dropout
        self.self_attention = SelfAttention(settings, causal)
        self.self_attention_norm = make_norm(settings)
        self.feed_forward = FeedForward(settings)
        self.feed_forward_norm = make_norm(settings)

    def add(self, states: Tensor, norm: nn.Module, block: Callable[[Tensor], Tensor]) -> Tensor:
        """The residual sum of a block: x + block(norm(x)), or norm(x + block(x)) for post-norm."""
        if self.pre_norm:
            return add_with_dropout(states, block(norm(states)), self.dropout, self.training)
        return norm(add_with_dropout(states, block(states), self.dropout, self.training))  # type: ignore[no-any-return]

    def add_in_step(
        self, states: Tensor, norm: nn.Module, block: Callable[[Tensor, Tensor], Tensor]
    ) -> Tensor:
        """As `add` in a step of search; `block` adds what comes of its second argument to the first."""
        if self.pre_norm:
            return block(states, norm(states))
        return norm(block(states, states))  # type: ignore[no-any-return]


class EncoderLayer(Layer):
    """Self-attention over the source, then feed-forward."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings, causal=False)

    def forward(self, states: Tensor, may_attend: Tensor | Layout | None) -> Tensor:
        """States [B, S, D] to states [B, S, D]; `may_attend` [B, 1, 1, S] or None.

        Of a packed batch states [M, D] to states [M, D]; `may_attend` is where its sentences lie.
        """
        states = self.add(states, self.self_attention_norm, lambda x: self.self_attention(x, may_attend))
        return self.add(states, self.feed_forward_norm, self.feed_forward)


class DecoderLayer(Layer):
    """Self-attention over the target so far, attention over the source, then feed-forward."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings, causal=True)
        self.cross_attention = CrossAttention(settings)
        self.cross_attention_norm = make_norm(settings)

    def forward(
        self,
        states: Tensor,
        memory: Tensor,
        may_attend: Tensor | Layout | None,
        of_target: Layout | None = None,
    ) -> Tensor:
        """States [B, T, D] to states [B, T, D]; of a packed batch states [N, D] to states [N, D].

        Args:
            states: all target positions, [B, T, D] or [N, D].
            memory: of the source, [B, S, D] or [M, D].
            may_attend: [B, 1, 1, S], or None if no source position is padding; of a packed batch where its
                sources lie.
            of_target: where the targets of a packed batch lie.
        """
        keys_values = self.cross_attention.keys_values(memory)  # [B, 2, G, S, K] or [M, 2, G, K]
        states = self.add(states, self.self_attention_norm, lambda x: self.self_attention(x, of_target))
        states = self.add(
            states,
            self.cross_attention_norm,
            lambda x: self.cross_attention(x, keys_values, may_attend, of_target),
        )
        return self.add(states, self.feed_forward_norm, self.feed_forward)

    def weights(self, states: Tensor, memory: Tensor, may_attend: Tensor | None) -> Tensor:
        """What `forward` attends to in the source, the mean over heads, [B, T, S]; the same arguments."""
        states = self.add(states, self.self_attention_norm, self.self_attention)
        if self.pre_norm:
            states = self.cross_attention_norm(states)
        return self.cross_attention.weights(states, self.cross_attention.keys_values(memory), may_attend)

    def step(
        self,
        states: Tensor,
        past: Tensor,
        place: int,
        position: int,
        seen: Tensor | None,
        keys_values: Tensor,
        padding: Tensor | None,
    ) -> Tensor:
        """One more target position of every hypothesis.

        Args:
            states: R = B * N rows, the N hypotheses of a sentence side by side, [R, D].
            past: keys and values of self-attention, [B, C, N, 2, G, K]; the new ones are written at `place`.
            place: where they are written.
            position: how many positions came before.
            seen: places of `past` that each hypothesis sees, [B, 1, N, (place + 1) * N]; None: all.
            keys_values: of the source, once a sentence, [2, B, G, S, K].
            padding: 0 at source tokens, -inf elsewhere, [B, 1, 1, S], or None.

        Returns:
            States [R, D].
        """

        def over_past(total: Tensor, rows: Tensor) -> Tensor:
            found = self.self_attention.step(rows, past, place, position, seen)
            return self.self_attention.out.onto(total, found)

        def over_source(total: Tensor, rows: Tensor) -> Tensor:
            # The hypotheses of a sentence see the same source: they stand where target positions would stand.
            by_sentence = rows.view(keys_values.size(1), -1, rows.size(-1))  # [B, N, D]
            found = self.cross_attention.step(by_sentence, keys_values, padding).view_as(rows)  # [R, D]
            return self.cross_attention.out.onto(total, found)

        states = self.add_in_step(states, self.self_attention_norm, over_past)
        states = self.add_in_step(states, self.cross_attention_norm, over_source)
        return self.add_in_step(states, self.feed_forward_norm, self.feed_forward.onto)

    def step_alone(self, states: Tensor, own: Alone, place: int) -> Tensor:
        """As `step` on a CPU, where each sentence has one hypothesis: states [B, D] to states [B, D]."""

        def over_past(total: Tensor, rows: Tensor) -> Tensor:
            found = self.self_attention.step_alone(rows, own.past, place)
            return self.self_attention.out.onto(total, found)

        def over_source(total: Tensor, rows: Tensor) -> Tensor:
            found = self.cross_attention.step_alone(rows, own.keys, own.values, own.padding)
            return self.cross_attention.out.onto(total, found)

        states = self.add_in_step(states, self.self_attention_norm, over_past)
        states = self.add_in_step(states, self.cross_attention_norm, over_source)
        return self.add_in_step(states, self.feed_forward_norm, self.feed_forward.onto)
