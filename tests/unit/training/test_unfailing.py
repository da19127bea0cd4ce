from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mtkit.training.unfailing import Unfailing

B, T, D = 2, 3, 5


class Full(torch.autograd.Function):
    """Runs out of memory on the way back."""

    @staticmethod
    def forward(_ctx: Any, states: Tensor) -> Tensor:
        return states.clone()

    @staticmethod
    def backward(_ctx: Any, _gradient: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("made up")


class Layer(nn.Linear):
    """A layer that may run out of memory in either direction."""

    when = ""

    def forward(self, states: Tensor, factor: Tensor | None = None) -> Tensor:
        if self.when == "forward":
            raise torch.OutOfMemoryError("made up")
        made = super().forward(states if factor is None else states * factor).tanh()
        return Full.apply(made) if self.when == "backward" else made  # type: ignore[no-untyped-call]


@pytest.fixture
def layers() -> list[Layer]:
    torch.manual_seed(1)
    return [Layer(D, D) for _ in range(3)]


@pytest.fixture
def steps(layers: list[Layer]) -> Unfailing:
    steps = Unfailing()
    for layer in layers:
        steps.wrap(layer, "forward", layer, D)
    return steps


def passed(layers: list[Layer]) -> tuple[Tensor, list[Tensor]]:
    """Loss and gradients: of what enters, and of the weights."""
    states = torch.arange(B * T * D).view(B, T, D).div(30).requires_grad_()
    first, second, third = layers
    loss = third(second(first(states, None), states)).square().sum()
    weights = [weight for layer in layers for weight in layer.parameters()]
    return loss, list(torch.autograd.grad(loss, [states, *weights]))


def test_steps_give_what_is_given_without_them(layers: list[Layer]) -> None:
    loss, gradients = passed(layers)
    steps = Unfailing()
    for layer in layers:
        steps.wrap(layer, "forward", layer, D)
    same, again = passed(layers)
    assert not steps.failed
    assert torch.equal(same, loss)
    assert all(map(torch.equal, again, gradients))


@pytest.mark.parametrize("when", ["forward", "backward"])
@pytest.mark.parametrize("index", range(3))
def test_from_what_does_not_fit_on_all_is_zero(
    when: str, index: int, layers: list[Layer], steps: Unfailing
) -> None:
    layers[index].when = when
    loss, (of_states, *of_weights) = passed(layers)
    assert steps.failed
    assert (float(loss.detach()) == 0) == (when == "forward")
    later = 2 * (2 - index) if when == "backward" else 0  # weights whose turn had come: of the layers behind
    is_zero = [not gradient.any() for gradient in of_weights]
    assert is_zero == [True] * (6 - later) + [False] * later
    if index:
        assert not of_states.any() or when == "backward"  # what it got from the layers behind stays
    layers[index].when = ""
    steps.begin()
    assert float(passed(layers)[0].detach()) > 0
    assert not steps.failed


def test_what_was_kept_is_let_go_where_memory_runs_out(layers: list[Layer], steps: Unfailing) -> None:
    layers[2].when = "forward"
    passed(layers)
    assert not steps._kept
    layers[2].when, held = "", []
    steps.begin()
    layers[2].register_full_backward_pre_hook(lambda *_: held.append(len(steps._kept)))
    passed(layers)
    assert (held, steps._kept) == ([3], {})


def test_another_error_is_raised(steps: Unfailing, layers: list[Layer]) -> None:
    def wrong(*_: Any) -> tuple[Tensor, ...]:
        raise RuntimeError("shapes differ")

    nothing: Callable[[], tuple[Tensor, ...]] = tuple
    with pytest.raises(RuntimeError, match="shapes differ"):
        steps.run(wrong, [torch.zeros(2, requires_grad=True)], [], nothing)


def test_only_the_first_result_can_be_differentiated(steps: Unfailing) -> None:
    values = torch.tensor([1.0, 2.0], requires_grad=True)
    doubled, count = steps.run(
        lambda given: (given * 2, (given > 1).sum()), [values], [], lambda: (torch.zeros(2), torch.tensor(0))
    )
    assert int(count) == 1
    assert not count.requires_grad
    doubled.sum().backward()  # type: ignore[no-untyped-call]
    assert values.grad is not None
    assert values.grad.tolist() == [2.0, 2.0]
