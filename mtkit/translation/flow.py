"""Windows of text on their way: while one is put together and written, the next is searched already;
what stands in one several times is searched once."""

from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

MOST_BATCHES = 8  # searched before the first of them is written; sorting by length needs some


class HasTokens(Protocol):
    """A line that knows what it costs."""

    @property
    def tokens(self) -> int:
        """The tokens that are searched."""
        ...


Costed = TypeVar("Costed", bound=HasTokens)
Line = TypeVar("Line")
Begun = TypeVar("Begun")
Entered = TypeVar("Entered")
Done = TypeVar("Done")
Result = TypeVar("Result")


class Window(NamedTuple, Generic[Line]):
    """Lines that are searched together.

    Attributes:
        lines: they; none: what came before is to be finished, for the next line is not there yet.
        is_followed: more text is there already, so that to ask for the next window will not wait for it.
    """

    lines: list[Line]
    is_followed: bool


def windows_of(
    lines: Iterator[Costed], lull: Callable[[], bool], batch_tokens: int, *, live: bool
) -> Iterator[Window[Costed]]:
    """Lines that are searched together.

    The first window is one batch, so that output begins soon; the next ones are larger. An error of `lines`
    is raised after the window of what came before it.

    Args:
        lines: they.
        lull: says that no further line is there yet.
        batch_tokens: of a batch.
        live: cut where there is a lull, too; otherwise windows depend on nothing but the lines.
    """
    window: list[Costed] = []
    tokens, batches = 0, 1
    is_held = False  # the window before, until this one is whole
    while True:
        try:
            window.append(next(lines))
        except StopIteration:
            break
        except Exception:
            if window:
                yield Window(window, False)
            raise
        tokens += window[-1].tokens
        is_enough = tokens >= batches * batch_tokens
        if not is_enough and not live:
            if is_held and lull():
                yield Window([], False)
                is_held = False
            continue
        is_followed = not lull()
        if is_enough or not is_followed:
            yield Window(window, is_followed)
            window, tokens, is_held = [], 0, is_followed
            batches = min(2 * batches, MOST_BATCHES)
    if window:
        yield Window(window, False)


def one_ahead(
    windows: Iterator[Window[Line]],
    begin: Callable[[list[Line]], Begun],
    enter: Callable[[list[Line], Begun | None], Entered | None],
    finish: Callable[[Entered], Done],
) -> Iterator[Done]:
    """What is done of windows, in order; each is begun before the one before it is finished.

    Nothing is held back: where no more text is there, what was begun is finished at once. An error of
    `windows` or of `begin`, or Ctrl-C meanwhile, is raised after what came before it is done.

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
            begun = begin(window.lines) if window is not None and entered is not None else None
        except BaseException:
            if entered is not None:
                yield finish(entered)
            raise
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
