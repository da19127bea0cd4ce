"""Windows of text on their way: while one is put together and written, the next is searched already;
what stands in one several times is searched once."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

Line = TypeVar("Line")
Begun = TypeVar("Begun")
Entered = TypeVar("Entered")
Done = TypeVar("Done")
Result = TypeVar("Result")


class Window(NamedTuple, Generic[Line]):
    """Lines that are searched together.

    Attributes:
        lines: they.
        is_followed: more text is there already, so that to ask for the next window will not wait for it.
    """

    lines: list[Line]
    is_followed: bool


def one_ahead(
    windows: Iterator[Window[Line]],
    begin: Callable[[list[Line]], Begun],
    enter: Callable[[list[Line], Begun | None], Entered | None],
    finish: Callable[[Entered], Done],
) -> Iterator[Done]:
    """What is done of windows, in order; each is begun before the one before it is finished.

    Nothing is held back: where no more text is there, what was begun is finished at once. An error of
    `windows` is raised after what came before it is done.

    Args:
        windows: they.
        begin: begins a window; only called while one before it is still to be finished.
        enter: is called in the order of the windows, after the one before is finished, with what was begun,
            if it was; gives what there is to be finished, if there is something.
        finish: finishes.
    """
    entered: Entered | None = None
    while True:
        try:
            window = next(windows, None)
        except Exception:
            if entered is not None:
                yield finish(entered)
            raise
        begun = begin(window.lines) if window is not None and entered is not None else None
        if entered is not None:
            yield finish(entered)
        if window is None:
            return
        entered = enter(window.lines, begun)
        if entered is not None and not window.is_followed:
            yield finish(entered)
            entered = None


def each_once(
    keys: Sequence[Hashable], begin: Callable[[Sequence[int]], Callable[[], list[Result]]]
) -> Callable[[], list[Result]]:
    """Begin some work; of what has the same key only the first is done, and all get its result.

    Args:
        keys: of each piece of work.
        begin: begins those of the given numbers; what it gives waits for their results.
    """
    once: dict[Hashable, int] = {}
    for number, key in enumerate(keys):
        once.setdefault(key, number)
    wait = begin(list(once.values()))

    def results() -> list[Result]:
        known = dict(zip(once, wait(), strict=True))
        return [known[key] for key in keys]

    return results
