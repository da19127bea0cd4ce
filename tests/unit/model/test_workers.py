import threading
import time
from collections.abc import Callable
from functools import partial

import pytest
import torch

from mtkit.model.workers import Workers


def slow(number: int) -> int:
    time.sleep(0.02 if number % 2 else 0.0)
    return number


@pytest.mark.parametrize("count", [1, 2, 3])
def test_results_come_in_the_order_of_the_tasks(count: int) -> None:
    with Workers(count) as workers:
        assert list(workers.map(partial(slow, number) for number in range(7))) == list(range(7))


def test_tasks_run_side_by_side() -> None:
    meeting = threading.Barrier(2, timeout=100)
    with Workers(2) as workers:
        assert sorted(workers.map([meeting.wait, meeting.wait])) == [0, 1]


def test_one_worker_is_the_calling_thread() -> None:
    with Workers(1) as workers:
        assert list(workers.map([threading.get_ident])) == [threading.get_ident()]


def test_each_worker_computes_with_one_thread_of_torch() -> None:
    with Workers(2) as workers:
        assert list(workers.map([torch.get_num_threads] * 4)) == [1] * 4


def test_what_a_task_raises_comes_out() -> None:
    def fail() -> int:
        raise ValueError("no")

    tasks: list[Callable[[], int]] = [partial(slow, 0), fail, partial(slow, 1)]
    with Workers(2) as workers, pytest.raises(ValueError, match="no"):
        list(workers.map(tasks))


def test_a_slow_worker_keeps_nobody_from_the_next_task() -> None:
    last_is_done = threading.Event()

    def first() -> bool:
        return last_is_done.wait(timeout=100)

    def last() -> bool:
        last_is_done.set()
        return True

    tasks: list[Callable[[], bool]] = [first, lambda: True, lambda: True, last]
    with Workers(2) as workers:
        assert all(workers.map(tasks)), "the first task is over only when the fourth is"


def test_few_results_wait_to_be_taken() -> None:
    begun: list[int] = []
    with Workers(2) as workers:
        results = workers.map(partial(begun.append, number) for number in range(50))
        next(results)
    assert len(begun) <= 5


def busy(seconds: float) -> None:
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@pytest.mark.parametrize("count", [1, 2])
def test_a_worker_knows_what_share_of_a_core_it_had(count: int) -> None:
    with Workers(count) as workers:
        assert workers.core_share() is None
        list(workers.map([partial(time.sleep, 0.05)]))
        asleep = workers.core_share()
        assert asleep is not None
        assert asleep < 0.2
        list(workers.map([partial(busy, 0.02), partial(time.sleep, 0.02)]))
        half = workers.core_share()
        assert half is not None
        assert half > asleep
        assert workers.core_share() is None, "each reading begins anew"
