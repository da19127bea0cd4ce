"""An mtkit Transformer for transformers, to be loaded with `trust_remote_code=True`.

This file is copied into exported folders and stands by itself: it needs torch and transformers, not mtkit.
Weights have the names that they have in mtkit. Shapes: B sentences, S source and T target tokens, D width,
H heads, G key/value heads, K = D/H, V pieces.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import GenerationMixin, PretrainedConfig, PreTrainedModel
from transformers.cache_utils import DynamicCache, EncoderDecoderCache
from transformers.modeling_outputs import BaseModelOutput, Seq2SeqLMOutput

ACTIVATIONS = {"relu": F.relu, "gelu": F.gelu, "swish": F.silu, "swiglu": F.silu}


class MtkitConfig(PretrainedConfig):  # type: ignore[misc]
    """The shape of a model; the names are those of mtkit's settings."""

    model_type = "mtkit"
    is_encoder_decoder = True
    attribute_map = {  # noqa: RUF012
        "hidden_size": "dim",
        "num_attention_heads": "heads",
        "num_key_value_heads": "kv_heads",
        "num_hidden_layers": "decoder_layers",
        "vocab_size": "target_size",
    }

    def __init__(  # noqa: PLR0913
        self,
        source_size: int = 8,
        target_size: int = 8,
        dim: int = 8,
        ffn_dim: int = 8,
        heads: int = 2,
        kv_heads: int | None = None,
        encoder_layers: int = 1,
        decoder_layers: int = 1,
        norm: str = "layer_norm",
        norm_order: str = "pre",
        activation: str = "relu",
        positions: str = "sinusoidal",
        rotary_base: float = 10000.0,
        max_positions: int | None = None,
        tied_embeddings: str = "all",
        bias: bool = True,
        output_bias: bool = False,
        **others: Any,
    ) -> None:
        self.source_size, self.target_size = source_size, target_size
        self.dim, self.ffn_dim, self.heads, self.kv_heads = dim, ffn_dim, heads, kv_heads or heads
        self.encoder_layers, self.decoder_layers = encoder_layers, decoder_layers
        self.norm, self.norm_order, self.activation = norm, norm_order, activation
        self.positions, self.rotary_base, self.max_positions = positions, rotary_base, max_positions
        self.tied_embeddings, self.bias, self.output_bias = tied_embeddings, bias, output_bias
        self.use_cache = others.pop("use_cache", True)
        others.setdefault("is_encoder_decoder", True)
        others.setdefault("tie_word_embeddings", False)  # a tied matrix exists once, so nothing is to be tied
        super().__init__(**others)


def make_norm(config: MtkitConfig) -> nn.Module:
    """The norm that the config names."""
    if config.norm == "rms_norm":
        return nn.RMSNorm(config.dim, eps=1e-6)
    return nn.LayerNorm(config.dim, eps=1e-5)


def angles(start: int, count: int, dim: int, base: float, device: torch.device) -> Tensor:
    """Positions times rates, in double precision, [T, dim/2]."""
    rates = base ** (-torch.arange(0, dim, 2, dtype=torch.float64, device=device) / dim)
    return torch.arange(start, start + count, dtype=torch.float64, device=device).unsqueeze(1) * rates


def turned(heads: Tensor, start: int, base: float) -> Tensor:
    """Rotary positions of heads [B, T, H, K], the first of which is at `start` (Su et al. 2021)."""
    found = angles(start, heads.size(1), heads.size(-1), base, heads.device).unsqueeze(1)  # [T, 1, K/2]
    cosine, sine = found.cos().float(), found.sin().float()
    even, odd = heads.float().reshape(*heads.shape[:-1], -1, 2).unbind(-1)
    pairs = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
    return pairs.flatten(-2).to(heads.dtype)


def attend(query: Tensor, key: Tensor, value: Tensor, **how: Any) -> Tensor:
    """Attention of queries [B, H, T, K] over keys [B, G, S, K], heads side by side, [B, T, D]."""
    found = F.scaled_dot_product_attention(query, key, value, enable_gqa=query.size(1) != key.size(1), **how)
    return found.transpose(1, 2).flatten(2)


class SelfAttention(nn.Module):
    """Attention over the sentence itself."""

    def __init__(self, config: MtkitConfig) -> None:
        super().__init__()
        self.sizes = [config.heads, config.kv_heads, config.kv_heads]
        self.head_dim = config.dim // config.heads
        self.base = config.rotary_base if config.positions == "rotary" else None
        self.query_key_value = nn.Linear(config.dim, sum(self.sizes) * self.head_dim, bias=config.bias)
        self.out = nn.Linear(config.dim, config.dim, bias=config.bias)

    def forward(self, states: Tensor, mask: Tensor | None, past: Any = None, layer: int = 0) -> Tensor:
        """States [B, T, D] to states; with `past`, of the decoder: positions before are remembered."""
        heads = self.query_key_value(states).unflatten(-1, (-1, self.head_dim)).split(self.sizes, dim=2)
        query, key, value = heads  # [B, T, heads, K]
        start = past.get_seq_length(layer) if past is not None else 0
        if self.base is not None:
            query, key = turned(query, start, self.base), turned(key, start, self.base)
        query, key, value = (one.transpose(1, 2) for one in (query, key, value))
        if past is not None:
            key, value = past.update(key, value, layer)
        return self.out(attend(query, key, value, attn_mask=mask))  # type: ignore[no-any-return]


