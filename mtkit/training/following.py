"""What differs in a process that is not rank 0: it writes nothing, and resumes from what rank 0 has read."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from torch import Tensor

from mtkit.errors import RunError
from mtkit.training.checkpoint import Checkpoint, Checkpoints
from mtkit.training.processes import Processes
from mtkit.training.saving import Named, Saved, Saver
from mtkit.training.state import TrainState

Found = TypeVar("Found", Checkpoint, Checkpoint | None)
Part = Callable[[str, Tensor], Tensor]


class NoSaver(Saver):
    """Leaves the writing of checkpoints to rank 0."""

    def save(self, state: TrainState, tensors: Named, why: str, *, keep: int, weights: str | None) -> None:
        """Nothing but the making of the tensors: where weights are shared out, it takes all processes."""
        for _ in tensors:
            pass

    def wait(self) -> None:
        """Nothing to wait for."""


def check_order(state: TrainState, processes: Processes) -> None:
    """See that all processes are training on the same pairs.

    Raises:
        RunError: they are not.
    """
    orders = processes.gather(state.order)
    others = [rank for rank, order in enumerate(orders) if order != orders[0]]
    if others:
        raise RunError(
            f"rank {', '.join(map(str, others))} trained on other pairs than rank 0, or on other pieces",
            where=f"update {state.update}",
            expected="the same updates in all processes, of which each computes its share",
            advice="See that all machines have the same software and see the same files.",
        )


def saver_of(checkpoints: Checkpoints, tell: Callable[[Saved], None], processes: Processes) -> Saver:
    """What saves the checkpoints: in every process but rank 0, nothing does."""
    return (Saver if processes.is_first else NoSaver)(checkpoints, tell)


def _all(_name: str, value: Tensor) -> Tensor:
    return value


def read_by_first(find: Callable[[], Found], processes: Processes, part: Part = _all) -> Found:
    """The checkpoint that rank 0 finds, in every process.

    Args:
        find: looks for it.
        processes: that train together.
        part: what this process keeps of a tensor, by its name; tensors come one at a time.

    Raises:
        ModelError: as `find`, in rank 0.
    """
    if processes.is_alone:
        return find()
    found: Checkpoint | None = find() if processes.is_first else None

    def facts() -> dict[str, Any] | None:
        return {"path": str(found.path), "state": found.state.to_json()} if found else None

    told = processes.told(facts)
    if told is None:
        return None  # type: ignore[return-value]  # as `find` in rank 0
    named = processes.each_tensor(found.tensors if found else {})
    tensors = {name: part(name, value) for name, value in named}
    if found is not None:
        return replace(found, tensors=tensors)
    return Checkpoint(Path(told["path"]), TrainState.from_json(told["state"]), tensors)
