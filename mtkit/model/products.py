"""Matrix products on a CPU, by whichever of torch's two libraries is made for it: MKL or oneDNN.

torch multiplies float32 by MKL, which keeps its code for 512 bits for Intel's processors: on an AMD EPYC of
family 26, one thread reaches 108 GFLOP/s by MKL and 245 by oneDNN. On an AMD processor without AVX-512 MKL
is the quicker (docs/log.md, 2026-11-29 and -30). Nothing is measured when a program starts, so that two
machines of one kind compute the same bits.
"""

import platform
from collections.abc import Callable
from functools import cache
from threading import Event
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mtkit.model.cores import cpu_vendor

NO_KERNEL = "could not create a primitive"  # what oneDNN says where the memory does not hold another
LEFT_BY_MKL = ("AuthenticAMD", "HygonGenuine")  # on whose processors it computes with 256 bits at most
MADE_FOR_MKL = "GenuineIntel"
SMALL_STEP, SMALL, STEP = 8, 128, 64  # rows: up to 128 they are filled up by eights, above by 64
PACKED_STEP, MIDDLE = 16, 512  # for a packed matrix, which searches have, up to 512 by 16

_short = Event()  # of memory for kernels


class Linear(nn.Linear):
    """A linear layer, as torch's own."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as torch names it
        """States [..., in] to states [..., out]."""
        return linear(input, self.weight, self.bias)

    def onto(self, total: Tensor, states: Tensor) -> Tensor:
        """total + what comes of states [..., in], [..., out]; for a step of search, in few passes."""
        return total + linear(states, self.weight, self.bias)


def linear(states: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """`torch.nn.functional.linear`: states · weightᵀ + bias. Can be differentiated, by oneDNN once.

    Args:
        states: [..., in].
        weight: [out, in].
        bias: [out], or None.

    Returns:
        [..., out].
    """
    if not is_quicker(states, weight):
        return F.linear(states, weight, bias)
    wanted = any(one is not None and one.requires_grad for one in (states, weight, bias))
    if not (wanted and torch.is_grad_enabled()):
        return by_onednn(states, weight, bias)
    found: Tensor = _Linear.apply(states.reshape(-1, states.size(-1)), weight, bias)  # type: ignore[no-untyped-call]  # [N, out]
    return found if states.dim() == 2 else found.view(*states.shape[:-1], -1)  # [..., out]


def product(left: Tensor, right: Tensor) -> Tensor:
    """`left @ right`; not differentiable.

    Args:
        left: [M, K]; batches of matrices [..., M, K] are left to torch.
        right: [K, N], or [..., K, N].
    """
    return by_onednn(left, right.mT) if left.dim() == 2 and is_quicker(left, right) else left @ right


def add_crossed(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += leftᵀ · right, which is how the gradient of a weight comes about; not differentiable.

    Args:
        total: [O, I]; changed in place.
        left: [N, O].
        right: [N, I].
    """
    if is_quicker(left, right):
        total.add_(crossed_by_onednn(left, right))
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
        weight: [out, in], no value of it in two places; or what `packed` made of it.
        bias: [out], or None.
    """
    rows = states.reshape(-1, states.size(-1))  # [N, in]
    count, width, is_packed = rows.size(0), weight.size(0), weight.is_mkldnn
    more = rounded(count, is_packed=is_packed) - count
    if more and rows.size(1) > width and not is_packed:
        whole = count + more - _step(count)
        above = F.linear(rows[whole:], weight, bias)  # [N - whole, out]
        found = torch.cat([_multiplied(rows[:whole], weight, bias), above])  # [N, out]
    else:
        found = _multiplied(F.pad(rows, (0, 0, 0, more)) if more else rows, weight, bias)  # [rounded, out]
        if more:
            found.resize_(count, width)  # [N, out]; no view: what comes out may be changed in place
    return found if states.dim() == 2 else found.view(*states.shape[:-1], width)  # [..., out]


def crossed_by_onednn(left: Tensor, right: Tensor) -> Tensor:
    """leftᵀ · right, [O, I] of [N, O] and [N, I], by rows or by columns; not differentiable.

    The operator copies its first operand if that does not lie by rows, so the narrower one is the first. As
    in `by_onednn` there are few N; here MKL adds the rest.
    """
    count = left.size(0)
    whole = count if count == rounded(count) else rounded(count) - _step(count)
    one, other = left[:whole].mT, right[:whole].mT  # [O, whole], [I, whole]
    if left.size(1) <= right.size(1):
        found = _multiplied(one, other, None)  # [O, I]
    else:
        found = _multiplied(other, one, None).mT  # [O, I]
    return found if whole == count else found.addmm_(left[whole:].mT, right[whole:])


def rounded(rows: int, *, is_packed: bool = False) -> int:
    """The number of rows that so many are filled up to."""
    step = PACKED_STEP if is_packed and SMALL < rows <= MIDDLE else _step(rows)
    return rows if rows <= SMALL_STEP else -(-rows // step) * step


def _step(rows: int) -> int:
    return SMALL_STEP if rows <= SMALL else STEP


def _multiplied(rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    dense = None if bias is None else bias.contiguous()  # the operator does not look at its strides
    try:
        found: Tensor = torch.ops.mkldnn._linear_pointwise(rows, weight, dense, "none", [], "")
    except RuntimeError as error:
        if NO_KERNEL not in str(error):
            raise
        _short.set()
        return F.linear(rows, weight.to_dense() if weight.is_mkldnn else weight, bias)
    return found


def is_short_of_kernels() -> bool:
    """True once the memory did not hold a kernel of oneDNN's; from then on MKL multiplies."""
    return _short.is_set()


