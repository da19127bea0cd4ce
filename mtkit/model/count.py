"""How large a model is and how much it computes, counted, not estimated."""

from typing import NamedTuple

from torch import nn

from mtkit.config.model import ModelSettings


class MultiplyAdds(NamedTuple):
    """Multiply-adds of one forward pass over one sentence pair.

    Attributes:
        source: what the source causes: the encoder, and the decoder's keys and values of the memory.
        target: what the target causes: the decoder and the output layer.
    """

    source: int
    target: int


def count_parameters(model: nn.Module) -> int:
    """Number of weights, tied ones once."""
    return sum(weight.numel() for weight in model.parameters())


def model_flops(
    settings: ModelSettings, target_size: int, source_tokens: int, target_tokens: int
) -> MultiplyAdds:
    """Multiply-adds of all matrix products for a pair of S source and T target tokens.

    One multiply-add is two floating-point operations; a backward pass costs twice a forward one, so training
    costs 6 operations a multiply-add. Attention counts as its full T x T and T x S squares. Norms,
    activations, softmax and embeddings, which are no matrix products, are left out.

    Args:
        settings: the architecture.
        target_size: V.
        source_tokens: S, EOS counted.
        target_tokens: T, EOS counted.
    """
    dim, length, outputs = settings.dim, source_tokens, target_tokens
    kv_dim = (settings.kv_heads or settings.heads) * (dim // settings.heads)
    feed_forward = dim * settings.ffn_dim * (3 if settings.activation == "swiglu" else 2)
    self_attention = dim * (dim + 2 * kv_dim) + dim * dim  # a token: query, key, value; out
    encoder = length * (self_attention + feed_forward) + 2 * dim * length * length
    memory = length * dim * 2 * kv_dim
    cross_attention = outputs * 2 * dim * dim + 2 * dim * outputs * length
    decoder = outputs * (self_attention + feed_forward) + 2 * dim * outputs * outputs + cross_attention
    return MultiplyAdds(
        source=settings.encoder_layers * encoder + settings.decoder_layers * memory,
        target=settings.decoder_layers * decoder + outputs * dim * target_size,
    )
