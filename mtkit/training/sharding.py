"""Weights, gradients and the optimiser's memory shared out among processes (`shard: true`): torch's FSDP2.

Everywhere else a weight is a whole tensor; here it is a DTensor, of which each process holds some rows. Its
module takes most of a second to import, so it is imported where it is needed, and known by what it can do.
"""

import copy
from collections.abc import Callable
from contextlib import AbstractContextManager

import torch
from torch import Tensor, nn

from mtkit.batches.batch import Batch, Update, make_batch
from mtkit.model.transformer import Transformer
from mtkit.subword.vocabulary import UNK
from mtkit.training.loss import LossSums, add, no_sums, objective
from mtkit.training.processes import Processes
from mtkit.training.tensor_file import Tensors

Around = Callable[[int], AbstractContextManager[object]]


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
        self._whole = [copy.deepcopy(model)]  # in a list: it is no part of this module
        self.model = model
        mesh = init_device_mesh(model.device.type, (processes.share.count,))
        for layer in (*model.encoder.layers, *model.decoder.layers):
            fully_shard(layer, mesh=mesh)
        fully_shard(self, mesh=mesh)
        for module in self.modules():
            if isinstance(module, FSDPModule):  # sums, as everywhere in training, not means
                module.set_gradient_divide_factor(1.0)
                module.set_force_sum_reduction_for_comms(True)

    def forward(self, batch: Batch, update_tokens: int, smoothing: float) -> tuple[Tensor, LossSums]:
        """What is minimised, and the batch's sums."""
        return objective(self.model, batch, update_tokens, smoothing)

    def gradients(self, batches: Update, smoothing: float, around: Around) -> LossSums:
        """Compute the gradients of an update; all processes pass equally often, some with nothing to add.

        Args:
            batches: this process's micro-batches.
            smoothing: of labels.
            around: what a micro-batch is computed in, by its number: its precision and its randomness.

        Returns:
            The sums over this process's micro-batches.
        """
        sums = [no_sums(self.model.device)]
        empty = make_batch([[UNK]], [[UNK]], [0])
        for index in range(max(self._processes.gather(len(batches)))):
            is_there = index < len(batches)
            with around(batches.numbers[index] if is_there else 0):
                batch = (batches[index] if is_there else empty).to(self.model.device)
                minimised, found = self(batch, batches.target_tokens, smoothing)
            (minimised if is_there else minimised * 0).backward()
            sums += [found] if is_there else []
        return add(sums)

    @property
    def plain(self) -> Transformer:
        """A model of the same architecture, with the weights of the last time they were gathered."""
        return self._whole[0]

    def gathered(self) -> Transformer:
        """The whole model as it is now, for those who translate with it."""
        model = self.plain
        with torch.no_grad():
            for into, parameter in zip(model.parameters(), self.model.parameters(), strict=True):
                into.copy_(whole(parameter))
        return model.train(self.model.training)


def is_shared_out(tensor: Tensor) -> bool:
    """True if this process holds only some of its rows."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """A tensor with the rows of all processes, which must all ask; an ordinary one as it is."""
    found: Tensor = tensor.full_tensor() if is_shared_out(tensor) else tensor  # type: ignore[attr-defined]
    return found


def all_whole(tensors: Tensors, processes: Processes) -> Tensors:
    """Whole tensors for a checkpoint: gathered one by one, and kept, on the CPU, by rank 0 alone."""
    found: Tensors = {}
    for name, tensor in tensors.items():
        gathered = whole(tensor.detach())
        if processes.is_first:
            found[name] = gathered.cpu() if is_shared_out(tensor) else gathered
    return found


def shared_out(value: Tensor, like: Tensor) -> Tensor:
    """A copy of a whole tensor as `like` is: on its device, and of it the rows that this process holds."""
    value = value.to(like.device, copy=True)
    return _rows_of(value, like) if is_shared_out(like) and value.shape == like.shape else value


def _rows_of(value: Tensor, like: Tensor) -> Tensor:
    """The rows that this process holds; each has the whole tensor, so that nothing has to travel."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    assert isinstance(like, DTensor)
    return distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
