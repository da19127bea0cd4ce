"""Weights, gradients and the optimiser's memory shared out among processes (`shard: true`): torch's FSDP2.

Everywhere else a weight is a whole tensor; here it is a DTensor, of which each process holds some rows. Its
module takes most of a second to import, so it is imported where it is needed, and known by what it can do.
"""

import copy
import math
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from torch import Tensor, nn

from mtkit.batches.batch import Batch, Update, make_batch
from mtkit.errors import RunError
from mtkit.model.dropout import Rows
from mtkit.model.transformer import Transformer
from mtkit.subword.vocabulary import UNK
from mtkit.training.loss import LossSums, add, hidden_states, no_sums, objective_of
from mtkit.training.pieces import Split, halves, is_out_of_memory, split_of
from mtkit.training.processes import Processes
from mtkit.training.unfailing import Unfailing

Around = Callable[[int, Rows | None], AbstractContextManager[object]]


@dataclass(frozen=True)
class Part:
    """What is computed at a time: a micro-batch of this process, by its index, or some rows of it."""

    index: int
    rows: Rows

    def of(self, batches: Update) -> Batch:
        """The pairs."""
        batch = batches[self.index]
        return batch.part(self.rows.first, self.rows.last) if self.is_piece else batch

    @property
    def is_piece(self) -> bool:
        """True if it is not the whole micro-batch."""
        return self.rows.last - self.rows.first < self.rows.of

    def halves(self, batches: Update) -> list["Part"]:
        """It, in two parts."""
        return [Part(self.index, rows) for rows in halves(batches[self.index], self.rows)]


class Sharded(nn.Module):
    """A model whose weights are shared out, and the way of a micro-batch through it.

    The layers are gathered one by one as they are needed, embeddings and norms for the length of a pass.

    Args:
        model: on its device; its parameters become DTensors.
        processes: hold the shards.
    """

    def __init__(self, model: Transformer, processes: Processes) -> None:
        from torch.distributed.device_mesh import init_device_mesh
        from torch.distributed.fsdp import FSDPModule, fully_shard

        super().__init__()
        self._processes = processes
        self._whole = [_without_weights(model)]  # in a list: it is no part of this module
        self.model = model
        self._steps = Unfailing()
        self._too_large: float = math.inf  # positions of a part that did not fit; larger ones are not tried
        self._wrap()
        mesh = init_device_mesh(model.device.type, (processes.share.count,))
        for layer in (*model.encoder.layers, *model.decoder.layers):
            fully_shard(layer, mesh=mesh)
        fully_shard(self, mesh=mesh)
        for module in self.modules():
            if isinstance(module, FSDPModule):  # sums, as everywhere in training, not means
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    def _wrap(self) -> None:
        """Let all that takes much memory be steps of which none raises for want of it."""
        model, width = self.model, self.model.settings.dim
        for embedding in (model.target_embedding, model.source_embedding):
            if embedding is not None:
                self._steps.wrap(embedding, "forward", embedding, width)
        for stack in (model.encoder, model.decoder):
            self._steps.wrap(stack, "begin", stack.positions, width)
            for module in (*stack.layers, stack.norm):
                self._steps.wrap(module, "forward", module, width)

    def forward(self, batch: Batch, update_tokens: int, smoothing: float) -> tuple[Tensor, LossSums]:
        """What is minimised, and the batch's sums."""
        states = hidden_states(self.model, batch)  # [B, T, D]

        def output(states: Tensor) -> tuple[Tensor, ...]:
            minimised, sums = objective_of(self.model, batch, states, update_tokens, smoothing)
            return minimised, *sums

        def zeros() -> tuple[Tensor, ...]:
            return tuple(states.new_zeros(3).unbind())

        minimised, *sums = self._steps.run(output, [states], [self.model.output_weight], zeros)
        return minimised, LossSums(*sums)

    def gradients(self, batches: Update, smoothing: float, around: Around) -> tuple[LossSums, list[Split]]:
        """Compute the gradients of an update; all processes pass equally often, some with nothing to add.

        If the memory of one does not suffice, all begin the update anew, and it computes in smaller pieces.

        Args:
            batches: this process's micro-batches.
            smoothing: of labels.
            around: what a micro-batch is computed in, by its number and, if not all, which of its rows.

        Returns:
            The sums over this process's micro-batches, and those that did not fit in its memory.

        Raises:
            RunError: one pair by itself does not fit.
        """
        parts = self._parts(batches)
        while True:
            sums, failed = self._pass_all(batches, parts, smoothing, around)
            if not any(self._processes.any(failed is not None)):
                break
            for parameter in self.model.parameters():
                parameter.grad = None
            if failed is not None:
                self._too_large = min(self._too_large, parts[failed].of(batches).positions)
                parts[failed : failed + 1] = parts[failed].halves(batches)
        pieces = Counter(part.index for part in parts)
        return sums, [split_of(batches[index], count) for index, count in pieces.items() if count > 1]

    def _parts(self, batches: Update) -> list[Part]:
        """The micro-batches, or, of those that are too large, parts."""
        waiting = [Part(index, Rows(0, len(batch), len(batch))) for index, batch in enumerate(batches)][::-1]
        parts = []
        while waiting:
            part = waiting.pop()
            batch = part.of(batches)
            if batch.positions >= self._too_large and len(batch) > 1:
                waiting += part.halves(batches)[::-1]
            else:
                parts.append(part)
        return parts

    def _pass_all(
        self, batches: Update, parts: list[Part], smoothing: float, around: Around
    ) -> tuple[LossSums, int | None]:
        """The sums over some parts, their gradients added up; and the first that did not fit."""
        self._steps.begin()
        sums, failed = [no_sums(self.model.device)], None
        empty = make_batch([[UNK]], [[UNK]], [0])
        for index in range(max(self._processes.gather(len(parts)))):
            part = parts[index] if index < len(parts) else None
            number = 0 if part is None else batches.numbers[part.index]
            batch = (empty if part is None else part.of(batches)).to(self.model.device)
            with around(number, part.rows if part is not None and part.is_piece else None):
                found = self._pass(batch, batches.target_tokens, smoothing, part is not None)
            sums += [] if part is None else [found]
            if self._steps.failed and failed is None:
                failed = index
        return add(sums), failed

    def _pass(self, batch: Batch, tokens: int, smoothing: float, counts: bool) -> LossSums:
        """Forward and backward; the gradients of a batch that does not count are zero."""
        try:
            minimised, sums = self(batch, tokens, smoothing)
            minimised = minimised if counts else minimised * 0
            minimised.backward()
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise _no_room(error) from error
            raise
        return LossSums(*sums)

    @contextmanager
    def gathered(self, model: Transformer) -> Iterator[Transformer]:
        """The whole of a model whose weights are shared out as this one's are, as long as this lasts."""
        (made,) = self._whole
        try:
            for into, parameter in zip(made.parameters(), model.parameters(), strict=True):
                into.data = whole(parameter.detach())
            yield made.train(model.training)
        finally:
            _let_go(made)

    def copied(self, model: Transformer) -> Transformer:
        """A copy of the model for its weights alone, which are shared out as the model's are."""
        made = copy.deepcopy(self._whole[0])
        for name, parameter in model.named_parameters():
            place, _, last = name.rpartition(".")
            setattr(made.get_submodule(place), last, nn.Parameter(parameter.detach().clone()))
        return made

    def part(self, name: str, value: Tensor) -> Tensor:
        """What this process holds of a tensor that a checkpoint calls KIND/WEIGHT or KIND/WEIGHT/WHAT."""
        weight = self.model.get_parameter(name.split("/")[1])
        return shared_out(value, weight)


