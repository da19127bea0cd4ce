"""How many batches a converted model computes side by side, and with how many threads each: measured once
on a machine, with the text that is to be translated anyway, and remembered. Light: no torch.

A thread a batch is the simplest, and on few cores the quickest. Cores that are halves of one, or that share a
small cache, may do better with fewer batches.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from typing import Any, NamedTuple

from mtkit.model.cores import cpu_name
from mtkit.model.remembering import recall, remember
from mtkit.translation.failures import waited

KIND = "replicas"
MARGIN = 1.1  # times as fast as what is simpler; less may be noise
SECONDS = 0.5  # a way that takes less is measured again
MOST_ROUNDS = 3
BUSY_SHARE = 0.8  # of the threads' time; with less of it, other programs take the cores
CROWDED = "other programs compute here, so nothing was measured"
ALONE = "there is no other way for so many threads"


class Way(NamedTuple):
    """So many batches side by side, so many threads each."""

    replicas: int
    threads: int

    def __str__(self) -> str:
        batches = "1 batch at a time" if self.replicas == 1 else f"{self.replicas} batches side by side"
        return f"{batches}, {self.threads} thread{'s' if self.threads > 1 else ''} each"


class Took(NamedTuple):
    """What the work took: by the clock, and of the process's processor time."""

    seconds: float
    processor_seconds: float


@dataclass(frozen=True)
class Chosen:
    """The way that was chosen, why, and when, if it was measured."""

    way: Way
    reason: str
    measured_on: str | None = None

    def line(self) -> str:
        """The choice and its reason, in one line."""
        measured = f", measured on {self.measured_on}" if self.measured_on else ""
        return f"CTranslate2: {self.way} ({self.reason}{measured})"


def ways(threads: int) -> list[Way]:
    """The ways worth trying with so many threads, the simplest first."""
    found = [Way(threads, 1)]
    if threads >= 4:
        found.append(Way(threads // 2, 1))  # cores may be halves of one, with one unit of arithmetic
    return found + [Way(threads // each, each) for each in (2, 4) if threads % each == 0]


class Replicas:
    """Opens a converted model in the quickest way, once there is work to measure with.

    Args:
        open_: opens it, for so many batches side by side with so many threads each.
        threads: that may compute.
        key: what the choice depends on, beside processor and threads.
        say: hears the choice.
    """

    def __init__(
        self, open_: Callable[[int, int], Any], threads: int, key: dict[str, Any], say: Callable[[str], None]
    ) -> None:
        self._open, self.threads, self._say = open_, threads, say
        self._key = {**key, "cpu": cpu_name(), "threads": threads}

    def settled(self, opened: Any, work: Callable[[Any], object]) -> Any:
        """The model opened in the way that is chosen.

        Args:
            opened: in the simplest way.
            work: does something typical with an opened model.
        """
        simplest, *others = ways(self.threads)

        def took(way: Way) -> Took:
            one = opened if way == simplest else self._open(*way)
            return least(lambda: work(one))

        chosen = choose([simplest, *others], self._key, took)
        self._say(chosen.line())
        return opened if chosen.way == simplest else self._open(*chosen.way)


def choose(of: Sequence[Way], key: dict[str, Any], took: Callable[[Way], Took]) -> Chosen:
    """The quickest way: remembered, or measured now.

    Where there is one way, nothing is measured. What is found while other programs take the cores is not
    remembered.

    Args:
        of: ways, the simplest first.
        key: all that the choice depends on.
        took: what some work takes in a way.
    """
    if len(of) == 1:
        return Chosen(of[0], ALONE)
    if (remembered := _recalled(key)) is not None:
        return remembered
    seconds: dict[Way, float] = {}
    for way in of:
        spent = took(way)
        if way == of[0] and spent.processor_seconds < BUSY_SHARE * way.replicas * spent.seconds:
            return Chosen(way, CROWDED)
        seconds[way] = spent.seconds
    found = _fastest(seconds)
    remember(KIND, key, asdict(found))
    return found


def least(work: Callable[[], object]) -> Took:
    """What some work takes at the least, of a few times; the first, which warms caches, may not count."""
    first = _timed(work)
    rounds = [_timed(work) for _ in range(MOST_ROUNDS if first.seconds < SECONDS else 0)]
    return min(rounds, default=first)


def _timed(work: Callable[[], object]) -> Took:
    began, used = time.perf_counter(), time.process_time()
    work()
    return Took(time.perf_counter() - began, time.process_time() - used)


def alike(batches: Sequence[list[int]], count: int) -> Sequence[list[int]]:
    """Some neighbours in the middle, which of batches in the order of their length are the most alike."""
    first = max(0, (len(batches) - count) // 2)
    return batches[first : first + count]


def _fastest(seconds: dict[Way, float]) -> Chosen:
    """The fastest way, the first if that is almost as fast."""
    simplest, *others = seconds
    best = min(seconds, key=lambda way: seconds[way])
    way = best if seconds[simplest] > MARGIN * seconds[best] else simplest
    compared = [f"{seconds[other] / seconds[way]:.2g} times the speed of {other}"
                for other in (simplest, *others) if other != way]  # fmt: skip
    return Chosen(way, "; ".join(compared), date.today().isoformat())


def _recalled(key: dict[str, Any]) -> Chosen | None:
    found = recall(KIND, key)
    try:
        return None if found is None else Chosen(Way(*found["way"]), found["reason"], found["measured_on"])
    except (TypeError, KeyError):
        return None


def begin_batches(
    begin: Callable[[list[int]], Any], batches: Sequence[list[int]]
) -> list[tuple[list[int], list[Any]]]:
    """Begin all batches, so that no replica waits."""
    return [(numbers, begin(numbers)) for numbers in batches]


def finished_batches(waiting: Sequence[tuple[list[int], list[Any]]]) -> Iterator[tuple[list[int], list[Any]]]:
    """Wait for batches in the order in which they were begun; errors of `waited`."""
    return ((numbers, [waited(result) for result in results]) for numbers, results in waiting)
