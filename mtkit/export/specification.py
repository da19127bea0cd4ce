"""Our Transformer in the words of CTranslate2's specification: docs/decisions/0002-ctranslate2.md, as code.

The only file that knows both layouts. What is done with the result (rounding, proof, place on disk) is not
its business. Imports torch, as CTranslate2's own specification does.
"""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ctranslate2.specs import common_spec, model_spec, transformer_spec
from numpy.typing import NDArray
from torch import Tensor, nn

from mtkit.config.export import inexpressible
from mtkit.config.model import ModelSettings
from mtkit.errors import ModelError
from mtkit.model.layers import (
    LAYER_NORM_EPSILON,
    RMS_NORM_EPSILON,
    DecoderLayer,
    EncoderLayer,
    FeedForward,
)
from mtkit.model.positions import sinusoids
from mtkit.model.transformer import Stack, Transformer
from mtkit.subword.vocabulary import BOS, EOS, NEVER_PRODUCED, UNK
from mtkit.translation.ctranslate2_engine import NEVER_BIAS

ACTIVATIONS = {
    "relu": common_spec.Activation.RELU,
    "gelu": common_spec.Activation.GELU,  # with the error function, as ours; not GELUTanh
    "swish": common_spec.Activation.SWISH,
    "swiglu": common_spec.Activation.SWISH,
}
WEIGHT = "/weight"  # how the names of matrices end
KEPT = "whole"  # and that of one which is not to be rounded
Weights = NDArray[np.float32]
Rows = slice


def specification(
    model: Transformer, source_pieces: Sequence[str], target_pieces: Sequence[str], positions: int
) -> transformer_spec.TransformerSpec:
    """A model as CTranslate2's specification, in float32.

    Args:
        model: on any device.
        source_pieces: the source vocabulary by id, each piece once.
        target_pieces: likewise; the same list if there is one vocabulary.
        positions: rows of the table of sinusoids; longer texts are an error there.

    Raises:
        ModelError: an architecture that the specification cannot express.
    """
    settings = model.settings
    check_expressible(settings)
    shape = _shape(settings)
    encoder = transformer_spec.TransformerEncoderSpec(settings.encoder_layers, settings.heads, **shape)
    decoder = transformer_spec.TransformerDecoderSpec(settings.decoder_layers, settings.heads, **shape)
    encoder.scale_embeddings = decoder.scale_embeddings = True
    _write(encoder.embeddings[0], model.source_embedding or model.target_embedding)
    _write(decoder.embeddings, model.target_embedding)
    decoder.projection.weight = _numbers(model.output_weight)
    decoder.projection.bias = (
        np.zeros(model.target_size, dtype=np.float32)
        if model.output_bias is None
        else _numbers(model.output_bias)
    )
    decoder.projection.bias[list(NEVER_PRODUCED)] -= NEVER_BIAS
    _write_stack(encoder, model.encoder, settings, positions)
    _write_stack(decoder, model.decoder, settings, positions)
    spec = transformer_spec.TransformerSpec(encoder, decoder)
    spec.register_source_vocabulary(list(source_pieces))
    spec.register_target_vocabulary(list(target_pieces))
    config = spec.config
    config.unk_token, config.bos_token, config.eos_token = (target_pieces[one] for one in (UNK, BOS, EOS))
    config.decoder_start_token = config.bos_token
    config.add_source_eos = True
    config.layer_norm_epsilon = LAYER_NORM_EPSILON if settings.norm == "layer_norm" else RMS_NORM_EPSILON
    return spec


def check_expressible(architecture: ModelSettings) -> None:
    """Refuse a model that CTranslate2 cannot run.

    Raises:
        ModelError: with every reason.
    """
    if reasons := inexpressible(architecture):
        raise ModelError(
            "; ".join(reasons),
            where="architecture",
            expected="an architecture that CTranslate2's Transformer specification can express",
            advice="Translate with `--engine torch`, or train a model without it.",
        )


def layers(spec: transformer_spec.TransformerSpec) -> dict[str, int]:
    """The layers whose matrices can be rounded or not, and how many weights each has.

    Args:
        spec: as `specification` makes it. Matrices that are equal count once, all embeddings as one layer.
    """
    spec.validate()
    found: dict[str, int] = {}
    seen: list[Any] = []
    for name, value in spec.variables(ordered=True):
        if name.endswith(WEIGHT) and not any(value.equal(other) for other in seen):
            seen.append(value)
            found[_layer(name)] = found.get(_layer(name), 0) + int(np.prod(value.shape))
    return found


def save(
    spec: transformer_spec.TransformerSpec, folder: Path, quantization: str, finer: Collection[str] = ()
) -> None:
    """Write a specification as a CTranslate2 model; the specification is used up.

    Args:
        spec: as `specification` makes it.
        folder: where.
        quantization: what matrices are rounded to.
        finer: layers, named as `layers` does, whose matrices stay in float32.
    """
    spec.validate()
    whole = {
        name: model_spec.NumpyVariable(value.numpy().copy())
        for name, value in spec.variables().items()
        if name.endswith(WEIGHT) and _layer(name) in finer
    }
    spec.optimize(quantization)
    _keep(spec, whole)
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))


