"""The encoder-decoder Transformer: source and target ids to logits, all at once or step by step.

All at once a batch may be padded, or packed: its tokens one after the other as rows, with a `Layout` in the
place of masks (`batches/packed.py`).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from mtkit.batches.packed import Layout, Packed
from mtkit.config.model import LearnedPositions, ModelSettings
from mtkit.errors import ModelError
from mtkit.model.attention import padding_mask
from mtkit.model.cache import Cache
from mtkit.model.dropout import dropout
from mtkit.model.embeddings import Embedding
from mtkit.model.init import initialise, initialise_output
from mtkit.model.layers import DecoderLayer, EncoderLayer, make_norm
from mtkit.model.positions import added_positions
from mtkit.model.products import Linear, linear

Through = Callable[..., Any]  # a layer or a function, and what it is called with, to what it returns


def as_many(rows: int) -> int:
    """No more than there are."""
    return rows


def as_it_is(called: Callable[..., Any], *arguments: object) -> Any:
    """Call a layer or a function."""
    return called(*arguments)


class Stack(nn.Module):
    """What encoder and decoder share: added positions, dropout, layers and, for pre-norm, a last norm.

    Args:
        settings: the architecture.
        layers: the layers, first to last.

    Attributes:
        through: how a packed batch goes through a layer; training puts something faster here.
    """

    through: Through = staticmethod(as_it_is)

    def __init__(self, settings: ModelSettings, layers: list[EncoderLayer] | list[DecoderLayer]) -> None:
        super().__init__()
        self.dropout = settings.dropout
        self.positions = added_positions(settings)
        self.layers = nn.ModuleList(layers)
        self.norm = make_norm(settings) if settings.norm_order == "pre" else nn.Identity()

    def begin(self, embedded: Tensor, start: int = 0) -> Tensor:
        """The states that enter the first layer: embeddings with positions from `start`, [B, T, D]."""
        return dropout(self.positions(embedded, start), self.dropout, self.training)

    def begin_packed(self, embedded: Tensor, layout: Layout) -> Tensor:
        """The same of a packed batch, [M, D]."""
        return dropout(self.positions.at(embedded, layout), self.dropout, self.training)  # type: ignore[operator]


class Encoder(Stack):
    """Embedded source to memory."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings, [EncoderLayer(settings) for _ in range(settings.encoder_layers)])

    def forward(self, embedded: Tensor, may_attend: Tensor | None) -> Tensor:
        """Embeddings [B, S, D] to memory [B, S, D]; `may_attend` [B, 1, 1, S] or None."""
        states = self.begin(embedded)
        for layer in self.layers:
            states = layer(states, may_attend)
        return self.norm(states)  # type: ignore[no-any-return]

    def packed(self, embedded: Tensor, layout: Layout) -> Tensor:
        """Embeddings [M, D] to memory [M, D]."""
        states = self.begin_packed(embedded, layout)
        for layer in self.layers:
            states = self.through(layer, states, layout)
        return self.norm(states)  # type: ignore[no-any-return]


