import math
from pathlib import Path

import pytest

from mtkit.config.training import OnDivergence, Stop
from mtkit.config.training import RollBack as RollBackSettings
from mtkit.errors import RunError
from mtkit.training.guard import DivergedError
from mtkit.training.roll_back import is_anchor, next_roll_back, note, rate_share
from mtkit.training.state import GuardState, Measured, RollBack, TrainState

TWICE = RollBackSettings(rate_factor=0.3, times=2)
ERROR = DivergedError(70, "the loss is nan", where="update 70", expected="finite numbers")
LAST = Path("checkpoints/00000060")


def went_back(times: int) -> TrainState:
    return TrainState(update=70, anchor=50, roll_backs=[RollBack(60, 50, "nan")] * times)


def test_each_roll_back_multiplies_the_rate() -> None:
    assert [rate_share(TWICE, went_back(times)) for times in range(3)] == [1.0, 0.3, 0.3**2]
    assert rate_share(Stop(), TrainState()) == 1.0


def test_training_goes_back_to_its_anchor_so_many_times_and_then_stops() -> None:
    assert next_roll_back(TWICE, went_back(1), ERROR, LAST) == RollBack(70, 50, "the loss is nan")
    with pytest.raises(RunError, match="after going back 2 times") as caught:
        next_roll_back(TWICE, went_back(2), ERROR, LAST)
    assert str(LAST) in caught.value.advice


def test_a_training_that_is_to_stop_stops() -> None:
    with pytest.raises(RunError) as caught:
        next_roll_back(Stop(), TrainState(), ERROR, None)
    assert caught.value.found == "the loss is nan: training cannot go on"


@pytest.mark.parametrize(
    ("settings", "loss", "above", "is_good"),
    [
        (TWICE, 2.0, 0, True),
        (TWICE, math.nan, 0, False),
        (TWICE, 2.0, 1, False),  # the loss has been going up: this is no place to come back to
        (Stop(), 2.0, 0, False),
    ],
)
def test_one_comes_back_only_to_where_training_was_well(
    settings: OnDivergence, loss: float, above: int, is_good: bool
) -> None:
    state = TrainState(update=5, guard=GuardState(updates_above=above))
    assert is_anchor(settings, state, Measured(5, 0, loss, {})) is is_good


@pytest.mark.parametrize(("loss", "is_good"), [(3.9, True), (4.1, False)])
def test_a_validation_that_sees_the_loss_go_up_before_the_guard_does_is_no_place_to_come_back_to(
    loss: float, is_good: bool
) -> None:
    measured = [Measured(500, 0, 2.0, {}), Measured(1000, 1, loss, {})]
    state = TrainState(update=1000, validations=measured, guard=GuardState(smoothed=2.1, best=2.0))
    assert is_anchor(TWICE, state, measured[-1]) is is_good


def test_it_is_said_that_the_same_pairs_come_again_and_at_which_rate() -> None:
    said = note(TWICE, RollBack(1070, 1050, "the loss is nan"), 0.3)
    assert said == (
        "update 1,070: the loss is nan; going back to update 1,050: the same pairs come again, at 0.3 of the"
        " learning rate"
    )
