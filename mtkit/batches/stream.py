"""The endless stream of training batches: epoch after epoch, resumable at any update.

Its whole state is a position (epoch, batch): what comes next follows from it, the ids, the settings and the
seed. Seeking plans the epoch anew and reads no data, so that it takes as long at an epoch's end as at its
start.
"""

import threading
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mtkit.batches.ahead import Ahead
from mtkit.batches.batch import Batch, make_batch
from mtkit.batches.plan import plan_epoch
from mtkit.batches.randomness import seed_of
from mtkit.batches.store import IdStore
from mtkit.config.training import TrainSettings
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import SIDES, Ids, Side

PLANS_KEPT = 2  # the epoch that is being read and the one that is being prepared


class Position(NamedTuple):
    """The next batch of a stream: the `batch`-th, from 0, of an epoch, from 0."""

    epoch: int
    batch: int


class _Update(NamedTuple):
    batches: list[Batch]
    after: Position


class BatchStream:
    """The training pairs of an id store, in updates of about `batch_tokens` target tokens, without end.

    Args:
        store: the pairs.
        settings: uses batch_tokens, accumulate, max_tokens and subword_sampling.
        seed: the recipe's seed.
        subword: the vocabularies that the ids are of; needed for subword sampling only.
        ahead: updates that a thread prepares while the caller computes; 0: each is made when it is asked for.
            The updates are the same.
        pin: True to put batches into page-locked memory, for a GPU.

    Raises:
        RecipeError: the subword sampling does not fit the vocabularies.
    """

    def __init__(
        self,
        store: IdStore,
        settings: TrainSettings,
        seed: int,
        subword: Subword | None = None,
        *,
        ahead: int = 0,
        pin: bool = False,
    ) -> None:
        self._store, self._settings, self._seed, self._subword = store, settings, seed, subword
        if settings.subword_sampling is not None:
            assert subword is not None, "subword sampling needs the vocabularies"
            subword.check_sampling(settings.subword_sampling)
        self._ahead, self._pin = ahead, pin
        self._plans: dict[int, list[NDArray[np.int64]]] = {}
        self._planning = threading.Lock()
        self._positions = self._tokens = 0
        self._updates: Iterator[_Update] | None = None
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

    def next_update(self) -> list[Batch]:
        """The micro-batches of the next update: together they hold its pairs, each once."""
        if self._updates is None:
            updates = self._updates_from(self._position)
            self._updates = Ahead(updates, self._ahead) if self._ahead else updates
        try:
            update = next(self._updates)
        except BaseException:
            self.close()  # so that another call tries again
            raise
        self._position = update.after
        for batch in update.batches:
            self._positions += batch.positions
            self._tokens += batch.source_tokens + batch.target_tokens
        return update.batches

    def batches_per_epoch(self, epoch: int) -> int:
        """How many updates the epoch has."""
        return len(self._plan(epoch))

    @property
    def padding_share(self) -> float:
        """Share of padded positions, of both sides, in all updates so far."""
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
                    self._settings.batch_tokens,
                    self._seed,
                    epoch,
                )
            return self._plans[epoch]

    def _updates_from(self, position: Position) -> Iterator[_Update]:
        epoch, batch = position
        while True:
            plan = self._plan(epoch)
            assert batch <= len(plan), f"epoch {epoch} has {len(plan)} batches, fewer than {batch}"
            for index in range(batch, len(plan)):
                last = index + 1 == len(plan)
                after = Position(epoch + 1, 0) if last else Position(epoch, index + 1)
                yield _Update(self._make(plan[index], Position(epoch, index)), after)
            epoch, batch = epoch + 1, 0

    def _make(self, pairs: NDArray[np.int64], position: Position) -> list[Batch]:
        sources, targets = (self._segmented(pairs, side, position) for side in SIDES)
        rows = self._store.rows[pairs]
        batches = [
            make_batch([sources[index] for index in part], [targets[index] for index in part], rows[part])
            for part in cut(_lengths(sources), _lengths(targets), self._settings.accumulate)
        ]
        return [batch.pin_memory() for batch in batches] if self._pin else batches

    def _segmented(self, pairs: NDArray[np.int64], side: Side, position: Position) -> Sequence[Ids]:
        """The ids of one side: as stored, or of a random segmentation."""
        ids = self._store.ids(pairs, side)
        sampling = self._settings.subword_sampling
        if sampling is None or sampling.sides not in (side, "both") or self._subword is None:
            return ids
        # The text comes from the ids: decoding what was encoded gives it back exactly.
        texts = self._subword.decode_all(ids, side)
        seed = seed_of(self._seed, position.epoch, position.batch, SIDES.index(side))
        most = self._settings.max_tokens - 1  # EOS follows
        return [sample[:most] for sample in self._subword.sample(texts, side, sampling, seed)]


def _lengths(sentences: Sequence[Ids]) -> NDArray[np.int64]:
    """Tokens of each sentence, EOS counted."""
    return np.array([len(ids) + 1 for ids in sentences], dtype=np.int64)


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
