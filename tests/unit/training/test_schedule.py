import pytest

from mtkit.config.training import Cosine, InverseSqrt, Schedule, WarmupStableDecay
from mtkit.training.schedule import factor

SCHEDULES: list[Schedule] = [
    InverseSqrt(warmup_updates=10),
    Cosine(warmup_updates=10, floor=0.1),
    WarmupStableDecay(warmup_updates=10, decay_share=0.4, floor=0.1),
]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.kind)
def test_warm_up_is_a_straight_line_to_one(schedule: Schedule) -> None:
    assert [factor(schedule, update, 100) for update in (1, 5, 10)] == [0.1, 0.5, 1.0]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda schedule: schedule.kind)
def test_after_warm_up_the_rate_never_rises(schedule: Schedule) -> None:
    rates = [factor(schedule, update, 100) for update in range(10, 121)]
    assert rates == sorted(rates, reverse=True)


def test_inverse_sqrt_halves_when_updates_are_fourfold() -> None:
    assert factor(InverseSqrt(warmup_updates=10), 40, None) == 0.5


def test_cosine_is_halfway_in_the_middle_and_at_the_floor_in_the_end() -> None:
    schedule = Cosine(warmup_updates=10, floor=0.2)
    assert factor(schedule, 55, 100) == pytest.approx(0.6)
    assert factor(schedule, 100, 100) == pytest.approx(0.2)
    assert factor(schedule, 101, 100) == pytest.approx(0.2)


def test_stable_then_decay_keeps_the_peak_and_then_falls_in_a_line() -> None:
    schedule = WarmupStableDecay(warmup_updates=10, decay_share=0.4, floor=0.1)
    assert factor(schedule, 60, 100) == 1.0
    assert factor(schedule, 80, 100) == pytest.approx(0.55)
    assert factor(schedule, 100, 100) == pytest.approx(0.1)


def test_decay_does_not_begin_before_warm_up_ends() -> None:
    schedule = WarmupStableDecay(warmup_updates=50, decay_share=1.0)
    assert factor(schedule, 25, 100) == 0.5
    assert factor(schedule, 75, 100) == pytest.approx(0.5)
