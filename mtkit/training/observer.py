"""What is noticed about a training beside its numbers: what it is going to take, what did not fit in the
memory, what holds it up. Recorded and told; no result depends on it.
"""

from collections.abc import Callable, Sequence

from mtkit.config.training import FixedTrainSettings
from mtkit.log import EventWriter
from mtkit.training.fitting import Fitting, Work
from mtkit.training.pieces import Split
from mtkit.training.preflight import forecast
from mtkit.training.processes import Processes
from mtkit.training.stall import Machine, Stall, Watcher
from mtkit.training.state import TrainState

Note = Callable[[str], None]

# Updates of which the speed is told, after the first ones, which are slower; a few seconds make it steady.
SETTLING_UPDATES, MEASURED_UPDATES, MEASURED_SECONDS = 3, 10, 3.0
GATHERING_UPDATES = 20  # after which the processes tell each other what did not fit


class Observer:
    """Notices; the loop hands it every update.

    Args:
        settings: of the stage.
        work: model, lengths and memory.
        processes: that train together; rank 0 talks.
        machine: is watched for what holds the training up.
        events: where events go.
    """

    def __init__(
        self,
        settings: FixedTrainSettings,
        work: Work,
        processes: Processes,
        machine: Machine,
        events: EventWriter,
    ) -> None:
        self._settings, self._work, self._processes, self._events = settings, work, processes, events
        self._splits: list[tuple[int, Split]] = []
        self._updates, self._tokens, self._seconds = -SETTLING_UPDATES, 0, 0.0
        self._told_speed = False
        self._stalls: list[Stall] = []
        samples = settings.subword_sampling is not None
        self._watcher = Watcher(machine, self._stalls.append, samples_subwords=samples)

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
        self._splits += [(state.update, split) for split in splits]
        self._watcher.add(waited, seconds)
        self._updates += 1
        if self._updates > 0:
            self._tokens += tokens
            self._seconds += seconds

    def tell(self, state: TrainState, last_update: int, note: Note) -> None:
        """Say what there is to be said; all processes call it after the same updates."""
        for stall in self._stalls:
            self._events.write("stall", kind=stall.kind, share=round(stall.share, 3), found=stall.found)
            note(str(stall))
        self._stalls.clear()
        if self._processes.is_alone or state.update % GATHERING_UPDATES == 0:
            self.tell_splits(state, note)
        measured = self._updates >= MEASURED_UPDATES and self._seconds >= MEASURED_SECONDS
        if measured and not self._told_speed and self._processes.is_first:
            self._told_speed = True
            self._tell_forecast(last_update - state.update, note)

    def tell_splits(self, state: TrainState, note: Note) -> None:
        """Count and record what did not fit in any process's memory; say so the first time."""
        mine = [(update, list(split)) for update, split in self._splits]
        self._splits.clear()
        found = [
            (rank, update, Split(*split))
            for rank, theirs in enumerate(self._processes.gather(mine))
            for update, split in theirs
        ]
        for rank, update, split in found:
            self._events.write("out_of_memory", update=update, rank=rank, **split._asdict())
        if found and not state.in_pieces:
            _, update, split = found[0]
            note(
                f"out of memory at update {update:,}: computed {split}, with the same result."
                " Should this come often, raise `accumulate`, or set it to `auto`."
            )
        state.in_pieces += len(found)

    def _tell_forecast(self, updates: int, note: Note) -> None:
        settings, work = self._settings, self._work
        needed = Fitting(settings, work, settings.precision).expected(
            settings.batch_tokens, settings.accumulate
        )
        found = forecast(settings, work, needed, self._tokens / self._seconds, updates)
        self._events.write(
            "forecast", expected_bytes=found.expected, available_bytes=found.available,
            tokens_per_second=round(found.tokens_per_second),
            seconds_to_the_end=None if found.seconds is None else round(found.seconds),
        )  # fmt: skip
        note(str(found))
