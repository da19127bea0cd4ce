from collections.abc import Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtkit.training import reduction
from mtkit.training.reduction import Reduction, buckets


class Arriving:
    """What another process adds, which is there when it is waited for."""

    def __init__(self, tensor: Tensor) -> None:
        self._tensor = tensor

    def wait(self) -> None:
        self._tensor.add_(100)


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[list[float]]]:
    """What leaves for the other processes, as it was when it left; buckets are small."""
    found: list[list[float]] = []

    def all_reduce(tensor: Tensor, async_op: bool) -> Any:
        assert async_op
        found.append(tensor.tolist())
        return Arriving(tensor)

    monkeypatch.setattr(reduction, "all_reduce", all_reduce)
    monkeypatch.setattr(reduction, "BUCKET_ELEMENTS", 2)
    yield found


@pytest.fixture
def weights() -> list[nn.Parameter]:
    """Five, in three buckets: the last two, the two before, the first."""
    return [nn.Parameter(torch.tensor([float(value)])) for value in (1, 2, 3, 4, 5)]


def test_buckets_hold_every_parameter_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reduction, "BUCKET_ELEMENTS", 10)
    parameters = [nn.Parameter(torch.zeros(size)) for size in (3, 20, 4, 4, 4)]
    assert [[len(one) for one in bucket] for bucket in buckets(parameters)] == [[4, 4, 4], [20], [3]]


def test_a_bucket_leaves_as_soon_as_it_and_those_before_are_complete(
    weights: list[nn.Parameter], sent: list[list[float]]
) -> None:
    made = Reduction(weights, nullcontext)
    seen: list[int] = []

    def backward(*chosen: int) -> None:
        with made.beside_backward():
            for index in chosen:
                (weights[index] * (index + 1)).sum().backward()  # type: ignore[no-untyped-call]
                seen.append(len(sent))

    backward(2, 1, 4, 3, 0)  # the second bucket is complete first, and waits for the first
    assert seen == [0, 0, 0, 2, 3]
    assert sent == [[5, 4], [3, 2], [1]]
    made.finish()
    assert [float(one.grad) for one in weights if one.grad is not None] == [101, 102, 103, 104, 105]


def test_what_has_no_gradient_counts_as_zero(weights: list[nn.Parameter], sent: list[list[float]]) -> None:
    weights[1].grad = torch.tensor([7.0])
    made = Reduction(weights, nullcontext)
    with made.beside_backward():
        (weights[3] * 6).sum().backward()  # type: ignore[no-untyped-call]
    assert not sent
    made.finish()
    assert sent == [[0, 6], [0, 7], [0]]


def test_a_gradient_is_added_to_what_came_before(
    weights: list[nn.Parameter], sent: list[list[float]]
) -> None:
    for weight in weights:
        weight.grad = torch.tensor([10.0])
    made = Reduction(weights, nullcontext)
    with made.beside_backward():
        torch.cat([*weights[3:]]).sum().backward()  # type: ignore[no-untyped-call]
    assert sent == [[11, 11]]
    assert [made.is_complete(one) for one in weights] == [False] * 3 + [True] * 2


def test_after_a_reduction_a_backward_pass_is_watched_no_more(
    weights: list[nn.Parameter], sent: list[list[float]]
) -> None:
    made = Reduction(weights, nullcontext)
    with made.beside_backward():
        pass
    torch.cat([*weights]).sum().backward()  # type: ignore[no-untyped-call]
    assert not sent
