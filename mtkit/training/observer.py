"""What is noticed about a training beside its numbers: what it is going to take, what did not fit in the
memory, what holds it up. Recorded and told; no result depends on it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from mtkit.config.training import FixedTrainSettings
from mtkit.log import EventWriter
from mtkit.model.products import is_short_of_kernels
from mtkit.training.outlook import ESTIMATED, Outlook
from mtkit.training.pieces import Split
from mtkit.training.preflight import Forecast, forecast
from mtkit.training.processes import Processes
from mtkit.training.stall import Machine, Stall, Watcher
from mtkit.training.state import TrainState

Note = Callable[[str], None]

# Updates of which the speed is told, after the first ones, which are slower; a few seconds make it steady.
SETTLING_UPDATES, MEASURED_UPDATES, MEASURED_SECONDS = 3, 10, 3.0
CORRECTED = 1.25  # times faster or slower than was said, from which on the measured speed is said too
GATHERING_UPDATES = 20  # after which the processes tell each other what did not fit
NO_REMEDY = "Nothing need be done: it takes a little longer."
KERNELS = "kernels"
# What ran out of memory: where, for people, and what may be done about it.
TASKS = {
    "update": ("at update", "Should this come often, raise `accumulate`, or set it to `auto`."),
    "validation": ("in the validation at update", NO_REMEDY),
    "translation": ("translating at update", NO_REMEDY),
    KERNELS: ("at update", "Other programs take the memory, or a limit does; MKL is the slower here."),
}


class Shortage(NamedTuple):
    """Something that ran out of memory and was made with less.

    Attributes:
        task: one of `TASKS`.
        update: that training had come to.
        found: what was done, for people.
        facts: for the record.
    """

    task: str
    update: int
    found: str
    facts: dict[str, int]


class Observer:
    """Notices; the loop hands it every update.

    Args:
        settings: of the stage.
        outlook: what is known before the first update; rank 0 has it.
        processes: that train together; rank 0 talks.
        machine: is watched for what holds the training up.
        events: where events go.
    """

    def __init__(
        self,
        settings: FixedTrainSettings,
        outlook: Outlook | None,
        processes: Processes,
        machine: Machine,
        events: EventWriter,
    ) -> None:
        self._settings, self._outlook, self._processes, self._events = settings, outlook, processes, events
        self._shortages: list[Shortage] = []
        self._told_tasks: set[str] = set()
        self._is_short_of_kernels = False
        self._updates, self._tokens, self._seconds = -SETTLING_UPDATES, 0, 0.0
        self._told_speed = False
        self._stalls: list[Stall] = []
        samples = settings.subword_sampling is not None
        usual = outlook.tokens_per_second if outlook and outlook.basis != ESTIMATED else None
        self._watcher = Watcher(machine, self._stalls.append, samples_subwords=samples, usual=usual)

    def begin(self, updates: int, note: Note) -> None:
        """Before the first update: say what is known of memory, speed and time.

        Args:
            updates: yet to be made.
            note: tells people.
        """
        if self._outlook is not None:
            known = forecast(self._settings, self._outlook, self._outlook.tokens_per_second, updates)
            self._record(known, self._outlook.basis)
            note(str(known))

    def update(
        self, state: TrainState, waited: float, seconds: float, tokens: int, splits: Sequence[Split]
    ) -> None:
        """One more update was made.

        Args:
            state: after it.
            waited: seconds until its micro-batches were there.
            seconds: that it took in all.
            tokens: target tokens, over all processes.
            splits: what did not fit in the memory of this process.
        """
        for split in splits:
            self.in_pieces("update", state.update, split)
        if is_short_of_kernels() and not self._is_short_of_kernels:
            self._is_short_of_kernels = True
            found = "oneDNN had no room for its kernels, so MKL multiplies from now on"
            self._shortages.append(Shortage(KERNELS, state.update, found, {}))
        self._watcher.add(waited, seconds, tokens)
        self._updates += 1
        if self._updates > 0:
            self._tokens += tokens
            self._seconds += seconds

    def in_pieces(self, task: str, update: int, split: Split) -> None:
        """A batch ran out of memory in this process."""
        self._shortages.append(Shortage(task, update, f"computed {split}", split._asdict()))

    def in_smaller_batches(self, update: int, tokens: int) -> None:
        """The translation of a validation ran out of memory in this process."""
        found = f"translated in batches of {tokens:,} tokens"
        self._shortages.append(Shortage("translation", update, found, {"batch_tokens": tokens}))

    def tell(self, state: TrainState, last_update: int, note: Note) -> None:
        """Say what there is to be said; all processes call it after the same updates."""
        for stall in self._stalls:
            self._events.write("stall", kind=stall.kind, share=round(stall.share, 3), found=stall.found)
            note(str(stall))
        self._stalls.clear()
        if self._processes.is_alone or state.update % GATHERING_UPDATES == 0:
            self.tell_shortages(state, note)
        measured = self._updates >= MEASURED_UPDATES and self._seconds >= MEASURED_SECONDS
        if measured and not self._told_speed and self._outlook is not None:
            self._told_speed = True
            self._tell_measured(self._outlook, last_update - state.update, note)

    def tell_shortages(self, state: TrainState, note: Note) -> None:
        """Count and record what did not fit in any process's memory; say so the first time."""
        found = self._processes.gather(self._shortages)
        self._shortages = []
        for rank, theirs in enumerate(found):
            for one in (Shortage(*values) for values in theirs):
                self._events.write("out_of_memory", update=one.update, rank=rank, task=one.task, **one.facts)
                state.in_pieces += one.task != KERNELS
                if one.task not in self._told_tasks:
                    self._told_tasks.add(one.task)
                    where, remedy = TASKS[one.task]
                    where += f" {one.update:,}" + (f" (rank {rank})" if rank else "")
                    note(f"out of memory {where}: {one.found}, with the same result. {remedy}")

    def _tell_measured(self, outlook: Outlook, updates: int, note: Note) -> None:
        """Keep the speed in mind; say it if it is another than was said."""
        rate, said = self._tokens / self._seconds, outlook.tokens_per_second
        outlook.keep(rate)
        self._watcher.usual = self._watcher.usual or rate
        found = forecast(self._settings, outlook, rate, updates)
        self._record(found, "measured")
        if said is None:
            note(f"measured: {found.speed()}")
        elif not 1 / CORRECTED <= rate / said <= CORRECTED:
            note(f"measured: {found.speed(f'not {said:,.0f}')}")

    def _record(self, found: Forecast, basis: str) -> None:
        rate, seconds = found.tokens_per_second, found.seconds
        self._events.write(
            "forecast", expected_bytes=found.outlook.expected.total,
            available_bytes=found.outlook.available, basis=basis,
            tokens_per_second=None if rate is None else round(rate),
            seconds_to_the_end=None if seconds is None else round(seconds),
        )  # fmt: skip
