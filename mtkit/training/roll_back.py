"""What follows on a divergence: training stops, or goes back to a good checkpoint and learns more slowly.

Which checkpoint that is depends on the training alone, never on the clock: the one of the last validation at
which the loss was where it should be. So an interrupted training goes back where an uninterrupted one does.
"""

import math
from pathlib import Path

from mtkit.config.training import OnDivergence
from mtkit.config.training import RollBack as RollBackSettings
from mtkit.training.guard import FAR_ABOVE, DivergedError
from mtkit.training.state import Measured, RollBack, TrainState


def rate_share(settings: OnDivergence, state: TrainState) -> float:
    """What is left of the schedule's learning rate after all roll-backs."""
    if isinstance(settings, RollBackSettings):
        return settings.rate_factor ** len(state.roll_backs)
    return 1.0


def is_anchor(settings: OnDivergence, state: TrainState, measured: Measured | None) -> bool:
    """True if training may come back to this boundary.

    The guard's loss is smoothed: it needs dozens of updates to see that the loss went up. A validation in
    the midst of them sees it at once.

    Args:
        measured: the validation made here, the last of the state's; None at the very beginning.
    """
    if not isinstance(settings, RollBackSettings) or state.guard.updates_above:
        return False
    if measured is None:
        return True
    best = min((item.loss_nats_per_token for item in state.validations), default=math.inf)
    loss = measured.loss_nats_per_token
    return math.isfinite(loss) and loss <= best + FAR_ABOVE


def next_roll_back(
    settings: OnDivergence, state: TrainState, error: DivergedError, last: Path | None
) -> RollBack:
    """The roll-back that answers a divergence.

    Args:
        state: in which it was found.
        last: the last good checkpoint, for the message.

    Raises:
        RunError: training is to stop.
    """
    if not isinstance(settings, RollBackSettings):
        raise error.told(last)
    if len(state.roll_backs) >= settings.times:
        times = len(state.roll_backs)
        raise error.told(last, f", after going back {times} time{'s' * (times > 1)} (`on_divergence.times`)")
    assert state.anchor is not None, "the first checkpoint is written before the first update"
    return RollBack(error.update, state.anchor, error.what)


def note(settings: OnDivergence, done: RollBack, rate: float) -> str:
    """What is said of a roll-back.

    Args:
        rate: share of the schedule's learning rate from here on.
    """
    assert isinstance(settings, RollBackSettings), "otherwise there is none"
    return (
        f"update {done.update:,}: {done.found}; going back to update {done.to:,}: the same pairs come again,"
        f" at {rate:.3g} of the learning rate"
    )
