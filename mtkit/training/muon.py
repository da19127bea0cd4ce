"""Muon: momentum whose steps are orthogonalised, for the matrices inside the layers.

With the same polynomial the same steps as `torch.optim.Muon` (an agreement test says so); ours is in float32,
because bfloat16 on a CPU without matrix units for it is slower, and takes fewer multiplications.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mtkit.model.products import by_onednn, is_quicker, product
from mtkit.model.workers import ALONE, Workers
from mtkit.training.sharding import is_shared_out, shared_out, whole
from mtkit.training.uncompiled import Uncompiled

# X ← aX + b(XXᵀ)X + c(XXᵀ)²X, one (a, b, c) a round: the polynomials that bring singular values between 0.02
# and 1 nearest to 1 in three rounds, within 0.093 (Remez's exchange, each round on the interval that the one
# before leaves; Amsel et al. 2025, "The Polar Express", show that this greedy choice is best). A matrix of
# width 192 has singular values of about 0.07 of its norm; smaller ones than 0.02 grow by up to 55.
ROUNDS = ((7.7110, -22.1138, 16.2487), (3.2153, -2.4112, 0.5013), (2.2183, -1.5940, 0.4107))
LEAST_NORM = 1e-7
WIDE = 1.5  # from this ratio of sides on, iterating on the small square is cheaper


class Muon(Uncompiled):
    """Momentum orthogonalised by Newton-Schulz (MomentUm Orthogonalized by Newton-Schulz).

    Args:
        parameters: matrices, or groups of them; a group may carry `rows`, the heights of the maps that each
            of its matrices stacks on top of each other: they are orthogonalised one by one, since a
            fused matrix of queries, keys and values is three maps that only share their input.
        learning_rate: of a square matrix; others get it times sqrt(max(1, rows / columns)) of the block.
        momentum: decay of the averaged gradient, which is looked at one step ahead (Nesterov).
        weight_decay: decoupled; an update shrinks weights by learning_rate · weight_decay.
        workers: share the matrices among them, on a CPU.

    Source: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/; separate blocks as advised there.
    """

    def __init__(
        self,
        parameters: Iterable[Tensor] | Iterable[dict[str, Any]],
        learning_rate: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        workers: Workers = ALONE,
    ) -> None:
        self._workers = workers
        defaults = {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay, "rows": None}
        super().__init__(parameters, defaults)

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step for every matrix that has a gradient."""
        assert closure is None, "this optimiser evaluates nothing again"
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights and is_shared_out(weights[0]):
                self._move_sharded(weights, group)
            elif weights and weights[0].device.type == "cpu":
                list(self._workers.map(partial(self._move, [weight], group) for weight in weights))
            else:
                self._move(weights, group)

    @torch.no_grad()
    def _move(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """One step for some matrices of a group; runs in a worker's thread."""
        directions = [self._direction(weight, group["momentum"]) for weight in weights]
        for weight, blocks in zip(weights, _orthogonal_blocks(directions, group["rows"]), strict=True):
            weight.mul_(1 - group["lr"] * group["weight_decay"])
            parts = torch.split(weight, [len(block) for block in blocks])
            for part, block in zip(parts, blocks, strict=True):
                part.add_(block, alpha=-group["lr"] * math.sqrt(max(1.0, len(block) / block.shape[1])))

    @torch.no_grad()
    def _move_sharded(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        """The same for weights of which each process holds some rows: one whole matrix at a time."""
        for weight in weights:
            direction = self._direction(weight, group["momentum"])
            (blocks,) = _orthogonal_blocks([whole(direction)], group["rows"])
            scaled = [block * math.sqrt(max(1.0, len(block) / block.shape[1])) for block in blocks]
            step = shared_out(torch.cat(scaled), weight)
            weight.mul_(1 - group["lr"] * group["weight_decay"]).add_(step, alpha=-group["lr"])

    def _direction(self, weight: Tensor, momentum: float) -> Tensor:
        """The averaged gradient, looked at one step ahead."""
        assert weight.grad is not None
        state = self.state[weight]
        if "momentum_buffer" not in state:
            state["momentum_buffer"] = torch.zeros_like(weight.grad)
        average = state["momentum_buffer"].lerp_(weight.grad, 1 - momentum)
        return weight.grad.lerp(average, momentum)


def _orthogonal_blocks(matrices: list[Tensor], rows: list[int] | None) -> list[list[Tensor]]:
    """The orthogonalised blocks of each matrix.

    A GPU gets all blocks of one shape at once, since each alone is too small for it; on a CPU a batched
    product is no faster and its operands leave the cache, so there they go one by one.
    """
    blocks = [list(torch.split(matrix, rows or matrix.shape[0])) for matrix in matrices]
    parts = [block for of_matrix in blocks for block in of_matrix]
    done = list(parts)
    for indices in _alike(parts):
        if parts[indices[0]].device.type == "cpu":
            made: Sequence[Tensor] = [orthogonalised(parts[index]) for index in indices]
        else:
            made = orthogonalised(torch.stack([parts[index] for index in indices])).unbind()
        for index, block in zip(indices, made, strict=True):
            done[index] = block
    remaining = iter(done)
    return [[next(remaining) for _ in of_matrix] for of_matrix in blocks]


def _alike(parts: list[Tensor]) -> list[list[int]]:
    """The indices of the parts of each shape."""
    shapes: dict[tuple[int, ...], list[int]] = {}
    for index, part in enumerate(parts):
        shapes.setdefault(tuple(part.shape), []).append(index)
    return list(shapes.values())


def orthogonalised(matrix: Tensor) -> Tensor:
    """The matrix with its singular values moved to about 1 (0.9 to 1.1), its directions kept.

    A round of `ROUNDS` after the other. Far from square matrices are iterated on their small
    Gram matrix alone, X being multiplied only at the end: the same polynomial, about half the work.

    Args:
        matrix: [..., rows, columns], any floating type; computed in float32.

    Source: Jordan et al. 2024; Amsel et al. 2025; Björck and Bowie 1971 for the iteration.
    """
    x = matrix.float()
    upright = x.shape[-2] > x.shape[-1]
    if upright:
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=LEAST_NORM)
    x = _by_gram(x) if x.shape[-1] >= WIDE * x.shape[-2] else _plain(x)
    return (x.mT if upright else x).to(matrix.dtype)


def _plain(x: Tensor) -> Tensor:
    """Newton-Schulz on X itself."""
    for a, b, c in ROUNDS:
        gram = product(x, x.mT)
        x = _product(x, _product(gram, gram, gram, b, c), x, a, 1.0)
    return x


def _by_gram(x: Tensor) -> Tensor:
    """Newton-Schulz on G = XXᵀ: with P = aI + bG + cG² of each round, G ← PGP; the result is P₃P₂P₁X."""
    gram = product(x, x.mT)
    total: Tensor | None = None
    for number, (a, b, c) in enumerate(ROUNDS, start=1):
        factor = _product(gram, gram, gram, b, c)
        factor.diagonal(dim1=-2, dim2=-1).add_(a)
        total = factor if total is None else product(factor, total)
        if number < len(ROUNDS):
            gram = product(product(factor, gram), factor)
    assert total is not None
    return product(total, x)


def _product(addend: Tensor, left: Tensor, right: Tensor, beta: float, alpha: float) -> Tensor:
    """beta · addend + alpha · left @ right, in one pass, batched or not."""
    if left.dim() == 2 and is_quicker(left, right):
        return by_onednn(left, right.mT).mul_(alpha).add_(addend, alpha=beta)
    multiply = torch.addmm if addend.dim() == 2 else torch.baddbmm
    return multiply(addend, left, right, beta=beta, alpha=alpha)
