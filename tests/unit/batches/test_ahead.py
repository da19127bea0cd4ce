import itertools
import threading
from collections.abc import Iterator

import pytest

from mtkit.batches.ahead import Ahead


def test_the_items_come_in_their_order() -> None:
    ahead = Ahead(itertools.count(), depth=3)
    assert list(itertools.islice(ahead, 100)) == list(range(100))
    ahead.close()


def test_no_more_items_are_made_than_may_wait() -> None:
    made: list[int] = []
    reached = threading.Event()

    def items() -> Iterator[int]:
        for number in itertools.count():
            made.append(number)
            if number == 3:
                reached.set()
            yield number

    ahead = Ahead(items(), depth=3)
    assert next(ahead) == 0
    assert reached.wait(100)
    ahead.close()
    assert made == [0, 1, 2, 3]


def test_an_error_reaches_the_caller_after_the_items_before_it() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise ValueError("broken")

    ahead = Ahead(items(), depth=3)
    assert next(ahead) == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="broken"):
            next(ahead)
    ahead.close()


def test_closing_ends_the_thread_whether_it_waits_or_works() -> None:
    for taken in (0, 1, 5):
        before = set(threading.enumerate())
        ahead = Ahead(itertools.count(), depth=2)
        for _ in range(taken):
            next(ahead)
        (reading,) = set(threading.enumerate()) - before
        ahead.close()
        assert not reading.is_alive()
