"""Layers, and the loss, through torch's compiler: many kernels become few, whatever a batch's number of rows.

All layers of a kind share what is compiled. Whether anything is compiled is decided in `packing.py`.
"""

import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mtkit.batches.packed import Layout
from mtkit.model.transformer import as_it_is

# Encoder layer, decoder layer, loss; nothing else should come, whatever the number of rows and sentences.
# Below torch's own limit of 8, at which it would raise.
MOST_COMPILATIONS = 6


class CompiledLayers:
    """How packed batches go through layers, compiled; put in the place of `Stack.through`.

    Args:
        say: is told, once, if layers are not compiled any more.
        backend: of torch's compiler.

    Attributes:
        compilations: so far.
    """

    def __init__(self, say: Callable[[str], None], backend: str = "inductor") -> None:
        from torch._dynamo.backends.registry import lookup_backend

        torch.compiler.reset()  # what an earlier training in this process compiled counts as none
        _repeat_itself()
        self.compilations, self._say = 0, say
        self._has_said = False
        make = lookup_backend(backend)

        def counted(graph: Any, inputs: Any) -> Any:
            self.compilations += 1
            return make(graph, inputs)

        self._call = torch.compile(as_it_is, backend=counted, fullgraph=True)

    def __call__(self, called: Callable[..., Any], *arguments: object) -> Any:
        """What a layer or a function returns; computed as it is if too much has been compiled already."""
        for argument in arguments:
            for rows in _rows(argument):
                torch._dynamo.maybe_mark_dynamic(rows, 0)
        if self.compilations < MOST_COMPILATIONS:
            with warnings.catch_warnings():
                # The compiler looks at the gradients of states, which have none.
                warnings.filterwarnings("ignore", "The .grad attribute of a Tensor that is not a leaf")
                return self._call(called, *arguments)
        if not self._has_said:
            self._say(f"nothing new is compiled any more: {self.compilations} layers and functions have been")
            self._has_said = True
        with torch.compiler.set_stance("eager_on_recompile"):
            return self._call(called, *arguments)

    def __deepcopy__(self, _: object) -> "CompiledLayers":
        """Copies of a model share what is compiled."""
        return self


def _rows(argument: object) -> Iterator[Tensor]:
    """The tensors whose first dimension counts a batch's rows or sentences: no weights, no single vectors."""
    if isinstance(argument, Layout):
        yield from (argument.positions, argument.starts)
    elif isinstance(argument, nn.Parameter) or not isinstance(argument, Tensor):
        return
    elif argument.dim() == 2 or not argument.is_floating_point():
        yield argument


def _repeat_itself() -> None:
    """Let the compiler choose kernels by rule: chosen by measuring they round now this way, now that.

    What is set on its settings holds for this thread alone; what the environment says, in all.
    """
    os.environ.setdefault("TORCHINDUCTOR_DETERMINISTIC", "1")  # read when the settings are imported
    from torch._inductor import config

    if hasattr(config, "deterministic"):  # torch 2.10 and later
        config.deterministic = True
