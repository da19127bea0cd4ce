"""Windows of text on their way: while one is put together and written, the next is searched already."""

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

Line = TypeVar("Line")
Begun = TypeVar("Begun")
Entered = TypeVar("Entered")
Done = TypeVar("Done")


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
