"""What fits: the largest update, or the fewest micro-batches, that the memory of a machine holds."""

from bisect import bisect_left
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray

from mtkit.batches.plan import plan_epoch
from mtkit.batches.stream import cut, parts_of_each
from mtkit.config.training import LEAST_UPDATES_PER_EPOCH, MOST_BATCH_TOKENS, Precision, TrainSettings
from mtkit.errors import RunError
from mtkit.model.transformer import Transformer
from mtkit.training.memory import Activations, Expected, Memory, Shape, expected, human, memory_of

FREE_SHARE = 0.8  # of the free memory that a choice may fill: validation and the allocator want some too
SAMPLED_PAIRS, LONGEST_PAIRS = 20_000, 1_000  # of the corpus whose batches are looked at
SHAPES = 30  # the largest updates and those of the longest pairs, whose memory is foretold
SHRINKING = 0.75  # of batch tokens from one try to the next


@dataclass(frozen=True)
class Work:
    """What a choice depends on besides the settings.

    Attributes:
        model: on its device.
        source_lengths: tokens of the training pairs, EOS counted. [pairs]
        target_lengths: likewise.
        workers: micro-batches that are computed side by side.
        processes: that share an update, on all machines.
        local_processes: of them, those that share this machine.
        seed: the recipe's.
        precision: the faster one here, for `auto`.
        precision_reason: why it is.
        taken: bytes that this process takes before it trains, those of the model included.
        is_whole: False if the pairs are made up, so that nobody knows how many there are.
    """

    model: Transformer
    source_lengths: NDArray[np.integer]
    target_lengths: NDArray[np.integer]
    workers: int = 1
    processes: int = 1
    local_processes: int = 1
    seed: int = 1
    precision: Precision = "float32"
    precision_reason: str = "nothing faster is known"
    taken: int = 0
    is_whole: bool = True

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.model.device

    @property
    def longest(self) -> int:
        """Target tokens of the longest pair."""
        return int(self.target_lengths.max())

    @property
    def tokens(self) -> int:
        """Target tokens of the corpus."""
        return int(self.target_lengths.sum(dtype=np.int64))

    @cached_property
    def memory(self) -> Memory | None:
        """Of the device, before the training."""
        return memory_of(self.device)

    def activations(self, precision: str) -> Activations:
        """What micro-batches of the model keep for their backward pass; found out once."""
        if precision not in self._counted:
            self._counted[precision] = Activations(self.model, precision)
        return self._counted[precision]

    @cached_property
    def _counted(self) -> dict[str, Activations]:
        return {}

    def shapes(self, batch_tokens: int, accumulate: int) -> list[Shape]:
        """The largest micro-batches of a training: of some of its pairs, the longest among them."""
        found = []
        for source, target in self._largest(batch_tokens):
            for part in cut(source, target, accumulate):
                s, t = source[part], target[part]
                found.append(Shape(len(part), int(s.max()), int(t.max()), int(t.sum())))
        return found

    def _largest(self, batch_tokens: int) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
        """Lengths of source and target in the largest updates."""
        if batch_tokens not in self._seen:
            source, target = self._sample
            batches = plan_epoch(source, target, batch_tokens, self.seed, epoch=0)
            widths = np.array([int(source[pairs].max()) + int(target[pairs].max()) for pairs in batches])
            positions = widths * np.array([len(pairs) for pairs in batches])
            # Memory grows with positions, and where sentences are long with their squares.
            chosen = {*np.argsort(-positions)[:SHAPES].tolist(), *np.argsort(-widths)[:SHAPES].tolist()}
            self._seen[batch_tokens] = [
                (source[batches[index]].astype(np.int64), target[batches[index]].astype(np.int64))
                for index in sorted(chosen)
            ]
        return self._seen[batch_tokens]

    @cached_property
    def _seen(self) -> dict[int, list[tuple[NDArray[np.int64], NDArray[np.int64]]]]:
        """What `_largest` has found; looking for it takes a while."""
        return {}

    @cached_property
    def _sample(self) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        pairs = len(self.source_lengths)
        if pairs <= SAMPLED_PAIRS:
            return self.source_lengths, self.target_lengths
        total = self.source_lengths.astype(np.int64) + self.target_lengths
        longest = np.argpartition(total, -LONGEST_PAIRS)[-LONGEST_PAIRS:]
        chosen = np.union1d(longest, np.linspace(0, pairs - 1, SAMPLED_PAIRS).astype(np.int64))
        return self.source_lengths[chosen], self.target_lengths[chosen]


