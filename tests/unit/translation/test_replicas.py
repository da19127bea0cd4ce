from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtkit.translation import replicas
from mtkit.translation.replicas import ALONE, CROWDED, Replicas, Took, Way, alike, choose, least, ways

KEY = {"model": "small"}
TWO = [Way(2, 1), Way(1, 2)]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))


def quiet(seconds: dict[Way, float]) -> Callable[[Way], Took]:
    """What work takes on a machine where nobody else computes."""
    return lambda way: Took(seconds[way], way.replicas * way.threads * seconds[way])


def test_a_thread_a_batch_comes_first_and_every_way_uses_threads_that_are_there() -> None:
    assert ways(2) == TWO
    for threads in (3, 4, 6, 16):
        first, *others = ways(threads)
        assert first == Way(threads, 1)
        assert len(set(others)) == len(others) >= (threads > 3)
        assert all(way.replicas * way.threads <= threads for way in others)


def test_what_is_clearly_faster_is_chosen_and_remembered() -> None:
    found = choose(TWO, KEY, quiet({Way(2, 1): 1.2, Way(1, 2): 1.0}))
    assert found.way == Way(1, 2)
    assert "1.2 times the speed of 2 batches side by side, 1 thread each" in found.line()

    def never(way: Way) -> Took:
        raise AssertionError("measured again")

    assert choose(TWO, KEY, never) == found
    with pytest.raises(AssertionError, match="measured again"):
        choose(TWO, {"model": "large"}, never)


def test_what_is_hardly_faster_is_not_worth_it() -> None:
    found = choose(TWO, KEY, quiet({Way(2, 1): 1.05, Way(1, 2): 1.0}))
    assert found.way == Way(2, 1)
    assert "0.95 times the speed of 1 batch at a time, 2 threads each" in found.reason


def test_where_others_compute_nothing_is_chosen_by_chance_or_remembered() -> None:
    def shared(way: Way) -> Took:
        return Took(1.0, 1.0)

    found = choose(TWO, KEY, shared)
    assert found.way == Way(2, 1)
    assert found.reason == CROWDED
    assert found.measured_on is None
    assert choose(TWO, KEY, quiet({Way(2, 1): 2.0, Way(1, 2): 1.0})).way == Way(1, 2)


def test_where_there_is_one_way_nothing_is_measured_and_that_is_said() -> None:
    def never(way: Way) -> Took:
        raise AssertionError("measured")

    found = choose(ways(3), KEY, never)
    assert found.way == Way(3, 1)
    assert found.line() == f"CTranslate2: 3 batches side by side, 1 thread each ({ALONE})"


def test_the_model_is_opened_anew_only_for_what_is_measured_or_chosen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[Way] = []
    said: list[str] = []
    worked: list[Way] = []

    def open_(count: int, threads: int) -> Way:
        opened.append(Way(count, threads))
        return opened[-1]

    def taken(work: Callable[[], object]) -> Took:
        work()
        return quiet({Way(2, 1): 2.0, Way(1, 2): 1.0})(worked[-1])

    monkeypatch.setattr(replicas, "least", taken)
    work: Callable[[Any], object] = worked.append
    for _ in range(2):
        chooser = Replicas(open_, 2, KEY, said.append)
        assert chooser.settled(Way(2, 1), work) == Way(1, 2)
    assert worked == [Way(2, 1), Way(1, 2)]
    assert opened == [Way(1, 2)] * 3  # measured, taken; remembered, taken
    assert len(said) == 2
    assert said[0].startswith("CTranslate2: 1 batch at a time, 2 threads each (2 times the speed of")


@pytest.mark.parametrize(
    ("first", "then", "found"), [(0.2, [0.1, 0.15, 0.12], 0.1), (10.0, [], 10.0)], ids=["short", "long"]
)
def test_short_work_is_done_again_when_caches_are_warm_and_long_work_once(
    first: float, then: list[float], found: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter([first, *then])
    monkeypatch.setattr(replicas, "_timed", lambda _: Took(next(seconds), 0.0))
    assert least(lambda: None) == Took(found, 0.0)
    assert not list(seconds)


def test_batches_in_the_middle_of_their_order_are_measured() -> None:
    batches = [[number] for number in range(9)]
    assert alike(batches, 3) == [[3], [4], [5]]
    assert alike(batches, 20) == batches
