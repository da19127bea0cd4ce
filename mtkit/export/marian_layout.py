"""Which weights of transformers' MarianMTModel are which of ours, both ways.

Two things differ. Marian keeps queries, keys and values apart. And it adds sines to the first half of the
dimensions and cosines to the second, where ours alternate; the dimensions of the residual stream have no
order of their own, so all that reads or writes the stream is put into the other order, and the function is
the same.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from mtkit.config.model import ModelSettings

SHARED = "model.shared.weight"
SOURCE_EMBEDDING = "model.encoder.embed_tokens.weight"
TARGET_EMBEDDING = "model.decoder.embed_tokens.weight"
OUTPUT = "lm_head.weight"
OUTPUT_BIAS = "final_logits_bias"  # [1, V]
COMPUTED = frozenset({"model.encoder.embed_positions.weight", "model.decoder.embed_positions.weight"})

# what their config calls an activation → what ours does; gelu_new is another function
ACTIVATIONS = {"relu": "relu", "gelu": "gelu", "swish": "swish", "silu": "swish"}


class Pairing(NamedTuple):
    """A weight of ours and what it is made of.

    Attributes:
        ours: its name here.
        theirs: their names, in the order in which they lie in ours, along the first axis.
        stream: the axis that runs along the residual stream; None: neither does.
    """

    ours: str
    theirs: tuple[str, ...]
    stream: int | None


def pairings(settings: ModelSettings) -> Iterator[Pairing]:
    """All weights of the layers; embeddings and the output layer are not among them."""
    for side, count in (("encoder", settings.encoder_layers), ("decoder", settings.decoder_layers)):
        for number in range(count):
            yield from _of_layer(f"{side}.layers.{number}", side == "decoder")


def _of_layer(ours: str, decoder: bool) -> Iterator[Pairing]:
    theirs = f"model.{ours}"
    yield from _read(
        f"{ours}.self_attention.query_key_value", f"{theirs}.self_attn", "q_proj", "k_proj", "v_proj"
    )
    yield from _written(f"{ours}.self_attention.out", f"{theirs}.self_attn.out_proj")
    yield from _written(f"{ours}.self_attention_norm", f"{theirs}.self_attn_layer_norm")
    if decoder:
        yield from _read(f"{ours}.cross_attention.query", f"{theirs}.encoder_attn", "q_proj")
        yield from _read(f"{ours}.cross_attention.key_value", f"{theirs}.encoder_attn", "k_proj", "v_proj")
        yield from _written(f"{ours}.cross_attention.out", f"{theirs}.encoder_attn.out_proj")
        yield from _written(f"{ours}.cross_attention_norm", f"{theirs}.encoder_attn_layer_norm")
    yield from _read(f"{ours}.feed_forward.up", theirs, "fc1")
    yield from _written(f"{ours}.feed_forward.down", f"{theirs}.fc2")
    yield from _written(f"{ours}.feed_forward_norm", f"{theirs}.final_layer_norm")


def _read(ours: str, theirs: str, *parts: str) -> Iterator[Pairing]:
    """A matrix that reads the stream, and its bias."""
    yield Pairing(f"{ours}.weight", tuple(f"{theirs}.{part}.weight" for part in parts), 1)
    yield Pairing(f"{ours}.bias", tuple(f"{theirs}.{part}.bias" for part in parts), None)


def _written(ours: str, theirs: str) -> Iterator[Pairing]:
    """What writes the stream: a matrix and its bias, or a norm."""
    yield Pairing(f"{ours}.weight", (f"{theirs}.weight",), 0)
    yield Pairing(f"{ours}.bias", (f"{theirs}.bias",), 0)


def to_ours(pairing: Pairing, theirs: Mapping[str, Tensor]) -> Tensor:
    """A weight of ours."""
    return reordered(torch.cat([theirs[name].float() for name in pairing.theirs]), pairing.stream)


def to_theirs(pairing: Pairing, weight: Tensor) -> dict[str, Tensor]:
    """Their weights by name."""
    whole = reordered(weight, pairing.stream, back=True)
    return dict(zip(pairing.theirs, whole.chunk(len(pairing.theirs)), strict=True))


def reordered(weight: Tensor, stream: int | None, *, back: bool = False) -> Tensor:
    """A weight with the stream's dimensions in our order, or back in theirs.

    Args:
        weight: theirs, or ours.
        stream: the axis; None: nothing to do.
        back: from our order to theirs.
    """
    if stream is None:
        return weight
    dim = weight.size(stream)
    order = torch.arange(dim).view(2, dim // 2).T.flatten()  # 0, D/2, 1, D/2 + 1, …
    return weight.index_select(stream, order.argsort() if back else order)
