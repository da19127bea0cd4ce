"""Matrix products on a CPU, by whichever of torch's two libraries is made for it: MKL or oneDNN.

torch multiplies float32 by MKL, which keeps its best code for Intel's processors: on an AMD EPYC of family
26, one thread reaches 108 GFLOP/s by MKL and 245 by oneDNN (docs/log.md, 2026-11-29). CTranslate2 chooses
alike. Nothing is measured when a program starts, so that two machines of one kind compute the same bits.
"""

import platform
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkit.model.cores import cpu_vendor

MADE_FOR_MKL = "GenuineIntel"
FEW, SEVERAL, MANY = 8, 128, 64  # up to 8 rows as they are, up to 128 by eights, then by 64


class Linear(nn.Linear):
    """A linear layer, as torch's own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as torch names it
        """States [..., in] to states [..., out]."""
        return linear(input, self.weight, self.bias)


def linear(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`: states [..., in] · weight [out, in]ᵀ + bias [out], differentiable."""
    if not is_quicker(states, weight):
        return F.linear(states, weight, bias)
    if not (torch.is_grad_enabled() and (states.requires_grad or weight.requires_grad)):
        return by_onednn(states, weight, bias)
    rows = states.reshape(-1, states.size(-1))
    found: Tensor = _Linear.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
    return found.view(*states.shape[:-1], -1)


def product(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right` of two matrices or of two batches of them; not differentiable."""
    return by_onednn(left, right.mT) if left.dim() == 2 and is_quicker(left, right) else left @ right


def add_crossed(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total [O, I] += leftᵀ · right, of [N, O] and [N, I]; not differentiable."""
    if is_quicker(left, right):
        total.add_(_crossed(left, right))
    elif total.dtype == left.dtype:
        total.addmm_(left.mT, right)  # in one pass
    else:
        total.add_(left.mT @ right)


def by_onednn(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `linear`, by oneDNN's kernels; not differentiable.

    For every number of rows that it meets oneDNN makes kernels, which takes half a millisecond, and keeps a
    thousand, of half a megabyte each: micro-batches of every size took 2 GB more. So there are few numbers:
    rows are filled up to `rounded`, or what is above a round number is left to MKL, whichever copies less.

    Args:
        states: [..., in], float32 on a CPU.
        weight: [out, in], in any layout; or what `packed` made of it.
        bias: [out], or None.
    """
    rows = states.reshape(-1, states.size(-1))
    count, width = rows.size(0), weight.size(0)
    more = rounded(count) - count
    if more and rows.size(1) > width and not weight.is_mkldnn:
        whole = rounded(count) - _step(count)
        found = torch.cat([_multiplied(rows[:whole], weight, bias), F.linear(rows[whole:], weight, bias)])
    else:
        found = _multiplied(F.pad(rows, (0, 0, 0, more)) if more else rows, weight, bias)
        found.resize_(count, width)  # no view: what comes out may be changed in place
    return found.view(*states.shape[:-1], width) if states.dim() != 2 else found


def rounded(rows: int) -> int:
    """The number of rows that so many are filled up to."""
    return rows if rows <= FEW else -(-rows // _step(rows)) * _step(rows)


def _step(rows: int) -> int:
    return FEW if rows <= SEVERAL else MANY


def _multiplied(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return found


def packed(weight: Tensor, rows: int) -> Tensor | None:
    """A float32 matrix laid out as oneDNN's kernels for so many rows read it; None where there are none."""
    if weight.dtype != torch.float32 or not has_onednn():
        return None
    found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return found


def is_quicker(left: Tensor, right: Tensor) -> bool:
    """True for matrices that oneDNN multiplies sooner than MKL; a single row is read as quickly by both."""
    if torch.compiler.is_compiling() or left.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    if left.dtype != torch.float32 or right.dtype != torch.float32:
        return False
    return left.numel() > left.size(-1) and right.numel() > 0 and prefers_onednn()


@cache
def prefers_onednn() -> bool:
    """True if oneDNN is the quicker on this processor, and there."""
    is_x86 = platform.machine().lower() in ("x86_64", "amd64")
    return is_x86 and MADE_FOR_MKL not in cpu_vendor() and has_onednn()


@cache
def has_onednn() -> bool:
    """True if this torch has oneDNN's products.

    What multiplies is what torch's own compiler makes of a linear layer. It is not documented, so it is
    tried, and left alone where it does not give the product.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    left, right = torch.arange(12.0).view(3, 4), torch.arange(20.0).view(5, 4)
    try:
        laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(right, FEW)
        found = by_onednn(left, right), by_onednn(left, laid_out)
    except (AttributeError, NotImplementedError, RuntimeError):
        return False
    return all(torch.equal(one, left @ right.T) for one in found)


class _Linear(torch.autograd.Function):
    """`by_onednn` of rows [N, in], with its gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        ctx.save_for_backward(rows, weight)
        return by_onednn(rows, weight, bias)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        (of_found,) = gradients  # [N, out]
        wanted_rows, wanted_weight, wanted_bias = ctx.needs_input_grad
        return (
            by_onednn(of_found, weight.mT) if wanted_rows else None,
            _crossed(of_found, rows).contiguous() if wanted_weight else None,
            of_found.sum(0) if wanted_bias else None,
        )


def _crossed(left: Tensor, right: Tensor) -> Tensor:
    """leftᵀ · right by oneDNN, [O, I] of [N, O] and [N, I]; by rows or by columns.

    The operator copies its first operand if that does not lie by rows, so the narrower one is the first. As
    in `by_onednn` there are few N; here MKL adds the rest.
    """
    count = left.size(0)
    whole = count if count == rounded(count) else rounded(count) - _step(count)
    one, other = left[:whole].mT, right[:whole].mT
    if left.size(1) <= right.size(1):
        found = _multiplied(one, other, None)
    else:
        found = _multiplied(other, one, None).mT
    return found if whole == count else found.addmm_(left[whole:].mT, right[whole:])
