"""Computing that goes on, with zeros, when the memory runs out: for passes that processes make together.

Where weights are shared out, the processes gather them layer by layer, forward and backward, and each has to
do so as often as the others. So what a process computes in between may run out of memory, but not raise. What
follows on it is decided in `sharding.py`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from mtkit.training.pieces import attempted

Outputs = tuple[Tensor, ...]


class Unfailing:
    """Steps of a pass, of which none raises for want of memory.

    From the first that does not fit to the next `begin` nothing is computed: results and gradients are
    zeros, and what was kept for the backward pass is let go.

    Attributes:
        failed: True if one did not fit.
    """

    def __init__(self) -> None:
        self.failed = False
        self._kept: dict[int, tuple[Tensor, list[Tensor]]] = {}  # a step's result, and what it came from
        self._steps = 0

    def begin(self) -> None:
        """Forget what failed."""
        self.failed = False
        self._kept.clear()

    def wrap(self, owner: nn.Module, name: str, parts: nn.Module, width: int) -> None:
        """Let a method of a module be such a step.

        Args:
            owner: the module.
            name: of its method, which makes [B, T, width] of tensors of which the first is [B, T, …].
            parts: holds the weights that it uses.
            width: see above.
        """
        compute = getattr(owner, name)

        def step(first: Tensor, *others: Any) -> Tensor:
            def zeros() -> Outputs:
                return (first.new_zeros(*first.shape[:2], width, dtype=torch.float32),)

            (made,) = self.run(
                lambda *inputs: (compute(*inputs),), (first, *others), list(parts.parameters()), zeros
            )
            return made

        setattr(owner, name, step)

    def run(
        self,
        compute: Callable[..., Outputs],
        inputs: Sequence[Any],
        weights: Sequence[Tensor],
        zeros: Callable[[], Outputs],
    ) -> Outputs:
        """Compute a step.

        Args:
            compute: of the inputs; the first of its results can be differentiated, the others cannot.
            inputs: tensors and other things.
            weights: that it uses besides.
            zeros: results of the same shapes.
        """
        found: Outputs = _Step.apply(self, compute, zeros, len(inputs), *inputs, *weights)  # type: ignore[no-untyped-call]
        return found

    def forward(
        self, compute: Callable[..., Outputs], inputs: Sequence[Any], weights: Sequence[Tensor]
    ) -> tuple[int, Outputs | None]:
        """Number and results of a step; None if the memory does not hold it."""
        self._steps += 1
        if self.failed:
            return self._steps, None
        found = attempted(partial(self._keep, compute, inputs, weights))
        if found is None:
            self._fail()
        return self._steps, found

    def backward(self, number: int, gradient: Tensor) -> Sequence[Tensor] | None:
        """The gradients of what a step came from: inputs that can be differentiated, and weights."""
        if self.failed:
            return None
        made, came_from = self._kept.pop(number)
        found = attempted(
            partial(torch.autograd.grad, made, came_from, gradient, allow_unused=True, materialize_grads=True)
        )
        if found is None:
            self._fail()
        return found

    def _keep(
        self, compute: Callable[..., Outputs], inputs: Sequence[Any], weights: Sequence[Tensor]
    ) -> Outputs:
        here = [
            one.detach().requires_grad_(one.requires_grad) if isinstance(one, Tensor) else one
            for one in inputs
        ]
        with torch.enable_grad():
            made = compute(*here)
        came_from = [one for one in here if isinstance(one, Tensor) and one.requires_grad]
        self._kept[self._steps] = made[0], [*came_from, *weights]
        return tuple(one.detach() for one in made)

    def _fail(self) -> None:
        self.failed = True
        self._kept.clear()


class _Step(torch.autograd.Function):
    """A step as the graph of the pass sees it; its own graph is kept by `Unfailing`."""

    @staticmethod
    def forward(
        ctx: Any,
        steps: Unfailing,
        compute: Callable[..., Outputs],
        zeros: Callable[[], Outputs],
        count: int,
        *tensors: Any,
    ) -> Outputs:
        ctx.steps = steps
        ctx.number, found = steps.forward(compute, tensors[:count], tensors[count:])
        ctx.likes = [
            (one.shape, one.dtype, one.device) if isinstance(one, Tensor) and one.requires_grad else None
            for one in tensors
        ]
        found = zeros() if found is None else found
        ctx.mark_non_differentiable(*found[1:])
        return found

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        found = ctx.steps.backward(ctx.number, gradients[0])
        if found is None:
            made = [
                like if like is None else torch.zeros(like[0], dtype=like[1], device=like[2])
                for like in ctx.likes
            ]
        else:
            remaining = iter(found)
            made = [None if like is None else next(remaining) for like in ctx.likes]
        return None, None, None, None, *made
