"""Learning-rate schedules: pure functions from the number of an update to a share of the peak rate.

Nothing here is remembered between updates, so a resumed run needs no state but its update.
"""

import math

from mtkit.config.training import Cosine, InverseSqrt, Schedule, WarmupStableDecay


def factor(schedule: Schedule, update: int, total: int | None) -> float:
    """The share of the peak learning rate that an update uses.

    Args:
        schedule: which curve.
        update: the update's number, counted from 1.
        total: the number of the last update; None if it is not known (inverse_sqrt needs none).

    Returns:
        A share in [0, 1]; 1 at the end of warm-up.
    """
    if update <= schedule.warmup_updates:
        return update / schedule.warmup_updates
    if isinstance(schedule, InverseSqrt):
        return inverse_sqrt(schedule, update)
    assert total is not None, "the settings refuse a schedule with an end for a training without one"
    if isinstance(schedule, Cosine):
        return cosine(schedule, update, total)
    return warmup_stable_decay(schedule, update, total)


def inverse_sqrt(schedule: InverseSqrt, update: int) -> float:
    """After warm-up: sqrt(warmup / update).

    Source: Vaswani et al. 2017, equation 3, with the peak as a setting in place of 1/sqrt(D).
    """
    return math.sqrt(schedule.warmup_updates / update)


def cosine(schedule: Cosine, update: int, total: int) -> float:
    """After warm-up: floor + (1 - floor) · (1 + cos(π · share)) / 2, share = way from warm-up to end.

    Source: Loshchilov and Hutter 2017, equation 5, one cycle.
    """
    share = _share(update, schedule.warmup_updates, total)
    return schedule.floor + (1 - schedule.floor) * (1 + math.cos(math.pi * share)) / 2


def warmup_stable_decay(schedule: WarmupStableDecay, update: int, total: int) -> float:
    """After warm-up: 1, then a straight line down to the floor over the last `decay_share` of all updates.

    Decay never begins before warm-up ends.

    Source: Hu et al. 2024 (MiniCPM), section 4; linear decay as in Hägele et al. 2024.
    """
    start = max(schedule.warmup_updates, total - round(schedule.decay_share * total))
    if update <= start:
        return 1.0
    return 1 - (1 - schedule.floor) * _share(update, start, total)


def _share(update: int, start: int, end: int) -> float:
    """How much of the way from `start` to `end` an update has gone, at most 1."""
    return min(1.0, (update - start) / max(1, end - start))
