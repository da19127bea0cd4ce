"""Watches for what holds a training up though nothing is wrong with it: data that come too late, cores that
other programs take, a machine that has become slower than it was. Says so once, with figures and a remedy;
changes nothing.
"""

import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch

from mtkit.model.cores import available_cores
from mtkit.model.workers import Workers

# The first updates fill caches and are slower than all others, so they tell nothing.
SETTLING_UPDATES = 10
# Long enough that a short job of the system is not taken for a rival, and that processor time, counted in
# hundredths of a second, is exact to a percent.
WINDOW_UPDATES, WINDOW_SECONDS = 20, 20.0
# From a fifth of the time on it is worth a person's while to do something about it.
WAITING_SHARE = 0.2
# A worker alone on its core has nearly all of it, but for waiting its turn in Python. One other program on
# two cores takes half of one, which leaves three quarters on the mean; so the line is drawn above that.
CORE_SHARE = 0.8
# Less than this is the system itself, which nobody can end.
TAKEN_CORES = 0.3
# Of the usual speed, which is one that was measured, exact to a tenth or so: an estimate knows no optimiser,
# which may take longer than a small update.
SLOW_SHARE = 0.5


@dataclass(frozen=True)
class Stall:
    """What holds training up.

    Attributes:
        kind: `data`, `cores` or `speed`.
        share: of the time that the model waits for data; of a core that a worker gets; of the usual speed.
        found: the figures, for people.
        remedy: what to do.
    """

    kind: str
    share: float
    found: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.found}. {self.remedy}"


@dataclass(frozen=True)
class Machine:
    """What a watcher asks about the machine; nothing here costs more than a few microseconds.

    Attributes:
        workers: of this training that compute side by side, in all its processes.
        cores: that this process may use.
        core_share: the share of a core that each worker had since it was last asked; None: it is not known,
            or a GPU computes.
        busy_seconds: processor time of all programs on these cores so far; None: nobody tells.
        own_seconds: processor time of this training so far; None: nobody tells.
        shares_out: the share of a core can be told from what other programs leave, where it is not known.
    """

    workers: int
    cores: int
    core_share: Callable[[], float | None]
    busy_seconds: Callable[[], float | None]
    own_seconds: Callable[[], float | None] = time.process_time
    shares_out: bool = False


class Watcher:
    """Adds up updates and looks at them now and then.

    Args:
        machine: is asked.
        tell: is told of each kind of stall, once.
        samples_subwords: text is segmented anew while training, which is the likeliest reason of late data.
        usual: target tokens a second that this machine makes of such updates; None: it is not known.

    Attributes:
        usual: as above; may be set once it is measured.
    """

    def __init__(
        self,
        machine: Machine,
        tell: Callable[[Stall], None],
        samples_subwords: bool = False,
        usual: float | None = None,
    ) -> None:
        self._machine, self._tell, self._samples_subwords = machine, tell, samples_subwords
        self.usual = usual
        self._told: set[str] = set()
        self._settling = SETTLING_UPDATES
        self._longest = 0.0  # seconds that an update of this window waited
        self._begin()

    def add(self, waited: float, seconds: float, tokens: int) -> None:
        """One more update.

        Args:
            waited: seconds until its micro-batches were there.
            seconds: that it took in all; what lies between two updates does not count.
            tokens: target tokens, over all processes.
        """
        if self._settling:
            self._settling -= 1
            if not self._settling:
                self._begin()
            return
        self._updates += 1
        self._waited += waited
        self._longest = max(self._longest, waited)
        self._seconds += seconds
        self._tokens += tokens
        if self._updates >= WINDOW_UPDATES and self._seconds >= WINDOW_SECONDS:
            self._look()
            self._begin()

    def _begin(self) -> None:
        """A new window."""
        self._updates, self._waited, self._seconds, self._tokens = 0, 0.0, 0.0, 0
        self._longest = 0.0
        self._machine.core_share()  # what was before does not count
        self._at_begin = self._clocks()

    def _clocks(self) -> tuple[float, float | None, float | None]:
        return time.monotonic(), self._machine.busy_seconds(), self._machine.own_seconds()

    def _look(self) -> None:
        # one long wait is that for the plan of an epoch, which comes seldom; sampled text comes in groups
        late = self._waited if self._samples_subwords else self._waited - self._longest
        is_late = late >= WAITING_SHARE * self._seconds
        stall = self._late_data() if is_late else self._taken_cores() or self._slow()
        if stall is not None and stall.kind not in self._told:
            self._told.add(stall.kind)
            self._tell(stall)

    def _late_data(self) -> Stall:
        share = self._waited / self._seconds
        found = (
            f"the model waits for data {share:.0%} of the time ({self._waited:.0f} of {self._seconds:.0f} s)"
        )
        if self._samples_subwords:
            return Stall("data", share, found, "Subword sampling takes it: sample one side only, or none.")
        return Stall(
            "data", share, found, "Put the runs on a faster disk (`--runs`), or leave it to this program."
        )

    def _taken_cores(self) -> Stall | None:
        machine, share, others = self._machine, self._machine.core_share(), self._others()
        if share is None and machine.shares_out and others is not None:
            share = min(1.0, max(0.0, machine.cores - others) / machine.workers)
        if share is None or share >= CORE_SHARE or (others is not None and others < TAKEN_CORES):
            return None
        each = f"each of {machine.workers} workers" if machine.workers > 1 else "the one worker"
        found = f"{each} gets {share:.0%} of a core"
        left = machine.workers - 1
        if others is not None:
            found += f"; other programs use {others:.1f} of the {machine.cores} cores"
            left = min(left, round(machine.cores - others))
        remedy = "End them" if others is not None else "End other programs"
        fewer = "fewer processes" if machine.shares_out else f"`--threads {left}`"
        remedy += f", or train with {fewer}." if left >= 1 else "."
        return Stall("cores", share, found, remedy)

    def _slow(self) -> Stall | None:
        """What nobody counts as a rival: heat, a limit on processor time, other machines on one processor."""
        rate = self._tokens / max(self._seconds - self._longest, 1e-9)
        if self.usual is None or (share := rate / self.usual) >= SLOW_SHARE:
            return None
        found = (
            f"training makes {rate:,.0f} target tokens/s, {share:.0%} of what this"
            " machine was measured to make"
        )
        remedy = (
            "Look for heat, power saving, a limit on processor time, or programs that fill the memory's"
            " bandwidth."
        )
        return Stall("speed", share, found, remedy)

    def _others(self) -> float | None:
        """Cores that other programs used in this window."""
        (began, busy_before, own_before), (now, busy, own) = self._at_begin, self._clocks()
        if busy is None or busy_before is None or own is None or own_before is None or now <= began:
            return None
        return max(0.0, (busy - busy_before - (own - own_before)) / (now - began))


