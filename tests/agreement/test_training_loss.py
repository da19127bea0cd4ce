import pytest
import torch
from torch.nn import functional as F

from mtkit.training.loss import cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("spread", [0.1, 3.0, 60.0])
def test_the_loss_and_its_gradient_are_those_of_torch(smoothing: float, spread: float) -> None:
    draw = torch.Generator().manual_seed(1)
    logits = spread * torch.randn(37, 101, generator=draw)
    targets = torch.randint(0, 101, (37,), generator=draw)
    ours, theirs = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    sums = cross_entropy(ours, targets, smoothing)
    (sums.objective * 0.3).backward()  # type: ignore[no-untyped-call]
    expected = F.cross_entropy(theirs, targets, label_smoothing=smoothing, reduction="sum")
    (expected * 0.3).backward()  # type: ignore[no-untyped-call]
    torch.testing.assert_close(sums.objective, expected)
    torch.testing.assert_close(ours.grad, theirs.grad)
