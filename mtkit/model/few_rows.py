"""How the weights of a search lie in memory. What they are is not changed here."""

from torch import nn

from mtkit.model.transformer import Transformer


def lay_out_for_few_rows(model: Transformer) -> None:
    """Lay out a model on a CPU for products with few rows, as a step of search makes them.

    With a matrix stored by its columns, a product of 64 rows takes four fifths of the time, one of 300 the
    same (docs/log.md). A matrix that is an embedding as well is looked up by rows, and kept in both ways.

    Args:
        model: to be searched only.
    """
    for layer in model.decoder.modules():
        if isinstance(layer, nn.Linear):
            layer.weight.data = layer.weight.data.t().contiguous().t()
    model.output_by_columns = model.output_weight.data.t().contiguous().t()
