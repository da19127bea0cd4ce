import pytest
import torch
from torch.nn import functional as F

from mtkit.training import loss as loss_module
from mtkit.training.loss import output_loss


@pytest.mark.parametrize("of_slice", ["_of_slice", "_of_slice_in_steps"])
@pytest.mark.parametrize("positions_at_once", [512, 10])
@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("spread", [0.1, 1.0, 20.0])
def test_the_loss_of_the_output_layer_and_its_gradients_are_those_of_torch(
    smoothing: float,
    spread: float,
    positions_at_once: int,
    of_slice: str,
    library: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loss_module, "POSITIONS_AT_ONCE", positions_at_once)
    monkeypatch.setattr(loss_module, "ROWS_AT_ONCE", 7)
    monkeypatch.setattr(loss_module, "_of_slice", getattr(loss_module, of_slice))
    draw = torch.Generator().manual_seed(1)
    hidden, weight = torch.randn(37, 5, generator=draw), spread * torch.randn(101, 5, generator=draw)
    targets = torch.randint(0, 101, (37,), generator=draw)
    ours = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    theirs = hidden.clone().requires_grad_(), weight.clone().requires_grad_()
    minimised, sums = output_loss(ours[0], ours[1], targets, smoothing, scale=0.3)
    (2 * minimised).backward()  # type: ignore[no-untyped-call]
    logits = F.linear(theirs[0], theirs[1])
    expected = F.cross_entropy(logits, targets, label_smoothing=smoothing, reduction="sum")
    (0.6 * expected).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(minimised, 0.3 * expected)
    torch.testing.assert_close(sums.objective, expected)
    torch.testing.assert_close(sums.nats, F.cross_entropy(logits, targets, reduction="sum"))
    for found, wanted in zip(ours, theirs, strict=True):
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-4, atol=1e-4 * spread)
