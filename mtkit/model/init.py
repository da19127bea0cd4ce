"""The weights a model starts from, each with its reason. Random numbers come from torch's generator."""

import math

import torch
from torch import Tensor, nn

from mtkit.config.model import ModelSettings
from mtkit.model.attention import CrossAttention, SelfAttention
from mtkit.model.embeddings import Embedding
from mtkit.model.layers import FeedForward, Layer
from mtkit.model.positions import Learned
from mtkit.subword.vocabulary import PAD


def initialise(model: nn.Module, settings: ModelSettings) -> None:
    """Give every weight of `model` its first value; norms keep weight 1 and bias 0.

    - Matrices: Xavier uniform (Glorot and Bengio 2010, equation 16), which keeps the variance of states and
      gradients through a layer. Matrices that are fused for speed are drawn as the matrices they hold,
      so that fusing changes no distribution.
    - Pre-norm: the outputs of residual blocks are divided by √(number of blocks summed), so that the
      residual stream has about unit variance at any depth (Radford et al. 2019, section 2.3). Post-norm
      normalises the stream after each sum and starts as in Vaswani et al. 2017.
    - Embeddings and the output layer: N(0, 1/D). Times √D the embeddings have unit variance; as output
      layer they turn normalised states into logits of about unit variance, so the first loss is near ln V.
    - The vector of padding is 0; biases are 0.
    """
    for module in model.modules():
        if isinstance(module, Embedding | Learned):
            _normal(module.weight, settings.dim)
        elif isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, Embedding):
            with torch.no_grad():
                module.weight[PAD] = 0.0
    for stack in ("encoder", "decoder"):
        layers = [module for module in model.get_submodule(stack).modules() if isinstance(module, Layer)]
        for layer in layers:
            _initialise_layer(layer, settings, len(layers))


def initialise_output(weight: Tensor, dim: int) -> None:
    """An output layer of its own starts like an embedding."""
    _normal(weight, dim)


def _normal(weight: Tensor, dim: int) -> None:
    nn.init.normal_(weight, std=dim**-0.5)


def _initialise_layer(layer: Layer, settings: ModelSettings, depth: int) -> None:
    blocks = [
        module
        for module in layer.children()
        if isinstance(module, SelfAttention | CrossAttention | FeedForward)
    ]
    gain = 1.0 / math.sqrt(depth * len(blocks)) if settings.norm_order == "pre" else 1.0
    kv_dim = (settings.kv_heads or settings.heads) * settings.dim // settings.heads
    for block in blocks:
        if isinstance(block, SelfAttention):
            _xavier(block.query_key_value.weight, [settings.dim, kv_dim, kv_dim])
            _xavier(block.out.weight, [settings.dim], gain)
        elif isinstance(block, CrossAttention):
            _xavier(block.query.weight, [settings.dim])
            _xavier(block.key_value.weight, [kv_dim, kv_dim])
            _xavier(block.out.weight, [settings.dim], gain)
        else:
            _xavier(block.up.weight, [settings.ffn_dim] * (block.up.weight.size(0) // settings.ffn_dim))
            _xavier(block.down.weight, [settings.dim], gain)


def _xavier(weight: Tensor, rows: list[int], gain: float = 1.0) -> None:
    for part in torch.split(weight.detach(), rows):
        nn.init.xavier_uniform_(part, gain)
