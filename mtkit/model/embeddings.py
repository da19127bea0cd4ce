"""From ids to the first states of a side."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkit.subword.vocabulary import PAD


class Embedding(nn.Module):
    """A vector for each id, multiplied by √D (Vaswani et al. 2017, section 3.4).

    Args:
        size: V, number of ids.
        dim: D.
    """

    def __init__(self, size: int, dim: int) -> None:
        super().__init__()
        self.scale = dim**0.5
        self.weight = nn.Parameter(torch.empty(size, dim))  # [V, D]

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [B, T] to states [B, T, D]; the vector of padding learns nothing here."""
        return F.embedding(ids, self.weight, padding_idx=PAD).mul(self.scale)