def packed(weight: Tensor, rows: int) -> Tensor | None:
    """A float32 matrix laid out as oneDNN's kernels for so many rows read it; None where there are none."""
    if weight.dtype != torch.float32 or not has_onednn():
        return None
    found: Tensor = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    return found


def by_mkl(states: Tensor, laid_out: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """As `linear`, by MKL, of a matrix that it need not lay out first; not differentiable.

    Args:
        states: [..., in], float32 on a CPU.
        laid_out: what `packed_for_mkl` made of the matrix; any number of rows may be multiplied with it.
        weight: the matrix itself, [out, in], of which the shape is read.
        bias: [out], or None.
    """
    rows = states.numel() // states.size(-1)  # torch uses `laid_out` if it is told the rows that there are
    found: Tensor = torch.ops.mkl._mkl_linear(states, laid_out, weight, bias, rows)
    return found


def packed_for_mkl(weight: Tensor, rows: int) -> Tensor | None:
    """A float32 matrix laid out as MKL reads it, best for so many rows; None where that cannot be."""
    if weight.dtype != torch.float32 or not has_packing_of_mkl():
        return None
    found: Tensor = torch.ops.mkl._mkl_reorder_linear_weight(weight, rows)
    return found


def is_quicker(left: Tensor, right: Tensor) -> bool:
    """True for matrices that oneDNN is given; a few rows are multiplied as quickly by MKL, or sooner."""
    if torch.compiler.is_compiling() or left.device.type != "cpu" or torch.is_autocast_enabled("cpu"):
        return False
    if left.dtype != torch.float32 or right.dtype != torch.float32:
        return False
    if left.numel() <= SMALL_STEP * left.size(-1) or right.numel() == 0:
        return False
    return prefers_onednn() and not is_short_of_kernels()


@cache
def is_made_for_mkl() -> bool:
    """True on a processor that MKL has its best code for, for few rows as well."""
    return _is_x86() and MADE_FOR_MKL in cpu_vendor()


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64")


@cache
def prefers_onednn() -> bool:
    """True if oneDNN is the quicker on this processor, and there."""
    has_512_bits = torch.backends.cpu.get_cpu_capability() == "AVX512"
    is_left = _is_x86() and has_512_bits and any(vendor in cpu_vendor() for vendor in LEFT_BY_MKL)
    return is_left and has_onednn()


@cache
def has_onednn() -> bool:
    """True if this torch has oneDNN's products.

    What multiplies is what torch's own compiler makes of a linear layer. It is not documented, so it is
    tried, and left alone where it does not give the product. The answer hangs on nothing around the first
    call: not on autocast, nor on a default type or device.
    """
    if not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False

    def products(left: Tensor, right: Tensor) -> list[Tensor]:
        laid_out: Tensor = torch.ops.mkldnn._reorder_linear_weight(right, SMALL_STEP)
        return [by_onednn(left, right), by_onednn(left, laid_out)]

    return _are_products(products)


@cache
def has_packing_of_mkl() -> bool:
    """True if this torch has MKL's products of matrices laid out before; tried as oneDNN's are."""
    if not torch.backends.mkl.is_available():  # type: ignore[no-untyped-call]
        return False

    def products(left: Tensor, right: Tensor) -> list[Tensor]:
        laid_out: Tensor = torch.ops.mkl._mkl_reorder_linear_weight(right, 2)
        return [by_mkl(left, laid_out, right)]

    return _are_products(products)


def _are_products(found: Callable[[Tensor, Tensor], list[Tensor]]) -> bool:
    """True if all that is found of left [3, 4] and right [5, 4] is left · rightᵀ."""
    numbers = torch.arange(20, dtype=torch.float32, device="cpu")
    left, right = numbers[:12].view(3, 4), numbers.view(5, 4)
    try:
        with torch.autocast("cpu", enabled=False), torch.no_grad():
            return all(torch.equal(one, left @ right.mT) for one in found(left, right))
    except (AttributeError, NotImplementedError, RuntimeError):
        return False


class _Linear(torch.autograd.Function):
    """`by_onednn` of rows [N, in], with its gradients."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        wanted_rows, wanted_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(rows if wanted_weight else None, weight if wanted_rows else None)
        return by_onednn(rows, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_found: Tensor) -> tuple[Tensor | None, ...]:
        rows, weight = ctx.saved_tensors
        return (
            None if weight is None else by_onednn(of_found, weight.mT),  # [N, in]
            None if rows is None else crossed_by_onednn(of_found, rows).contiguous(),  # [out, in]
            of_found.sum(0) if ctx.needs_input_grad[2] else None,  # [out]
        )
