"""How the weights of a search lie in memory. What they are is not changed here."""

from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkit.model.products import (
    SMALL_STEP,
    by_mkl,
    by_onednn,
    is_made_for_mkl,
    is_short_of_kernels,
    packed,
    packed_for_mkl,
    prefers_onednn,
    rounded,
)
from mtkit.model.transformer import Transformer

MOST = 128  # rows; with more, MKL is about as quick on the processors that it is made for
CACHED = 2**20  # numbers of a matrix that stays near a core; such a one MKL multiplies the sooner there


def lay_out_for_few_rows(model: Transformer) -> None:
    """Lay out a model on a CPU for products with few rows, as a step of search makes them.

    A matrix that is an embedding as well is looked up by rows, and stays as it is.

    Args:
        model: to be searched only.
    """
    for module in model.decoder.modules():
        for name, layer in module.named_children():
            if isinstance(layer, nn.Linear):
                setattr(module, name, FewRows(layer.weight, layer.bias))
    output = FewRows(model.output_weight, model.output_bias)
    model.output_for_search = output.forward
    if output.packed is not None and not is_made_for_mkl():  # there most products are MKL's, of any rows
        model.rows_for_search = partial(rounded, is_packed=True)


class FewRows(nn.Module):
    """A linear layer that has its matrix by columns, and packed as oneDNN's kernels, or MKL's, read it.

    For one row the columns are the quicker, for more the packed matrix is: 64 rows take 0.6 to 0.9 of the
    time, five rows 0.4. On Intel's processors that is so of large matrices alone, an output layer's, which
    MKL packs, and others are not packed (docs/log.md, 2026-11-29 and 2026-12-01).

    Args:
        weight: [out, in], of which it has copies.
        bias: [out], or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        by_columns = weight.data.t().contiguous().t()
        self.weight = nn.Parameter(by_columns, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self._columns = by_columns.t()  # [in, out]; found sooner than what a module registers
        self._added = None if bias is None else bias.data
        self.packed = self.packed_for_mkl = None
        if not is_made_for_mkl():
            self.packed = packed(weight.data, SMALL_STEP)
        elif weight.numel() > CACHED:
            self.packed_for_mkl = packed_for_mkl(weight.data, MOST)
            self.packed = None if self.packed_for_mkl is not None else packed(weight.data, SMALL_STEP)

    def forward(self, states: Tensor) -> Tensor:
        """States [..., in] to states [..., out]."""
        rows = states.numel() // states.size(-1)
        if self._takes_columns(rows):
            if self._added is None or states.dim() > 2:
                return F.linear(states, self.weight, self.bias)
            return torch.addmm(self._added, states, self._columns)  # as that, without asking what there is
        if self.packed is None:
            assert self.packed_for_mkl is not None
            return by_mkl(states, self.packed_for_mkl, self.weight, self.bias)
        return by_onednn(states, self.packed, self.bias)

    def onto(self, total: Tensor, states: Tensor) -> Tensor:
        """total [R, out] + what comes of states [R, in], in one pass less where columns are multiplied."""
        if not self._takes_columns(states.size(0)):
            return total + self.forward(states)
        if self._added is None:
            return torch.addmm(total, states, self._columns)
        return (total + self._added).addmm_(states, self._columns)

    def _takes_columns(self, rows: int) -> bool:
        if rows < 2 or (self.packed is None and self.packed_for_mkl is None):
            return True
        is_for_mkl = (rows > MOST and not prefers_onednn()) or is_short_of_kernels()
        return self.packed is not None and is_for_mkl
