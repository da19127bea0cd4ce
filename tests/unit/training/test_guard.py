import math
from pathlib import Path

import numpy as np
import pytest
import torch

from mtkit.training.guard import PATIENCE_UPDATES, DivergedError, Guard, Observed, check_measured
from mtkit.training.state import GuardState, Measured


def observed(update: int, loss: float, norm: float = 1.0) -> Observed:
    rows = np.array([*range(6), 40, 7, 30, 22])
    return Observed(update, rows, torch.tensor(loss * 10), 10, torch.tensor(norm))


@pytest.mark.parametrize(("loss", "norm"), [(math.nan, 1.0), (math.inf, 1.0), (2.0, math.nan)])
def test_numbers_that_are_not_finite_stop_with_update_lines_checkpoint_and_advice(
    loss: float, norm: float
) -> None:
    guard = Guard(GuardState())
    guard.add(observed(6, 2.0))
    guard.add(observed(7, loss, norm))
    guard.add(observed(8, 2.0))
    with pytest.raises(DivergedError) as caught:
        guard.check()
    assert caught.value.update == 7
    told = str(caught.value.told(Path("checkpoints/00000005")))
    assert "update 7, lines 1, 2, 3, 4, 5, 6, 8, 23 and 2 more" in told
    assert "checkpoints/00000005" in told
    assert "learning_rate" in told


def test_a_validation_that_is_not_finite_is_a_divergence() -> None:
    check_measured(Measured(7, 1, 2.5, {}))
    for loss in (math.nan, math.inf):
        with pytest.raises(DivergedError, match=f"the loss is {loss}") as told:
            check_measured(Measured(7, 1, loss, {}))
        assert "the validation at update 7" in str(told.value.told(None))


def test_a_loss_that_stays_far_above_its_best_is_divergence() -> None:
    guard = Guard(GuardState())
    for update in range(300):
        guard.add(observed(update, 2.0))
    guard.check()
    with pytest.raises(DivergedError, match="training diverged"):
        for update in range(300, 400 + 2 * PATIENCE_UPDATES):
            guard.add(observed(update, 9.0))
            guard.check()


def test_a_bump_is_no_divergence() -> None:
    guard = Guard(GuardState())
    for update in range(2000):
        guard.add(observed(update, 9.0 if 500 < update < 700 else 2.0))
    guard.check()
    assert guard.state.updates_above == 0


def test_looking_at_every_update_or_later_at_all_of_them_remembers_the_same() -> None:
    often, once = Guard(GuardState()), Guard(GuardState())
    for update in range(50):
        often.add(observed(update, 5 / (1 + update)))
        often.check()
        once.add(observed(update, 5 / (1 + update)))
    once.check()
    assert often.state == once.state
