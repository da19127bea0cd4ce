"""How the weights of a search lie in memory. What they are is not changed here."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mtkit.model.transformer import Transformer

MOST = 128  # rows; with more, torch's own product is about as quick
ROUNDED = 8  # above so many rows, they are filled up to a multiple of it


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
    model.output_for_search = FewRows(model.output_weight, model.output_bias).forward


class FewRows(nn.Module):
    """A linear layer that has its matrix twice: by columns, and packed as oneDNN's kernels read it.

    For one row the columns are the quicker, for more the packed matrix is: 64 rows take 0.6 to 0.9 of the
    time, five rows 0.4 (docs/log.md). oneDNN makes and keeps kernels for every number of rows that it meets,
    so there are few of those.

    Args:
        weight: [out, in]; both are copies of it.
        bias: [out], or None.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        super().__init__()
        by_columns = weight.data.t().contiguous().t()
        self.weight = nn.Parameter(by_columns, requires_grad=False)
        self.bias = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.packed = _packed(weight.data)

    def forward(self, states: Tensor) -> Tensor:
        """States [..., in] to states [..., out]."""
        rows = states.numel() // states.size(-1)
        if self.packed is None or not 1 < rows <= MOST:
            return F.linear(states, self.weight, self.bias)
        flat = states.reshape(rows, -1)
        if rows > ROUNDED:
            flat = F.pad(flat, (0, 0, 0, -rows % ROUNDED))
        found: Tensor = torch.ops.mkldnn._linear_pointwise(flat, self.packed, self.bias, "none", [], "")
        return found[:rows].view(*states.shape[:-1], -1)


def _packed(weight: Tensor) -> Tensor | None:
    """A matrix as oneDNN's kernels read it, or None where this torch has none for it.

    What packs and multiplies is what torch's own compiler makes of a linear layer. It is not documented, so
    it is tried here, and left alone where it does not give the product.
    """
    if weight.dtype != torch.float32 or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return None
    operators, row = torch.ops.mkldnn, torch.ones(2, weight.size(1))
    try:
        packed: Tensor = operators._reorder_linear_weight(weight, ROUNDED)
        product = operators._linear_pointwise(row, packed, None, "none", [], "")
    except (AttributeError, NotImplementedError, RuntimeError):
        return None
    return packed if torch.allclose(product, F.linear(row, weight), rtol=1e-3, atol=1e-3) else None
