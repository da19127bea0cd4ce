"""The sum of all processes' gradients: in buckets, each on its way as soon as it is complete.

When that is, differs: in the midst of a backward pass, after it, or at once where a process has no
micro-batch. The order of the buckets does not, so that all processes send the same.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn
from torch.distributed import Work, all_reduce

BUCKET_ELEMENTS = 1 << 22  # gradients that travel together: 16 MB in float32

Parameters = Sequence[nn.Parameter]


class Reduction:
    """One update's sum.

    Args:
        parameters: the same in all processes, in the same order.
        watched: what is done within is done with the other processes, of which one may be gone.
    """

    def __init__(self, parameters: Parameters, watched: Callable[[], AbstractContextManager[None]]) -> None:
        self._watched = watched
        self._buckets = list(buckets(parameters))
        self._missing = [{id(parameter) for parameter in bucket} for bucket in self._buckets]
        self._bucket_of = {name: index for index, names in enumerate(self._missing) for name in names}
        self._sent: list[tuple[Tensor, Work]] = []

    @contextmanager
    def beside_backward(self) -> Iterator[None]:
        """The last `backward` of an update: as soon as it has added to a gradient, that is complete."""
        parameters = (one for bucket in self._buckets for one in bucket)
        hooks = [
            one.register_post_accumulate_grad_hook(self._complete)  # type: ignore[no-untyped-call]
            for one in parameters
        ]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def is_complete(self, parameter: nn.Parameter) -> bool:
        """True if nothing may be added to this gradient any more: it may be on its way."""
        return id(parameter) not in self._missing[self._bucket_of[id(parameter)]]

    def finish(self) -> None:
        """Send what is left, zeros where there is no gradient, and give every parameter the sum."""
        for bucket in self._buckets[len(self._sent) :]:
            self._send(bucket)
        for bucket, (flat, work) in zip(self._buckets, self._sent, strict=True):
            with self._watched():
                work.wait()
            parts = torch.split(flat, [parameter.numel() for parameter in bucket])
            for parameter, part in zip(bucket, parts, strict=True):
                parameter.grad = part.view_as(parameter)

    def _complete(self, parameter: nn.Parameter) -> None:
        self._missing[self._bucket_of[id(parameter)]].discard(id(parameter))
        while len(self._sent) < len(self._buckets) and not self._missing[len(self._sent)]:
            self._send(self._buckets[len(self._sent)])

    def _send(self, bucket: Parameters) -> None:
        flat = torch.cat([_gradient(parameter).flatten() for parameter in bucket])
        with self._watched():
            work = all_reduce(flat, async_op=True)
        assert work is not None
        self._sent.append((flat, work))


def _gradient(parameter: nn.Parameter) -> Tensor:
    """The gradient, zero where a process has none."""
    return parameter.grad if parameter.grad is not None else torch.zeros_like(parameter)


def buckets(parameters: Parameters) -> Iterator[list[nn.Parameter]]:
    """The parameters, last ones first: those in front of the output layer have their gradients first."""
    bucket: list[nn.Parameter] = []
    for parameter in reversed(parameters):
        bucket.append(parameter)
        if sum(one.numel() for one in bucket) >= BUCKET_ELEMENTS:
            yield bucket
            bucket = []
    if bucket:
        yield bucket
