"""How the order of tokens is told: sinusoidal and learned vectors are added, rotary turns queries and keys.

Tables are computed once, in float32, and grow when a longer text comes. They are no part of the weights.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkit.batches.packed import Layout
from mtkit.config.model import LearnedPositions, ModelSettings
from mtkit.errors import ModelError

FIRST_ROWS = 512  # positions computed at once; most texts never need more
WAVELENGTH_BASE = 10000.0  # Vaswani et al. 2017, section 3.5


class NoPositions(nn.Module):
    """Adds nothing: rotary positions act inside attention."""

    def forward(self, embedded: Tensor, start: int = 0) -> Tensor:
        """The embeddings as they are."""
        return embedded

    def at(self, embedded: Tensor, layout: Layout) -> Tensor:
        """The embeddings as they are."""
        return embedded


class Sinusoidal(nn.Module):
    """Adds sin(t / 10000^(2i/D)) to dimension 2i, the cosine to 2i + 1 (Vaswani et al. 2017, section 3.5)."""

    table: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim
        self.register_buffer("table", sinusoids(FIRST_ROWS, dim), persistent=False)

    def forward(self, embedded: Tensor, start: int = 0) -> Tensor:
        """Add positions `start`, `start + 1`, … to `embedded` [B, T, D]."""
        end = start + embedded.size(1)
        return embedded + self.reaching(end)[start:end]  # [B, T, D]

    def at(self, embedded: Tensor, layout: Layout) -> Tensor:
        """Add to each row of `embedded` [M, D] its position."""
        return embedded + F.embedding(layout.positions, self.reaching(layout.longest))  # [M, D]

    def reaching(self, length: int) -> Tensor:
        """The table, lengthened if it has not so many positions."""
        table = self.table  # another thread may lengthen it meanwhile
        if length > table.size(0):
            table = self.table = sinusoids(2 * length, self.dim, table.device)
        return table


class Learned(nn.Module):
    """Adds a learned vector for each position; there are `max` of them."""

    def __init__(self, settings: LearnedPositions, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(settings.max, dim))  # [max, D]

    def forward(self, embedded: Tensor, start: int = 0) -> Tensor:
        """Add positions `start`, `start + 1`, … to `embedded` [B, T, D].

        Raises:
            ModelError: the text is longer than there are positions.
        """
        end, most = start + embedded.size(1), self.weight.size(0)
        if end > most:
            raise ModelError(
                f"a text of {end} tokens, but only {most} positions were learned",
                where="positions",
                expected=f"at most {most} tokens a side, end mark counted",
                advice="Split the text, or train with a larger `model.positions.max`.",
            )
        return embedded + self.weight[start:end]  # [B, T, D]

    def at(self, embedded: Tensor, layout: Layout) -> Tensor:
        """Add to each row of `embedded` [M, D] its position; there are enough, or the recipe is refused."""
        return embedded + F.embedding(layout.positions, self.weight)  # [M, D]


class Rotary(nn.Module):
    """Turns dimensions (2i, 2i + 1) of queries and keys by t / base^(2i/K) (Su et al. 2021, equation 15).

    The pair is one complex number, and turning is one complex product: on a CPU half the time of sines and
    cosines on real halves. CTranslate2 calls this layout `rotary_interleave`.

    Args:
        head_dim: K.
        base: the longest wavelength is 2π times this.
    """

    turns: Tensor

    def __init__(self, head_dim: int, base: float) -> None:
        super().__init__()
        self.head_dim, self.base = head_dim, base
        self.register_buffer("turns", rotations(FIRST_ROWS, head_dim, base), persistent=False)

    def forward(self, heads: Tensor, start: int = 0) -> Tensor:
        """Turn `heads` [B, T, H, K], whose first position is `start`."""
        end = start + heads.size(1)
        turns = torch.view_as_complex(self.reaching(end)[start:end]).unsqueeze(1)  # [T, 1, K/2]
        pairs = torch.view_as_complex(heads.float().reshape(*heads.shape[:-1], -1, 2))  # [B, T, H, K/2]
        return torch.view_as_real(pairs * turns).flatten(-2).to(heads.dtype)  # [B, T, H, K]

    def at(self, heads: Tensor, layout: Layout) -> Tensor:
        """Turn each row of `heads` [M, H, K] by its position, without complex numbers, for compilers."""
        turns = F.embedding(layout.positions, self.reaching(layout.longest).flatten(1))  # [M, K]
        cosine, sine = turns.view(-1, 1, self.head_dim // 2, 2).unbind(-1)  # [M, 1, K/2]
        even, odd = heads.float().reshape(*heads.shape[:-1], -1, 2).unbind(-1)  # [M, H, K/2]
        turned = torch.stack((even * cosine - odd * sine, even * sine + odd * cosine), dim=-1)
        return turned.flatten(-2).to(heads.dtype)  # [M, H, K]

    def reaching(self, length: int) -> Tensor:
        """The table, lengthened if it has not so many positions."""
        table = self.turns  # another thread may lengthen it meanwhile
        if length > table.size(0):
            table = self.turns = rotations(2 * length, self.head_dim, self.base, table.device)
        return table


def sinusoids(length: int, dim: int, device: torch.device | None = None) -> Tensor:
    """The table of sines and cosines, [length, D]."""
    with torch.inference_mode(False):  # see `_angles`
        angles = _angles(length, dim, WAVELENGTH_BASE)
        table = torch.stack([angles.sin(), angles.cos()], dim=-1).flatten(-2)  # [length, D]
        return table.to(device, torch.float32)


def rotations(length: int, head_dim: int, base: float, device: torch.device | None = None) -> Tensor:
    """The table of turns as (real, imaginary), [length, K/2, 2]: real, as a cast of the model expects."""
    with torch.inference_mode(False):  # see `_angles`
        angles = _angles(length, head_dim, base)
        turns = torch.stack([angles.cos(), angles.sin()], dim=-1)  # [length, K/2, 2]
        return turns.to(device, torch.float32)


def _angles(length: int, dim: int, base: float) -> Tensor:
    # Tables are never inference tensors: one first made while translating must serve training later.
    rates = base ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)  # [dim/2]
    return torch.arange(length, dtype=torch.float64).unsqueeze(1) * rates  # [length, dim/2]


def added_positions(settings: ModelSettings) -> nn.Module:
    """The module that adds positions to one side's embeddings."""
    if isinstance(settings.positions, LearnedPositions):
        return Learned(settings.positions, settings.dim)
    if settings.positions.kind == "sinusoidal":
        return Sinusoidal(settings.dim)
    return NoPositions()


def turned_positions(settings: ModelSettings) -> Rotary | None:
    """The rotary module of one attention layer, or None."""
    if settings.positions.kind != "rotary":
        return None
    return Rotary(settings.dim // settings.heads, settings.positions.base)
