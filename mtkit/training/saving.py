"""Saving beside the updates: tensors are copied at a boundary, then a thread writes them.

What a checkpoint is made of is `checkpoint.py`'s business; when one is due is the loop's.
"""

import copy
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from mtkit.errors import MtkitError
from mtkit.training.checkpoint import Checkpoints
from mtkit.training.shortage import enough_for_copies
from mtkit.training.state import TrainState
from mtkit.training.tensor_file import Tensors

Named = Iterable[tuple[str, Tensor]]  # of tensors that may be made one at a time


@dataclass(frozen=True)
class Saved:
    """A checkpoint that is whole on disk.

    Attributes:
        why: it was written.
    """

    update: int
    path: Path
    why: str


class Saver:
    """Writes the checkpoints of a training in a thread of its own.

    The one before stays until the new one is whole on disk. Between `save` and `wait` nobody else may use
    the checkpoints.

    Args:
        checkpoints: where they go.
        tell: is told of each checkpoint once it is whole on disk, in the thread that saves.
    """

    def __init__(self, checkpoints: Checkpoints, tell: Callable[[Saved], None]) -> None:
        self._checkpoints, self._tell = checkpoints, tell
        self._pool = ThreadPoolExecutor(1, "mtkit-checkpoint")
        self._writing: Future[Saved] | None = None
        self.last: Path | None = None  # the newest that is whole on disk, as far as `look` has seen

    def save(self, state: TrainState, tensors: Named, why: str, *, keep: int, weights: str | None) -> None:
        """Copy everything and begin to write it; waits for the write before, if it is still under way.

        Args:
            tensors: all that the state is about, by name; may change as soon as this returns.
            why: it is written, for the events.
            keep: how many checkpoints stay, this one included.
            weights: prefix of the tensors that a validation here measured and that are to be kept.

        Raises:
            MtkitError: the write before failed, or the memory does not hold the copies.
        """
        self.wait()
        with enough_for_copies(self._checkpoints.folder, self.last):
            copies, ready = _copied(tensors)
        self._writing = self._pool.submit(
            self._write, copy.deepcopy(state), copies, ready, why, keep, weights
        )

    def look(self) -> None:
        """See whether the write under way has ended; does not wait.

        Raises:
            MtkitError: it failed.
        """
        if self._writing is not None and self._writing.done():
            self.wait()

    def wait(self) -> None:
        """Wait until what is being written is whole on disk.

        Raises:
            MtkitError: it failed; the last good checkpoint is named.
        """
        if self._writing is None:
            return
        try:
            saved = self._writing.result()
        except MtkitError as error:
            self._writing = None
            good = f"The last good checkpoint is {self.last}." if self.last else "There is no checkpoint yet."
            error.advice = f"{error.advice} {good}"
            raise
        self._writing = None
        self.last = saved.path
        self._tell(saved)

    def close(self) -> None:
        """End the thread when it has written what it is at; another error is on its way, or none."""
        with suppress(MtkitError):
            self.wait()
        self._pool.shutdown()

    def _write(
        self,
        state: TrainState,
        tensors: Tensors,
        ready: Callable[[], None],
        why: str,
        keep: int,
        weights: str | None,
    ) -> Saved:
        """What the thread does; old checkpoints go only now that the new one is there."""
        ready()
        validated = None if weights is None else under(tensors, weights)
        path = self._checkpoints.save(state, tensors, validated)
        self._checkpoints.prune(keep)
        return Saved(state.update, path, why)


def under(tensors: Tensors, prefix: str) -> Tensors:
    """The tensors whose names begin with a prefix, without it."""
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _copied(tensors: Named) -> tuple[Tensors, Callable[[], None]]:
    """Copies in the CPU's memory, and what waits until they are made.

    From a GPU they are made in the order of its work, so that the next update may be queued at once.
    """
    copies: Tensors = {}
    devices = set()
    for name, tensor in tensors:
        value = tensor.detach()
        if value.device.type == "cuda":
            devices.add(value.device)
            page_locked = torch.empty(value.shape, dtype=value.dtype, pin_memory=True)
            copies[name] = page_locked.copy_(value, non_blocking=True)
        else:
            copies[name] = value.to("cpu", copy=True)
    made = [torch.cuda.current_stream(device).record_event() for device in devices]

    def ready() -> None:
        for event in made:
            event.synchronize()

    return copies, ready