class Decoder(Stack):
    """Embedded target and memory to the states from which the next ids are read."""

    def __init__(self, settings: ModelSettings) -> None:
        super().__init__(settings, [DecoderLayer(settings) for _ in range(settings.decoder_layers)])

    def keys_values(self, memory: Tensor) -> list[Tensor]:
        """Each layer's keys and values of the source, [2, B, G, S, K]."""
        return [layer.cross_attention.keys_values(memory).transpose(0, 1) for layer in self.layers]  # type: ignore[operator, union-attr]

    def forward(self, embedded: Tensor, memory: Tensor, may_attend: Tensor | None) -> Tensor:
        """Embeddings [B, T, D] and memory [B, S, D] to hidden states [B, T, D]."""
        states = self.begin(embedded)
        for layer in self.layers:
            states = layer(states, memory, may_attend)
        return self.norm(states)  # type: ignore[no-any-return]

    def packed(self, embedded: Tensor, memory: Tensor, of_source: Layout, of_target: Layout) -> Tensor:
        """Embeddings [N, D] and memory [M, D] to hidden states [N, D]."""
        states = self.begin_packed(embedded, of_target)
        for layer in self.layers:
            states = self.through(layer, states, memory, of_source, of_target)
        return self.norm(states)  # type: ignore[no-any-return]

    def weights(self, embedded: Tensor, memory: Tensor, may_attend: Tensor | None) -> Tensor:
        """What the last layer but one (or the only one) attends to in the source, [B, T, S]."""
        states = self.begin(embedded)
        *before, watched = self.layers[: max(1, len(self.layers) - 1)]
        for layer in before:
            states = layer(states, memory, may_attend)
        return watched.weights(states, memory, may_attend)  # type: ignore[no-any-return, operator]

    def step(self, embedded: Tensor, cache: Cache) -> Tensor:
        """Embeddings of the newest ids [R, D] to hidden states [R, D]; `cache` grows by one."""
        cache.make_room()
        states = self.begin(embedded.unsqueeze(1), cache.length).squeeze(1)
        if cache.hypotheses == 1 and states.device.type == "cpu":
            for layer, own in zip(self.layers, cache.alone(), strict=True):
                states = layer.step_alone(states, own, cache.length)  # type: ignore[operator]
        else:
            seen = cache.seen
            for number, layer in enumerate(self.layers):
                about = cache.past[number], cache.used, cache.length, seen
                states = layer.step(states, *about, cache.source[number], cache.padding)  # type: ignore[operator]
        cache.advance()
        return self.norm(states)  # type: ignore[no-any-return]


