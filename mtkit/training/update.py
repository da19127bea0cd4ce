"""One update: micro-batches → gradients → penalties → clipping → step.

Randomness is drawn anew for every micro-batch from (seed, update, micro-batch) and depends on no history, so
a resumed training drops out the same values as one that was never interrupted. A micro-batch that does not
fit in the memory is computed in pieces, with the same result to rounding (`pieces.py`).
"""

import hashlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial

import torch
from torch import Tensor

from mtkit.batches.batch import Batch, Update
from mtkit.config.training import FixedTrainSettings
from mtkit.model.dropout import Rows, seeded
from mtkit.model.transformer import Transformer
from mtkit.model.workers import ALONE, Workers
from mtkit.training.guard import Observed
from mtkit.training.loss import LossSums, accumulate, add, gradients, no_sums, objective, penalty, sum_of
from mtkit.training.optimizer import Optimizer, matrices
from mtkit.training.pieces import Split, attempted, in_pieces_if_needed
from mtkit.training.processes import ONE_PROCESS, Processes
from mtkit.training.reduction import Reduction
from mtkit.training.sharding import Sharded, whole

Found = tuple[LossSums, list[Tensor | None]]  # as of `loss.gradients`


def derived_seed(seed: int, *parts: int | str) -> int:
    """A seed of 63 bits that depends on all of its arguments and on nothing else."""
    text = "/".join(str(part) for part in (seed, *parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def part_gradients(
    model: Transformer,
    batch: Batch,
    update_tokens: int,
    smoothing: float,
    precision: str,
    seed: int,
    rows: Rows | None = None,
) -> Found:
    """A micro-batch's share of the gradients of an update, as `loss.gradients`.

    Args:
        model: in training mode, on the batch's device.
        batch: the micro-batch, or some of its rows.
        update_tokens: target tokens of the whole update.
        smoothing: of labels.
        precision: of matrix products, float32 or bfloat16.
        seed: of what is dropped out.
        rows: which of the micro-batch's rows they are, if not all. Dropout on a GPU does not know of rows:
            there each piece has a seed of its own.
    """
    with computing(model.device, precision, seed, rows):
        return gradients(model, batch, update_tokens, smoothing)


@contextmanager
def computing(device: torch.device, precision: str, seed: int, rows: Rows | None = None) -> Iterator[None]:
    """What a micro-batch, or a piece of one, is computed in; arguments as of `part_gradients`."""
    if rows is not None and device.type != "cpu":
        seed = derived_seed(seed, *rows)
    bfloat16 = torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bfloat16")
    with bfloat16, seeded(seed, device, rows):
        yield


def added(found: Found, more: Found) -> Found:
    """The gradients of two pieces of a micro-batch, in the place of the first."""
    both = [sum_of(old, new) for old, new in zip(found[1], more[1], strict=True)]
    return add([found[0], more[0]]), both


class Updater:
    """Makes updates of a model.

    Args:
        model: on its device.
        optimizer: of the same model.
        settings: loss, clipping and precision.
        seed: the recipe's.
        workers: compute the micro-batches of an update.
        processes: each computes micro-batches of its own; their gradients are added up.
        sharded: the model, if its weights are shared out among the processes.
    """

    def __init__(
        self,
        model: Transformer,
        optimizer: Optimizer,
        settings: FixedTrainSettings,
        seed: int,
        workers: Workers = ALONE,
        processes: Processes = ONE_PROCESS,
        sharded: Sharded | None = None,
    ) -> None:
        self.model, self.optimizer, self.settings, self.seed = model, optimizer, settings, seed
        self._workers, self._processes, self._sharded = workers, processes, sharded
        self._parameters = list(model.parameters())
        self._matrices = matrices(model)
        self._splits: list[Split] = []
        device = next(iter(self._parameters)).device
        self._device = device

    def gradients(self, batches: Update, update: int) -> LossSums:
        """Compute the gradients of an update, over all processes; no weight changes.

        Args:
            batches: the update's micro-batches.
            update: its number, from 1.

        Returns:
            The sums over the update's target tokens.
        """
        self.optimizer.zero_grad()
        self._splits.clear()
        if self._sharded is not None:
            sums_here, splits = self._sharded.gradients(
                batches, self.settings.loss.label_smoothing, partial(self._around, update)
            )
            self._splits += splits
            return LossSums(*self._processes.sum(torch.stack(sums_here)).unbind())
        seeds = [derived_seed(self.seed, "update", update, number) for number in batches.numbers]
        tokens, todo = batches.target_tokens, list(zip(batches, seeds, strict=True))
        reduction = self._processes.reduction(self._parameters)
        # Of a single worker the gradients of the last micro-batch may leave as they come; several have them
        # in no order that repeats itself.
        last = [todo.pop()] if reduction is not None and self._workers.count == 1 and todo else []
        sums = [no_sums(self._device)]
        # in order, so that the sum's rounding repeats itself
        for part, found in self._workers.map(partial(self._part, *one, tokens) for one in todo):
            accumulate(self.model, found)
            sums.append(part)
        if reduction is not None:
            sums += [self._part_and_send(*one, tokens, reduction) for one in last]
            reduction.finish()
        return LossSums(*self._processes.sum(torch.stack(add(sums))).unbind())

    def _around(self, update: int, number: int, rows: Rows | None) -> AbstractContextManager[None]:
        """What a micro-batch of an update, or some of its rows, is computed in."""
        seed = derived_seed(self.seed, "update", update, number)
        return computing(self._device, self.settings.precision, seed, rows)

    def _part_and_send(self, batch: Batch, seed: int, tokens: int, reduction: Reduction) -> LossSums:
        """Add a micro-batch's gradients to the others; each leaves for the other processes as it comes."""

        def compute() -> LossSums:
            with computing(self._device, self.settings.precision, seed):
                smoothing = self.settings.loss.label_smoothing
                minimised, sums = objective(self.model, batch.to(self._device), tokens, smoothing)
                with reduction.beside_backward():
                    minimised.backward()  # type: ignore[no-untyped-call]
            return sums

        sums = attempted(compute)
        if sums is not None:
            return sums
        sums, found = self._part(batch, seed, tokens)  # what has come already is the same, and stays
        pairs = zip(self._parameters, found, strict=True)
        accumulate(self.model, [None if reduction.is_complete(one) else more for one, more in pairs])
        return sums

    def _part(self, batch: Batch, seed: int, tokens: int) -> Found:
        """A micro-batch's share of the gradients; runs in a worker's thread."""
        smoothing, precision = self.settings.loss.label_smoothing, self.settings.precision

        def compute(piece: Batch, rows: Rows | None) -> Found:
            here = piece.to(self._device)
            return part_gradients(self.model, here, tokens, smoothing, precision, seed, rows)

        found, split = in_pieces_if_needed(batch, compute, added)
        if split is not None:
            self._splits.append(split)
        return found

    def splits(self) -> list[Split]:
        """The micro-batches of the last `gradients` that ran out of memory and were computed in pieces."""
        return list(self._splits)

    def step(
        self, batches: Update, sums: LossSums, update: int, rate_factor: float
    ) -> tuple[Observed, Tensor]:
        """Move the weights along the gradients.

        Args:
            batches: what the gradients came from.
            sums: what `gradients` returned.
            update: its number.
            rate_factor: share of the peak learning rate.

        Returns:
            What the guard wants to know, and the objective: smoothed loss per token with its penalties.
        """
        tokens = batches.target_tokens
        loss = self.settings.loss
        fine = penalty(self._matrices, loss.l1, loss.l2)
        objective = sums.objective / tokens + (whole(fine) if isinstance(fine, Tensor) else fine)
        norm = torch.nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if self.settings.clip_norm is not None:
            torch.nn.utils.clip_grads_with_norm_(self._parameters, self.settings.clip_norm, norm)
        self.optimizer.step(rate_factor, update)
        observed = Observed(update, batches.rows, sums.nats, tokens, whole(norm))
        return observed, objective