class CrossAttention(nn.Module):
    """Attention over the source."""

    def __init__(self, config: MtkitConfig) -> None:
        super().__init__()
        self.head_dim = config.dim // config.heads
        self.query = nn.Linear(config.dim, config.dim, bias=config.bias)
        self.key_value = nn.Linear(config.dim, 2 * config.kv_heads * self.head_dim, bias=config.bias)
        self.out = nn.Linear(config.dim, config.dim, bias=config.bias)

    def forward(self, states: Tensor, memory: Tensor, mask: Tensor | None, past: Any, layer: int) -> Tensor:
        """States [B, T, D] over memory [B, S, D]; keys and values are remembered in `past`."""
        query = self.query(states).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        if past is not None and past.is_updated.get(layer):
            known = past.cross_attention_cache.layers[layer]
            key, value = known.keys, known.values
        else:
            both = self.key_value(memory).unflatten(-1, (2, -1, self.head_dim))  # [B, S, 2, G, K]
            key, value = both.permute(2, 0, 3, 1, 4)
            if past is not None:
                key, value = past.cross_attention_cache.update(key, value, layer)
                past.is_updated[layer] = True
        return self.out(attend(query, key, value, attn_mask=mask))  # type: ignore[no-any-return]


class FeedForward(nn.Module):
    """down(activation(up(x))), or down(silu(gate(x)) · up(x))."""

    def __init__(self, config: MtkitConfig) -> None:
        super().__init__()
        self.activation: Any = ACTIVATIONS[config.activation]
        self.gated = config.activation == "swiglu"
        self.up = nn.Linear(config.dim, config.ffn_dim * (1 + self.gated), bias=config.bias)
        self.down = nn.Linear(config.ffn_dim, config.dim, bias=config.bias)

    def forward(self, states: Tensor) -> Tensor:
        """States [B, T, D] to states."""
        inner = self.up(states)
        if not self.gated:
            return self.down(self.activation(inner))  # type: ignore[no-any-return]
        gate, inner = inner.chunk(2, dim=-1)
        return self.down(self.activation(gate) * inner)  # type: ignore[no-any-return]


class Layer(nn.Module):
    """A layer of the encoder, or of the decoder."""

    def __init__(self, config: MtkitConfig, decoder: bool) -> None:
        super().__init__()
        self.pre_norm = config.norm_order == "pre"
        self.self_attention, self.self_attention_norm = SelfAttention(config), make_norm(config)
        if decoder:
            self.cross_attention, self.cross_attention_norm = CrossAttention(config), make_norm(config)
        self.feed_forward, self.feed_forward_norm = FeedForward(config), make_norm(config)

    def add(self, states: Tensor, norm: nn.Module, block: Any) -> Tensor:
        """The residual sum of a block, normalised before or after."""
        if self.pre_norm:
            return states + block(norm(states))  # type: ignore[no-any-return]
        return norm(states + block(states))  # type: ignore[no-any-return]

    def forward(self, states: Tensor, mask: Tensor | None, over: Any = None) -> Tensor:
        """States [B, T, D] to states; `over`: memory, its mask, the cache and the layer's number."""
        remembered = over[2].self_attention_cache if over is not None and over[2] is not None else None
        number = over[3] if over is not None else 0
        states = self.add(
            states, self.self_attention_norm, lambda x: self.self_attention(x, mask, remembered, number)
        )
        if over is not None:
            states = self.add(states, self.cross_attention_norm, lambda x: self.cross_attention(x, *over))
        return self.add(states, self.feed_forward_norm, self.feed_forward)


class Stack(nn.Module):
    """The layers of a side."""

    main_input_name = "input_ids"

    def __init__(self, config: MtkitConfig, decoder: bool) -> None:
        super().__init__()
        self.config = config
        if config.positions == "learned":
            self.positions = nn.Embedding(config.max_positions or 1, config.dim)
        count = config.decoder_layers if decoder else config.encoder_layers
        self.layers = nn.ModuleList(Layer(config, decoder) for _ in range(count))
        self.norm = make_norm(config) if config.norm_order == "pre" else nn.Identity()

    def begin(self, states: Tensor, start: int) -> Tensor:
        """Embeddings [B, T, D] with their positions, the first of which is `start`."""
        if self.config.positions == "learned":
            return states + self.positions.weight[start : start + states.size(1)]
        if self.config.positions == "sinusoidal":
            found = angles(start, states.size(1), self.config.dim, 10000.0, states.device)
            return states + torch.stack((found.sin(), found.cos()), dim=-1).flatten(-2).to(states.dtype)
        return states


