from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pytest

from mtkit.translation.flow import Window, each_once, one_ahead, windows_of


def run(windows: Iterator[Window[str]], there: frozenset[str] = frozenset()) -> Iterator[list[str]]:
    """What happened since the last window was done, each time one is; windows of `there` need no work."""
    happened: list[str] = []

    def begin(lines: list[str]) -> str:
        happened.append(f"begin {lines[0]}")
        return lines[0]

    def enter(lines: list[str], begun: str | None) -> str | None:
        happened.append(f"enter {lines[0]}")
        return None if lines[0] in there else begun or begin(lines)

    def finish(entered: str) -> str:
        happened.append(f"finish {entered}")
        return entered

    for _ in one_ahead(windows, begin, enter, finish):
        yield happened.copy()
        happened.clear()


def of(names: str, *, followed: bool = True) -> Iterator[Window[str]]:
    return (Window([name], followed) for name in names)


def test_a_window_is_begun_before_the_one_before_it_is_finished() -> None:
    assert list(run(of("abc"))) == [
        ["enter a", "begin a", "begin b", "finish a"],
        ["enter b", "begin c", "finish b"],
        ["enter c", "finish c"],
    ]


def test_where_no_more_text_is_there_nothing_is_waited_for() -> None:
    def windows() -> Iterator[Window[str]]:
        yield Window(["a"], is_followed=False)
        pytest.fail("waited for more text")

    assert next(run(windows())) == ["enter a", "begin a", "finish a"]
    assert len(list(run(of("abc", followed=False)))) == 3


def test_what_is_there_already_is_neither_begun_nor_finished() -> None:
    found = [one for some in run(of("abcd"), frozenset("ab")) for one in some]
    assert found == ["enter a", "enter b", "enter c", "begin c", "begin d", "finish c", "enter d", "finish d"]


def test_an_error_comes_after_what_was_begun_before_it() -> None:
    def windows() -> Iterator[Window[str]]:
        yield from of("ab")
        raise ValueError("not text")

    done = run(windows())
    assert [next(done)[-1], next(done)[-1]] == ["finish a", "finish b"]
    with pytest.raises(ValueError, match="not text"):
        next(done)


@pytest.mark.parametrize("error", [ValueError("too long"), KeyboardInterrupt()])
def test_a_window_that_cannot_be_begun_does_not_take_the_one_before_it_along(error: BaseException) -> None:
    finished: list[str] = []

    def begin(lines: list[str]) -> str:
        if lines == ["b"]:
            raise error
        return lines[0]

    done = one_ahead(of("ab"), begin, lambda lines, begun: begun or begin(lines), finished.append)
    with pytest.raises(type(error)):
        list(done)
    assert finished == ["a"]


def test_an_interruption_while_text_is_awaited_comes_after_what_was_begun() -> None:
    def windows() -> Iterator[Window[str]]:
        yield from of("a")
        raise KeyboardInterrupt

    done = run(windows())
    assert next(done)[-1] == "finish a"
    with pytest.raises(KeyboardInterrupt):
        next(done)


def test_no_windows_are_nothing_to_do() -> None:
    assert list(run(of(""))) == []


def test_what_has_the_same_key_is_done_once_and_all_get_its_result() -> None:
    asked: list[list[int]] = []

    def begin(numbers: Sequence[int]) -> Callable[[], list[str]]:
        asked.append(list(numbers))
        return lambda: [f"result {number}" for number in numbers]

    wait = each_once(["a", "b", "a", "c", "b"], begin)
    assert asked == [[0, 1, 3]]
    assert wait() == ["result 0", "result 1", "result 0", "result 3", "result 1"]


def test_of_no_work_nothing_comes() -> None:
    assert each_once([], lambda numbers: lambda: list(numbers))() == []


class Costs(NamedTuple):
    tokens: int


def sizes(lulls: list[bool], *, live: bool, lines: int = 40) -> list[tuple[int, bool]]:
    """How many lines of three tokens each window has, with batches of six, and whether it is followed."""
    asked = iter(lulls)
    found = windows_of(iter([Costs(3)] * lines), lambda: next(asked, False), 6, live=live)
    return [(len(window.lines), window.is_followed) for window in found]


def test_windows_grow_up_to_eight_batches() -> None:
    assert sizes([], live=False) == [(2, True), (4, True), (8, True), (16, True), (10, False)]


def test_only_who_is_live_cuts_at_a_lull_but_nobody_waits_for_what_is_not_there() -> None:
    assert sizes([False, True, True], live=True, lines=4) == [(2, False), (1, False), (1, False)]
    assert sizes([True, False], live=False, lines=7) == [(2, False), (4, True), (1, False)]
    assert sizes([False, False, True], live=False, lines=7) == [
        (2, True),
        (0, False),  # behind the fourth line: what the first two became is written
        (4, True),
        (1, False),
    ]


def test_lines_before_an_error_are_a_window() -> None:
    def lines() -> Iterator[Costs]:
        yield Costs(1)
        raise ValueError("not text")

    windows = windows_of(lines(), lambda: False, 6, live=False)
    assert next(windows) == Window([Costs(1)], is_followed=False)
    with pytest.raises(ValueError, match="not text"):
        next(windows)
