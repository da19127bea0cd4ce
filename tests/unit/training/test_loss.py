import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from mtkit.batches.batch import Batch
from mtkit.model.transformer import Transformer
from mtkit.training import loss
from mtkit.training.loss import add, measure, output_loss, penalty
from mtkit.training.optimizer import matrices


def backward(model: Transformer, batch: Batch, tokens: int, smoothing: float) -> loss.LossSums:
    sums, found = loss.gradients(model, batch, tokens, smoothing)
    loss.accumulate(model, found)
    return sums


def taken(model: Transformer) -> dict[str, Tensor]:
    found = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    model.zero_grad(set_to_none=True)
    return found


def test_micro_batches_add_up_to_the_gradient_of_one_big_batch(
    model: Transformer, batches: list[Batch], whole: Batch
) -> None:
    tokens = sum(batch.target_tokens for batch in batches)
    assert tokens == whole.target_tokens
    parts = add([backward(model, batch, tokens, 0.1) for batch in batches])
    accumulated = taken(model)
    one = backward(model, whole, tokens, 0.1)
    assert parts.objective.item() == pytest.approx(one.objective.item(), rel=1e-5)
    for name, gradient in taken(model).items():
        torch.testing.assert_close(accumulated[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_the_gradient_is_that_of_the_plain_formula(model: Transformer, whole: Batch) -> None:
    backward(model, whole, whole.target_tokens, 0.1)
    found = taken(model)
    logits = model(whole.source, whole.source_is_token, whole.target_in)
    real = whole.target_is_token
    F.cross_entropy(logits[real], whole.target_out[real], label_smoothing=0.1).backward()  # type: ignore[no-untyped-call]
    expected = taken(model)
    assert found.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient, rtol=1e-4, atol=1e-6, msg=name)


def test_slices_of_the_output_layer_change_nothing(
    model: Transformer, whole: Batch, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = backward(model, whole, 7, 0.1)
    expected = taken(model)
    monkeypatch.setattr(loss, "POSITIONS_AT_ONCE", 4)
    sliced = backward(model, whole, 7, 0.1)
    assert sliced.nats.item() == pytest.approx(at_once.nats.item(), rel=1e-6)
    for name, gradient in taken(model).items():
        torch.testing.assert_close(gradient, expected[name], rtol=1e-4, atol=1e-6, msg=name)


def test_padding_is_not_counted(model: Transformer, batches: list[Batch], whole: Batch) -> None:
    apart = add(measure(model, batch) for batch in batches)
    assert measure(model, whole).nats.item() == pytest.approx(apart.nats.item(), rel=1e-5)


def test_reported_nats_have_no_smoothing() -> None:
    logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 5.0]])
    targets = torch.tensor([0, 1])
    _, sums = output_loss(logits, torch.eye(3), targets, 0.3)
    assert sums.nats.item() == pytest.approx(F.cross_entropy(logits, targets, reduction="sum").item())
    assert sums.objective.item() != pytest.approx(sums.nats.item())


def test_the_reported_objective_is_computed_in_float32_under_autocast() -> None:
    torch.manual_seed(1)
    hidden, weight = torch.randn(3, 32), torch.randn(5, 32)
    mean, wanted, totals = weight.mean(dim=0), torch.zeros(3), torch.zeros(3)
    expected = loss._sums(totals, wanted, hidden, mean, 1.0)
    with torch.autocast("cpu", torch.bfloat16):
        found = loss._sums(totals, wanted, hidden, mean, 1.0)
    assert found.objective.item() == expected.objective.item()


def test_a_target_of_vanishing_probability_has_a_finite_loss_and_gradient() -> None:
    hidden, weight = torch.tensor([[1000.0]], requires_grad=True), torch.tensor([[1.0], [0.0], [-1.0]])
    minimised, sums = output_loss(hidden, weight, torch.tensor([2]), 0.1)
    minimised.backward()  # type: ignore[no-untyped-call]
    assert sums.nats.item() == 2000.0
    assert hidden.grad is not None
    assert hidden.grad.item() == pytest.approx(1.0 - 0.9 * -1.0)  # of the likeliest, and of the target


def test_penalties_act_on_matrices_and_their_gradient_is_that_of_their_value(model: Transformer) -> None:
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    value = penalty(matrices(model), l1=0.3, l2=0.7)
    found = {
        name: parameter.grad.clone()
        for name, parameter in model.named_parameters()
        if parameter.grad is not None
    }
    model.zero_grad(set_to_none=True)
    total = sum((0.3 * w.abs().sum() + 0.35 * w.square().sum() for w in matrices(model)), torch.zeros(()))
    total.backward()  # type: ignore[no-untyped-call]
    assert float(value) == pytest.approx(total.item(), rel=1e-5)
    for name, parameter in model.named_parameters():
        expected = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
        torch.testing.assert_close(found[name], expected, msg=name)
        assert (parameter.dim() == 1) == (parameter.grad is None)
