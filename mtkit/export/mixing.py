"""Which matrices stay in float32 where rounding all of them costs too much."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from mtkit.config.export import Quantization

MIXABLE: frozenset[Quantization] = frozenset({"int8", "int8_float32"})
MOST_KEPT = 1 / 3  # of the weights: with more, the next coarser type of all of them is as small


class Rounding(NamedTuple):
    """What weights are rounded to.

    Attributes:
        quantization: of all matrices but
        finer: those of these layers, which stay in float32.
    """

    quantization: Quantization
    finer: tuple[str, ...] = ()

    def __str__(self) -> str:
        if not self.finer:
            return self.quantization
        return f"{self.quantization} with {len(self.finer)} of the layers in float32"


def mixtures(
    quantization: Quantization, weights: Mapping[str, int], harm: Callable[[str], float]
) -> Iterator[Rounding]:
    """Roundings that keep the layers in float32 whose rounding hurts most: one, two, four, and so on.

    Args:
        quantization: of the others.
        weights: layer → how many it has.
        harm: what rounding this layer alone does; asked only if there is something to choose.
    """
    order: Sequence[str] = ()
    most, count = MOST_KEPT * sum(weights.values()), 1
    while count < len(weights):
        order = order or sorted(weights, key=lambda layer: (-harm(layer), layer))
        if sum(weights[layer] for layer in order[:count]) > most:
            return
        yield Rounding(quantization, tuple(order[:count]))
        count *= 2
