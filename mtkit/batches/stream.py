"""The endless stream of training batches: epoch after epoch, resumable at any update.

Its whole state is a position (epoch, batch): what comes next follows from it, the ids, the settings and the
seed. Seeking plans the epoch anew and reads none of the data before the position (with subword sampling: at
most one group of batches), so that it takes as long at an epoch's end as at its start.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtkit.batches.ahead import Ahead
from mtkit.batches.batch import Update, make_batch
from mtkit.batches.packed import filled
from mtkit.batches.plan import plan_epoch
from mtkit.batches.sampling import GROUP_BATCHES, Pairs, SampledPairs, lengths
from mtkit.batches.store import IdStore
from mtkit.config.training import FixedTrainSettings
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import SIDES

PLANS_KEPT = 2  # the epoch that is being read and the one that is being prepared


class Position(NamedTuple):
    """The next batch of a stream: the `batch`-th, from 0, of an epoch, from 0."""

    epoch: int
    batch: int


@dataclass(frozen=True)
class Share:
    """Which micro-batches of every update a process computes: the `rank`-th of every `count`, from 0."""

    rank: int
    count: int


WHOLE = Share(0, 1)


def parts_of_each(accumulate: int, processes: int) -> int:
    """Micro-batches of an update that each process computes: equally many, if need be more than asked for."""
    return -(-accumulate // processes)


class _Made(NamedTuple):
    update: Update
    after: Position


class BatchStream:
    """The training pairs of an id store, in updates of `batch_tokens` target tokens, without end.

    An update never holds more than `batch_tokens` target tokens; with subword sampling that is true to a few
    percent, since it is decided before what the sentences grow to is known.

    Args:
        store: the pairs.
        settings: uses batch_tokens, accumulate, max_tokens and subword_sampling.
        seed: the recipe's seed.
        subword: the vocabularies that the ids are of; needed for subword sampling only.
        ahead: updates that a thread prepares while the caller computes; 0: each is made when it is asked for.
            The updates are the same.
        pin: True to put batches into page-locked memory, for a GPU.
        pack: True to make batches without padding, for a GPU.
        share: of several processes, each has its own. An update is then cut into `accumulate` micro-batches
            or the next multiple of the number of processes, and only those of this process are made.

    Raises:
        RecipeError: the subword sampling does not fit the vocabularies.
    """

    def __init__(  # noqa: PLR0913  # of what it is a stream, and in which form
        self,
        store: IdStore,
        settings: FixedTrainSettings,
        seed: int,
        subword: Subword | None = None,
        *,
        ahead: int = 0,
        pin: bool = False,
        pack: bool = False,
        share: Share = WHOLE,
    ) -> None:
        self._store, self._settings, self._seed = store, settings, seed
        self._ahead, self._pin, self._pack, self._share = ahead, pin, pack, share
        self._parts = parts_of_each(settings.accumulate, share.count) * share.count
        self._planned_tokens = settings.batch_tokens
        self._sampled: SampledPairs | None = None
        if settings.subword_sampling is not None:
            assert subword is not None, "subword sampling needs the vocabularies"
            self._sampled = SampledPairs(store, subword, settings.subword_sampling, settings.max_tokens, seed)
            self._planned_tokens = max(1, round(settings.batch_tokens / self._sampled.growth()))
        self._plans: dict[int, list[NDArray[np.int64]]] = {}
        self._counts: dict[int, int] = {}  # of the batches of every epoch that was planned
        self._planning = threading.Lock()
        self._positions = self._tokens = 0
        self._updates: Iterator[_Made] | None = None
        self._position = Position(0, 0)

    @property
    def position(self) -> Position:
        """What the next update starts at; behind an epoch's last batch it is the start of the next epoch."""
        return self._position

    def seek(self, position: Position) -> None:
        """Go on at `position`, as a stream that has come there by itself would.

        The padding share goes on counting.
        """
        self.close()
        self._position = Position(*position)

    def next_update(self) -> Update:
        """The micro-batches of the next update: those of all processes together hold its pairs, each once."""
        if self._updates is None:
            updates = self._updates_from(self._position)
            self._updates = Ahead(updates, self._ahead) if self._ahead else updates
        try:
            made = next(self._updates)
        except BaseException:
            self.close()  # so that another call tries again
            raise
        self._position = made.after
        self._positions += made.update.positions
        self._tokens += made.update.source_tokens + made.update.target_tokens
        return made.update

    def batches_per_epoch(self, epoch: int) -> int:
        """How many updates the epoch has; it is planned once to know it, however often this is asked."""
        return self._counts[epoch] if epoch in self._counts else len(self._plan(epoch))

    @property
    def padding_share(self) -> float:
        """Share of positions without a token (padding, or filler), of both sides, in all updates so far."""
        return 1 - self._tokens / self._positions if self._positions else 0.0

    def close(self) -> None:
        """End the thread, if there is one; `next_update` starts it again."""
        if isinstance(self._updates, Ahead):
            self._updates.close()
        self._updates = None

    def __enter__(self) -> "BatchStream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _plan(self, epoch: int) -> list[NDArray[np.int64]]:
        with self._planning:
            if epoch not in self._plans:
                while len(self._plans) >= PLANS_KEPT:
                    del self._plans[next(iter(self._plans))]
                self._plans[epoch] = plan_epoch(
                    self._store.source_lengths,
                    self._store.target_lengths,
                    self._planned_tokens,
                    self._seed,
                    epoch,
                )
                self._counts[epoch] = len(self._plans[epoch])
            return self._plans[epoch]

    def _updates_from(self, position: Position) -> Iterator[_Made]:
        epoch, batch = position
        while True:
            last = len(self._plan(epoch)) - 1
            for index, pairs in enumerate(self._pairs_from(epoch, batch), start=batch):
                after = Position(epoch, index + 1) if index < last else Position(epoch + 1, 0)
                yield _Made(self._update(pairs), after)
            epoch, batch = epoch + 1, 0

    def _pairs_from(self, epoch: int, batch: int) -> Iterator[Pairs]:
        """The pairs of each batch that is left of an epoch."""
        plan = self._plan(epoch)
        if self._sampled is None:
            for numbers in plan[batch:]:
                sources, targets = (self._store.ids(numbers, side) for side in SIDES)
                yield Pairs(sources, targets, numbers)
            return
        for group in range(batch // GROUP_BATCHES, -(-len(plan) // GROUP_BATCHES)):
            first = group * GROUP_BATCHES
            sampled = self._sampled.group(plan[first : first + GROUP_BATCHES], epoch, group)
            yield from sampled[max(0, batch - first) :]

    def _update(self, pairs: Pairs) -> Update:
        sources, targets, numbers = pairs
        rows = self._store.rows[numbers]
        source, target = lengths(sources), lengths(targets)
        parts = cut(source, target, self._parts)
        mine = range(self._share.rank, len(parts), self._share.count)
        batches = [
            make_batch([sources[index] for index in part], [targets[index] for index in part], rows[part])
            for part in (parts[number] for number in mine)
        ]
        if self._pack:
            batches = [batch.pack(self._settings.max_tokens) for batch in batches]
        return Update(
            [batch.pin_memory() for batch in batches] if self._pin else batches,
            mine,
            rows,
            int(source.sum()),
            int(target.sum()),
            sum(self._positions_of(source[part], target[part]) for part in parts),
        )

    def _positions_of(self, source: NDArray[np.int64], target: NDArray[np.int64]) -> int:
        """Positions of a micro-batch, from the lengths of its pairs."""
        if self._pack:
            return filled(int(source.sum())) + filled(int(target.sum()))
        return len(source) * int(source.max() + target.max())


def cut(source: NDArray[np.int64], target: NDArray[np.int64], parts: int) -> list[NDArray[np.int64]]:
    """Cut an update's pairs into micro-batches of about as many target tokens each.

    Args:
        source: source tokens of each pair, EOS counted. [pairs]
        target: target tokens of each pair, EOS counted. [pairs]
        parts: how many micro-batches; with fewer pairs there are fewer.

    Returns:
        the numbers of each part's pairs; sorted by the side that gives the least padding.
    """
    if parts == 1:
        return [np.arange(len(source))]
    cuts = []
    for order in (np.lexsort((target, source)), np.lexsort((source, target))):
        middles = np.cumsum(target[order]) - target[order] / 2
        part = (middles * parts / target.sum()).astype(np.int64)
        cuts.append([order[part == index] for index in range(parts) if (part == index).any()])
    return min(
        cuts, key=lambda cut: sum(len(one) * int(source[one].max() + target[one].max()) for one in cut)
    )