class Transformer(nn.Module):
    """An encoder-decoder Transformer with cross-attention (Vaswani et al. 2017).

    A matrix that is tied exists once, under the name of the target embedding: `parameters()`, `state_dict()`
    and the weights file hold every weight exactly once. Ids: 0 is padding, 2 begins and 3 ends a sentence.

    Args:
        settings: the architecture.
        source_size: ids of the source vocabulary.
        target_size: ids of the target vocabulary, V.
        output_bias: add a vector to the logits; models of other toolkits have one, ours learn none.

    Attributes:
        rows_for_search: how many rows are read as quickly as so many; `few_rows.py` sets it.

    Raises:
        ModelError: the settings contradict each other, or all embeddings are tied and the sizes differ.
    """

    def __init__(
        self, settings: ModelSettings, source_size: int, target_size: int, *, output_bias: bool = False
    ) -> None:
        super().__init__()
        _check(settings, source_size, target_size)
        self.settings, self.source_size, self.target_size = settings, source_size, target_size
        tied = settings.tied_embeddings
        self.target_embedding = Embedding(target_size, settings.dim)
        self.source_embedding = None if tied == "all" else Embedding(source_size, settings.dim)
        self.output_layer = None if tied != "none" else Linear(settings.dim, target_size, bias=False)
        self.output_bias = nn.Parameter(torch.zeros(target_size)) if output_bias else None  # [V]
        self.output_for_search: Callable[[Tensor], Tensor] | None = None  # `output`, faster (few_rows.py)
        self.rows_for_search: Callable[[int], int] = as_many
        self.encoder = Encoder(settings)
        self.decoder = Decoder(settings)
        initialise(self, settings)
        if self.output_layer is not None:
            initialise_output(self.output_layer.weight, settings.dim)

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.target_embedding.weight.device

    @property
    def output_weight(self) -> Tensor:
        """The matrix of the output layer, [V, D]; of the target embedding, if they are tied."""
        layer = self.target_embedding if self.output_layer is None else self.output_layer
        return layer.weight

    @property
    def _source_embedding(self) -> Embedding:
        return self.target_embedding if self.source_embedding is None else self.source_embedding

    @property
    def max_tokens(self) -> int | None:
        """Most tokens a side may have, EOS (source) or BOS (target) counted; None: any number."""
        positions = self.settings.positions
        return positions.max if isinstance(positions, LearnedPositions) else None

    def packed(self, batch: Packed) -> Tensor:
        """The hidden states of a packed batch, for `output`: [N, D], the filler's last."""
        memory = self.encoder.packed(self._source_embedding(batch.source), batch.of_source)
        embedded = self.target_embedding(batch.target_in)
        return self.decoder.packed(embedded, memory, batch.of_source, batch.of_target)

    def encode(self, source: Tensor, source_is_token: Tensor) -> Tensor:
        """Read the source.

        Args:
            source: ids, each sentence ended by EOS, [B, S].
            source_is_token: True at tokens, False at padding, [B, S].

        Returns:
            Memory [B, S, D]; its values at padding mean nothing.
        """
        return self.encoder(  # type: ignore[no-any-return]
            self._source_embedding(source), padding_mask(source_is_token)
        )

    def decode(self, target_in: Tensor, memory: Tensor, source_is_token: Tensor) -> Tensor:
        """Read the target, each position from its past and the source.

        Padding in `target_in` needs no mask: it comes last, and no position sees its future.

        Args:
            target_in: ids, BOS first, [B, T].
            memory: [B, S, D].
            source_is_token: [B, S].

        Returns:
            Hidden states [B, T, D], for `output`.
        """
        return self.decoder(  # type: ignore[no-any-return]
            self.target_embedding(target_in), memory, padding_mask(source_is_token)
        )

    def attention(self, target_in: Tensor, memory: Tensor, source_is_token: Tensor) -> Tensor:
        """How much each target position attends to each source position, [B, T, S]; arguments as `decode`.

        It is the mean over the heads of the last decoder layer but one, which says most about alignment.

        Source: Garg et al. 2019, section 3.1.
        """
        return self.decoder.weights(self.target_embedding(target_in), memory, padding_mask(source_is_token))

    def output(self, hidden: Tensor) -> Tensor:
        """Hidden states [..., D] to logits [..., V]; any leading shape, so that padding can be left out."""
        if self.output_for_search is not None:
            return self.output_for_search(hidden)
        return linear(hidden, self.output_weight, self.output_bias)  # [..., V]

    def forward(self, source: Tensor, source_is_token: Tensor, target_in: Tensor) -> Tensor:
        """Logits of every next target id.

        Args:
            source: [B, S].
            source_is_token: [B, S].
            target_in: [B, T].

        Returns:
            Logits [B, T, V].
        """
        memory = self.encode(source, source_is_token)
        return self.output(self.decode(target_in, memory, source_is_token))

    def start(self, memory: Tensor, source_is_token: Tensor) -> Cache:
        """A cache with no target position yet and one hypothesis a sentence."""
        source = torch.stack(self.decoder.keys_values(memory))  # [L, 2, B, G, S, K]
        return Cache(source, padding_mask(source_is_token))

    def step(self, ids: Tensor, cache: Cache) -> Tensor:
        """Read one more target id of every hypothesis.

        Args:
            ids: the newest ids, BOS at first, [R].
            cache: what was read before; it grows by one position.

        Returns:
            Logits [R, V] of the ids that follow.
        """
        return self.output(self.decoder.step(self.target_embedding(ids), cache))


def _check(settings: ModelSettings, source_size: int, target_size: int) -> None:
    for finding in settings.findings():
        raise ModelError(
            finding.found,
            where=".".join(map(str, finding.path)),
            expected=finding.expected,
            advice=finding.advice,
        )
    if settings.tied_embeddings == "all" and source_size != target_size:
        raise ModelError(
            f"vocabularies of {source_size} (source) and {target_size} (target) pieces cannot share vectors",
            where="tied_embeddings",
            expected="with `all`, one vocabulary for both sides",
            advice="Set `subword.share: source-and-target`, or `tied_embeddings: target`.",
        )
