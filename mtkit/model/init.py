"""The weights a model starts from, each with its reason. Random numbers come from torch's generator."""

import torch
from torch import Tensor, nn

from mtkit.config.model import ModelSettings
from mtkit.model.attention import CrossAttention, SelfAttention
from mtkit.model.embeddings import Embedding
from mtkit.model.layers import FeedForward
from mtkit.model.positions import Learned
from mtkit.subword.vocabulary import PAD


def initialise(model: nn.Module, settings: ModelSettings) -> None:
    """Give every weight of `model` its first value; norms keep weight 1 and bias 0.

    - Matrices: Xavier uniform (Glorot and Bengio 2010, equation 16), which keeps the variance of states and
      gradients through a layer. Matrices that are fused for speed are drawn as the matrices they hold,
      so that fusing changes no distribution.
    - Outputs of residual blocks are not made smaller with depth, as Radford et al. 2019 do: with tied
      embeddings the stream would stay so near the vector of the id just read that the model starts out
      sure to repeat it: the first loss is 4.1 nats above ln V instead of 0.6 (D = 256, 3 + 3 layers), and
      in a trial (D = 128, one seed) the validation loss was higher from update 40 to 200, level at 240.
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
        _initialise_block(module, settings)


def initialise_output(weight: Tensor, dim: int) -> None:
    """An output layer of its own starts like an embedding."""
    _normal(weight, dim)


def _normal(weight: Tensor, dim: int) -> None:
    nn.init.normal_(weight, std=dim**-0.5)


def _initialise_block(block: nn.Module, settings: ModelSettings) -> None:
    kv_dim = (settings.kv_heads or settings.heads) * settings.dim // settings.heads
    if isinstance(block, SelfAttention):
        _xavier(block.query_key_value.weight, [settings.dim, kv_dim, kv_dim])
        _xavier(block.out.weight, [settings.dim])
    elif isinstance(block, CrossAttention):
        _xavier(block.query.weight, [settings.dim])
        _xavier(block.key_value.weight, [kv_dim, kv_dim])
        _xavier(block.out.weight, [settings.dim])
    elif isinstance(block, FeedForward):
        _xavier(block.up.weight, [settings.ffn_dim] * (block.up.weight.size(0) // settings.ffn_dim))
        _xavier(block.down.weight, [settings.dim])


def _xavier(weight: Tensor, rows: list[int]) -> None:
    for part in torch.split(weight.detach(), rows):
        nn.init.xavier_uniform_(part)