def _no_room(error: Exception) -> RunError:
    return RunError(
        f"the memory does not hold the weights of a layer that are gathered for it ({error})".splitlines()[0],
        expected="memory for the largest layer, the embeddings and a micro-batch",
        advice="Raise `accumulate`, take more processes, or a smaller model.",
    )


def is_shared_out(tensor: Tensor) -> bool:
    """True if this process holds only some of its rows."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """A tensor with the rows of all processes, which must all ask; an ordinary one as it is."""
    found: Tensor = tensor.full_tensor() if is_shared_out(tensor) else tensor  # type: ignore[attr-defined]
    return found


def here(tensor: Tensor) -> Tensor:
    """The rows of a tensor that this process holds, not copied; all of an ordinary one."""
    found: Tensor = tensor.to_local() if is_shared_out(tensor) else tensor  # type: ignore[attr-defined]
    return found


def shared_out(value: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor as `like` is: on its device, and of it the rows that this process holds.

    What is shared out already is given back as it is.
    """
    if is_shared_out(value):
        return value
    value = value.to(like.device, copy=True)
    return _rows_of(value, like) if is_shared_out(like) and value.shape == like.shape else value


def _rows_of(value: Tensor, like: Tensor) -> Tensor:
    """The rows that this process holds; each has the whole tensor, so that nothing has to travel."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)


def _without_weights(model: Transformer) -> Transformer:
    """A copy of the architecture whose weights take no memory yet."""
    made = copy.deepcopy(model)
    _let_go(made)
    return made


def _let_go(model: nn.Module) -> None:
    for parameter in model.parameters():
        parameter.data = parameter.data.new_empty(0)