class Reading(nn.Module):
    """The encoder as `generate` calls it; it has no weights of its own.

    Args:
        model: the whole model.
    """

    main_input_name = "input_ids"

    def __init__(self, model: "MtkitForConditionalGeneration") -> None:
        super().__init__()
        self.__dict__["model"] = model  # not as a part, or it would hold itself

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None = None, **_: Any) -> BaseModelOutput:
        """Ids [B, S], 1 at tokens in the mask, to memory [B, S, D]."""
        return BaseModelOutput(last_hidden_state=self.__dict__["model"].read(input_ids, attention_mask))


class MtkitForConditionalGeneration(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """An encoder-decoder Transformer as mtkit trains it."""

    config_class = MtkitConfig
    main_input_name = "input_ids"
    _supports_sdpa = True

    def __init__(self, config: MtkitConfig) -> None:
        super().__init__(config)
        tied = config.tied_embeddings
        self.target_embedding = nn.Embedding(config.target_size, config.dim)
        if tied != "all":
            self.source_embedding = nn.Embedding(config.source_size, config.dim)
        if tied == "none":
            self.output_layer = nn.Linear(config.dim, config.target_size, bias=False)
        if config.output_bias:
            self.output_bias = nn.Parameter(torch.zeros(config.target_size))
        self.encoder, self.decoder = Stack(config, decoder=False), Stack(config, decoder=True)
        self.post_init()

    def get_encoder(self, *_: Any, **__: Any) -> nn.Module:
        """What reads the source."""
        return Reading(self)

    def get_input_embeddings(self) -> nn.Module:
        """The embedding of the source."""
        return self.target_embedding if self.config.tied_embeddings == "all" else self.source_embedding

    def read(self, input_ids: Tensor | None, attention_mask: Tensor | None) -> Tensor:
        """Ids [B, S] to memory [B, S, D]."""
        assert input_ids is not None, "a source, or `encoder_outputs`"
        states = self.encoder.begin(self.get_input_embeddings()(input_ids) * self.config.dim**0.5, 0)
        mask = source_mask(attention_mask)
        for layer in self.encoder.layers:
            states = layer(states, mask)
        return self.encoder.norm(states)  # type: ignore[no-any-return]

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        decoder_input_ids: Tensor | None = None,
        encoder_outputs: Any = None,
        past_key_values: Any = None,
        use_cache: bool | None = None,
        labels: Tensor | None = None,
        **_: Any,
    ) -> Seq2SeqLMOutput:
        """Logits [B, T, V] of every next target id; with labels [B, T] (-100: none) the mean loss too."""
        if labels is not None and decoder_input_ids is None:
            start = labels.new_full((labels.size(0), 1), self.config.decoder_start_token_id)
            before = labels[:, :-1].masked_fill(labels[:, :-1] == -100, self.config.pad_token_id)
            decoder_input_ids = torch.cat([start, before], dim=1)
        memory = self.read(input_ids, attention_mask) if encoder_outputs is None else encoder_outputs[0]
        if past_key_values is None and use_cache and labels is None:
            past_key_values = EncoderDecoderCache(DynamicCache(), DynamicCache())
        hidden = self.write(decoder_input_ids, memory, source_mask(attention_mask), past_key_values)
        weight = self.output_layer.weight if self.config.tied_embeddings == "none" else None
        logits = F.linear(
            hidden,
            self.target_embedding.weight if weight is None else weight,
            self.output_bias if self.config.output_bias else None,
        )
        loss = None if labels is None else F.cross_entropy(logits.flatten(0, 1), labels.flatten())
        return Seq2SeqLMOutput(
            loss=loss, logits=logits, past_key_values=past_key_values, encoder_last_hidden_state=memory
        )

    def write(self, ids: Tensor | None, memory: Tensor, mask: Tensor | None, past: Any) -> Tensor:
        """Target ids [B, T] that follow what is in `past` to hidden states [B, T, D]."""
        assert ids is not None, "`decoder_input_ids`, or labels"
        start = past.get_seq_length() if past is not None else 0
        states = self.decoder.begin(self.target_embedding(ids) * self.config.dim**0.5, start)
        end = start + ids.size(1)
        reached = torch.arange(end, device=ids.device)
        causal = reached <= torch.arange(start, end, device=ids.device).unsqueeze(1)  # [T, start + T]
        for number, layer in enumerate(self.decoder.layers):
            states = layer(states, causal, over=(memory, mask, past, number))
        return self.decoder.norm(states)  # type: ignore[no-any-return]


def source_mask(attention_mask: Tensor | None) -> Tensor | None:
    """True at source tokens, [B, 1, 1, S]."""
    return None if attention_mask is None else attention_mask.bool()[:, None, None, :]