class Fitting:
    """Looks for the largest update, or the fewest micro-batches, that the memory holds.

    Args:
        settings: as the recipe has them.
        work: what is to be computed, and where.
        precision: chosen already.
    """

    def __init__(self, settings: TrainSettings, work: Work, precision: str) -> None:
        self._settings, self._work = settings, work
        self._activations = work.activations(precision)
        # Each worker of each process is to have something to do.
        self._side_by_side = (work.workers if work.device.type == "cpu" else 1) * work.processes
        self._shards = work.processes if settings.shard else 1
        # A GPU belongs to one process; the memory of a machine is shared.
        sharers = work.local_processes if work.device.type == "cpu" else 1
        self._free = None if work.memory is None else work.memory.free // sharers

    def batch_tokens(self) -> tuple[int, str]:
        """The largest update, and why it is no larger."""
        work = self._work
        corpus = work.tokens // LEAST_UPDATES_PER_EPOCH if work.is_whole else MOST_BATCH_TOKENS
        parts = self._side_by_side if self._settings.accumulate == "auto" else self._settings.accumulate
        least = max(8, work.longest * (1 if self._settings.accumulate == "auto" else parts))
        most = max(least, min(MOST_BATCH_TOKENS, corpus))
        reason = (
            f"the most it may be, {MOST_BATCH_TOKENS:,}" if corpus >= MOST_BATCH_TOKENS
            else "no less, or the longest pairs find no room" if most == least
            else f"with more an epoch has fewer than {LEAST_UPDATES_PER_EPOCH} updates"
        )  # fmt: skip
        tokens = most
        while not self.fits(self.expected(tokens, min(parts, self._most_parts(tokens)))):
            if tokens == least:
                return least, "the least that the longest pairs need; memory is scarce"
            tokens = max(least, int(tokens * SHRINKING))
            reason = "the memory holds no more"
        if not work.is_whole:
            reason += f"; fewer if an epoch had less than {LEAST_UPDATES_PER_EPOCH} updates"
        return tokens, reason

    def accumulate(self, batch_tokens: int) -> tuple[int, str]:
        """The fewest micro-batches, and why there are no fewer."""
        most = self._most_parts(batch_tokens)
        least = min(self._side_by_side, most)
        self._check_weights()

        def fits(rounds: int) -> bool:
            return self.fits(self.expected(batch_tokens, rounds * least))

        if fits(1):
            workers = f"one for each of {least} workers"
            return least, workers if least > 1 else "an update fits in one piece"
        # All processes and workers are to have equally many, so multiples of the least are tried.
        rounds = 1 + bisect_left(range(1, most // least + 1), True, key=fits)
        if rounds * least > most:
            return most, "more would cut up the longest pairs; memory is scarce"
        return rounds * least, "the memory holds no larger pieces"

    def _most_parts(self, batch_tokens: int) -> int:
        """More would leave no room for the longest pair."""
        processes = self._work.processes
        return max(processes, batch_tokens // max(self._work.longest, 1) // processes * processes)

    def expected(self, batch_tokens: int, accumulate: int) -> Expected:
        """The memory of each process."""
        work = self._work
        own = parts_of_each(accumulate, work.processes)
        at_once = min(work.workers, own) if work.device.type == "cpu" and self._shards == 1 else 1
        activations = self._activations.taken(work.shapes(batch_tokens, own * work.processes), at_once)
        sums = (own > 1) + (work.processes > 1)
        return self._of_each(activations, sums, at_once)

    def _of_each(self, activations: int, sums: int, at_once: int) -> Expected:
        """As `expected`; one process of a machine copies a checkpoint, and all share its memory."""
        work, taken = self._work, self._work.taken
        found = expected(self._settings, work.model, activations, sums, at_once, taken, self._shards)
        return replace(found, checkpoint=found.checkpoint // work.local_processes)

    def fits(self, needed: Expected) -> bool:
        """True if the memory holds it, or nobody knows how much there is."""
        return self._free is None or needed.more <= FREE_SHARE * self._free

    def _check_weights(self) -> None:
        """The weights and what belongs to them fit, whatever the batch.

        Raises:
            RunError: they do not.
        """
        sums = 1 + (self._work.processes > 1)
        needed = self._of_each(0, sums, 1)
        if self._free is not None and needed.more > self._free:
            raise RunError(
                f"gradients, optimiser and checkpoints of this model need {human(needed.more)} more than is"
                f" taken already, and {human(self._free)} are free",
                where=str(self._work.device),
                expected="a model that the memory holds",
                advice="Free memory, take a machine with more, or lower `model.dim`, `model.ffn_dim` or the"
                " layers.",
            )