def _layer(name: str) -> str:
    """Which layer a matrix belongs to: attention, feed-forward block, embeddings, output."""
    return "embeddings" if "embeddings" in name else name.removesuffix(WEIGHT).partition("/linear_")[0]


def _keep(spec: transformer_spec.TransformerSpec, whole: Mapping[str, Any]) -> None:
    """Put unrounded matrices in the place of rounded ones.

    On loading, CTranslate2 rounds every variable whose name ends in `weight` to one type, whatever it was
    stored in. So the matrix bears another name, and the one that a layer looks for is an alias of it: aliases
    are resolved after rounding, and a layer computes in the type of its own matrix.
    """
    moved = {}
    for name, value in spec.variables().items():
        if name in whole and not isinstance(value, str):
            linear, moved[name] = _parent(spec, name), name.removesuffix(WEIGHT) + "/" + KEPT
            object.__setattr__(linear, KEPT, whole[name])  # specifications know no such name
            linear.weight, linear.weight_scale = moved[name], model_spec.OPTIONAL
    for name, value in spec.variables().items():
        if isinstance(value, str) and value in moved:  # an equal matrix elsewhere
            _parent(spec, name).weight = moved[value]


def _parent(spec: transformer_spec.TransformerSpec, name: str) -> Any:
    return model_spec.index_spec(spec, name.removesuffix(WEIGHT))


def _shape(settings: ModelSettings) -> dict[str, Any]:
    shape: dict[str, Any] = {
        "pre_norm": settings.norm_order == "pre",
        "activation": ACTIVATIONS[settings.activation],
        "ffn_glu": settings.activation == "swiglu",
        "rms_norm": settings.norm == "rms_norm",
        "num_heads_kv": settings.kv_heads,
    }
    if settings.positions.kind == "rotary":
        shape |= {"rotary_dim": 0, "rotary_interleave": True, "rotary_base": settings.positions.base}
    return shape


def _write_stack(spec: Any, stack: Stack, settings: ModelSettings, positions: int) -> None:
    if settings.positions.kind == "sinusoidal":  # left out, it would make a table of another layout
        spec.position_encodings.encodings = _numbers(sinusoids(positions, settings.dim))
    elif settings.positions.kind == "learned":
        assert isinstance(stack.positions.weight, Tensor)
        spec.position_encodings.encodings = _numbers(stack.positions.weight)
    if settings.norm_order == "pre":
        _write_norm(spec.layer_norm, stack.norm)
    for part, layer in zip(spec.layer, stack.layers, strict=True):
        assert isinstance(layer, (EncoderLayer, DecoderLayer))
        _write_layer(part, layer)


def _write_layer(spec: Any, layer: EncoderLayer | DecoderLayer) -> None:
    _write_norm(spec.self_attention.layer_norm, layer.self_attention_norm)
    _write(spec.self_attention.linear[0], layer.self_attention.query_key_value)
    _write(spec.self_attention.linear[1], layer.self_attention.out)
    if isinstance(layer, DecoderLayer):
        _write_norm(spec.attention.layer_norm, layer.cross_attention_norm)
        _write(spec.attention.linear[0], layer.cross_attention.query)
        _write(spec.attention.linear[1], layer.cross_attention.key_value)
        _write(spec.attention.linear[2], layer.cross_attention.out)
    _write_norm(spec.ffn.layer_norm, layer.feed_forward_norm)
    _write_feed_forward(spec.ffn, layer.feed_forward)


def _write_feed_forward(spec: Any, block: FeedForward) -> None:
    inner = block.down.weight.size(1)  # F
    _write(spec.linear_0, block.up, slice(inner))  # the whole matrix, or the gate
    if block.gated:
        _write(spec.linear_0_noact, block.up, slice(inner, None))
    _write(spec.linear_1, block.down)


def _write(spec: Any, module: nn.Module, rows: Rows = slice(None)) -> None:
    weight, bias = module.weight, getattr(module, "bias", None)
    assert isinstance(weight, Tensor)
    spec.weight = _numbers(weight[rows])
    if bias is not None:
        spec.bias = _numbers(bias[rows])


def _write_norm(spec: Any, norm: nn.Module) -> None:
    assert isinstance(norm.weight, Tensor)
    spec.gamma = _numbers(norm.weight)
    if isinstance(norm, nn.LayerNorm):
        spec.beta = _numbers(norm.bias)


def _numbers(tensor: Tensor) -> Weights:
    """A copy of its own: rounding works in place, and a model's weights are not to be touched."""
    numbers: Weights = tensor.detach().to("cpu", torch.float32).numpy().copy()
    return numbers