def machine_of(workers: Workers, device: torch.device, processes: int = 1) -> Machine:
    """This machine, while these workers compute.

    Args:
        workers: they.
        device: that they compute on.
        processes: of this training on this machine; they take cores from each other, which is nobody's fault.
    """
    cores, several = available_cores(), processes > 1
    on_cpu = device.type == "cpu"
    return Machine(
        # more of them than cores are told of before the training
        workers=min(workers.count * processes, max(cores, workers.count)),
        cores=cores,
        core_share=workers.core_share if on_cpu and not several else lambda: None,
        busy_seconds=busy_seconds if _has_whole_cores(cores) else lambda: None,
        own_seconds=(lambda: family_seconds(processes)) if several else time.process_time,
        shares_out=on_cpu and several,
    )


def _has_whole_cores(cores: int) -> bool:
    """False in a container that gets a share of the time of more cores, on which others are no rivals of it.

    Args:
        cores: whose worth of time this process gets.
    """
    return not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) <= cores


def family_seconds(processes: int, root: Path = Path("/")) -> float | None:
    """Processor time so far of this process and those that the same launcher has started.

    Args:
        processes: how many they are; None is the answer where fewer are found.
        root: where /proc is looked for; None is the answer where there is none.
    """
    found = []
    try:
        ticks = os.sysconf("SC_CLK_TCK")
        for path in (root / "proc").glob("[0-9]*/stat"):
            with suppress(OSError):  # it has ended meanwhile
                # what follows its name, in brackets, begins with the third column
                columns = path.read_text("utf-8", "replace").rpartition(")")[2].split()
                if int(columns[1]) == os.getppid():
                    found.append((int(columns[11]) + int(columns[12])) / ticks)
    except (OSError, AttributeError, ValueError, IndexError):
        return None
    return sum(found) if len(found) >= processes else None


def busy_seconds(root: Path = Path("/")) -> float | None:
    """Processor time of all programs, on the cores that this process may use, since the machine started.

    Args:
        root: where /proc is looked for; None is the answer where there is none.
    """
    try:
        lines = (root / "proc/stat").read_text(encoding="ascii").splitlines()
        mine = {f"cpu{number}" for number in os.sched_getaffinity(0)}
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, AttributeError, ValueError):
        return None
    total = 0
    for line in lines:
        name, *columns = line.split()
        if name in mine:
            user, nice, system, _idle, _waiting, interrupts, more_interrupts, stolen = map(int, columns[:8])
            total += user + nice + system + interrupts + more_interrupts + stolen
    return total / ticks
