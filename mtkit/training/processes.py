"""Several processes that train one model: what they add up, agree on and tell each other.

`Processes` itself is the case of one process, so that nobody has to ask how many there are; `Group` is
several, on torch.distributed: gloo between CPUs, NCCL between GPUs. How they meet is `meeting.py`. Why
gradients are added up here and not by `DistributedDataParallel`: docs/decisions/0003-processes.md.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed import PrefixStore  # type: ignore[attr-defined]

from mtkit.batches.stream import WHOLE, Share
from mtkit.errors import RunError
from mtkit.log import RunContext
from mtkit.model.cores import default_threads
from mtkit.model.device import find_device
from mtkit.training.meeting import Meeting, lost, of_nccl
from mtkit.training.place import Place
from mtkit.training.reduction import Parameters, Reduction

Item = TypeVar("Item")
Result = TypeVar("Result")


class Processes:
    """One process by itself: sums are what they are, and rank 0 is always right.

    Attributes:
        share: which part of the work is this process's.
        local_count: how many there are on this machine.
    """

    share: Share = WHOLE
    local_count: int = 1

    @property
    def is_first(self) -> bool:
        """True for the process that leads: it alone talks and writes."""
        return self.share.rank == 0

    @property
    def is_alone(self) -> bool:
        """True if there are no others."""
        return self.share.count == 1

    def mine(self, items: Iterable[Item]) -> list[Item]:
        """This process's part of what all have in the same order."""
        return list(items)[self.share.rank :: self.share.count]

    def reduction(self, parameters: Parameters) -> Reduction | None:
        """What gives every process the sum of all processes' gradients in an update; None: it has it."""
        return None

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of all processes' tensors, the same bits everywhere."""
        return tensor

    def any(self, *wishes: bool) -> tuple[bool, ...]:
        """For each wish, whether any process has it: how all come to the same decision."""
        return wishes

    def told(self, ask: Callable[[], Result]) -> Result:
        """What rank 0 finds, which must be JSON; the others do not look."""
        return ask()

    def gather(self, value: Item) -> list[Item]:
        """The values of all processes, by rank; each must be JSON."""
        return [value]

    def in_order(self, found: list[Item]) -> list[Item]:
        """What all processes found for `mine`, in the order of all items; must be JSON."""
        parts = self.gather(found)
        return [parts[index % len(parts)][index // len(parts)] for index in range(sum(map(len, parts)))]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Copy rank 0's tensors over the others'."""

    def each_tensor(self, tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """Rank 0's tensors on the CPU, one by one, each taken out of its dictionary; others give none."""
        for name in list(tensors):
            yield name, tensors.pop(name)

    def after_first(self, work: Callable[[], Result]) -> Result:
        """Let rank 0 do something, and then the others; however long it takes."""
        return work()

    def wait_for_first(self) -> None:
        """Wait for rank 0 to come here, however long it takes."""


ONE_PROCESS = Processes()


class Group(Processes):
    """Several processes.

    Args:
        meeting: where they met.
        device: that this process computes on.
    """

    def __init__(self, meeting: Meeting, device: torch.device) -> None:
        self.meeting = meeting
        self.share = Share(meeting.place.rank, meeting.place.count)
        self.local_count = meeting.place.local_count
        self._seconds = meeting.place.answer_seconds
        self._on_gpu = device.type == "cuda"
        # tensors on a GPU travel by NCCL, those on the CPU by gloo
        backend = "cpu:gloo,cuda:nccl" if self._on_gpu else "gloo"
        if self._on_gpu:
            torch.cuda.set_device(device)
        with self._watched():
            dist.init_process_group(
                backend,
                store=PrefixStore("group", meeting.store),
                rank=self.share.rank,
                world_size=self.share.count,
                timeout=timedelta(seconds=self._seconds),
            )
        if self._on_gpu:  # NCCL ends the process when its time is up: gloo's comes first, with a message
            with suppress(AttributeError, RuntimeError):  # torch has no public way to say so
                nccl = dist.distributed_c10d._get_default_group()._get_backend(device)
                nccl._set_default_timeout(timedelta(seconds=2 * self._seconds))

    def close(self) -> None:
        """Leave the group, which tells the others at once if they wait for this process."""
        if not self._on_gpu:  # NCCL would wait for the others
            dist.destroy_process_group()

    def reduction(self, parameters: Parameters) -> Reduction:
        """As above."""
        return Reduction(parameters, self._watched)

    def sum(self, tensor: Tensor) -> Tensor:
        """As above."""
        total = tensor.clone()
        with self._watched():
            dist.all_reduce(total)
        return total

    def any(self, *wishes: bool) -> tuple[bool, ...]:
        """As above."""
        return tuple(count > 0 for count in self.sum(torch.tensor(wishes, dtype=torch.int32)).tolist())

    def told(self, ask: Callable[[], Result]) -> Result:
        """As above."""
        content = json.dumps(ask()).encode() if self.is_first else b""
        found: Result = json.loads(self._bytes_of_first(content))
        return found

    def gather(self, value: Item) -> list[Item]:
        """As above."""
        text = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        mine = torch.zeros(self.share.count, dtype=torch.int64)
        mine[self.share.rank] = len(text)
        sizes = self.sum(mine).tolist()
        padded = torch.zeros(max(sizes), dtype=torch.uint8)
        padded[: len(text)] = text
        found = [torch.empty_like(padded) for _ in sizes]
        with self._watched():
            dist.all_gather(found, padded)
        return [json.loads(_bytes(part[:size])) for part, size in zip(found, sizes, strict=True)]

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """As above."""
        with self._watched(), torch.no_grad():
            for tensor in tensors:
                dist.broadcast(tensor, src=0)

    def each_tensor(self, tensors: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
        """As above."""
        known = {str(kind): kind for kind in _KINDS}
        facts = self.told(
            lambda: {name: (str(tensor.dtype), list(tensor.shape)) for name, tensor in tensors.items()}
        )
        for name, (kind, shape) in facts.items():
            if self.is_first:
                moved = tensors.pop(name).cpu().contiguous()
            else:
                moved = torch.empty(shape, dtype=known[kind])
            self.broadcast([moved])
            yield name, moved

    def after_first(self, work: Callable[[], Result]) -> Result:
        """As above."""
        if self.is_first:
            done = work()
            self.meeting.mark()
            return done
        self.meeting.wait_for_mark()
        return work()

    def wait_for_first(self) -> None:
        """As above."""
        self.after_first(lambda: None)

    def _bytes_of_first(self, content: bytes) -> bytes:
        size = torch.tensor([len(content)])
        self.broadcast([size])
        moved = torch.empty(int(size), dtype=torch.uint8)
        if self.is_first:
            moved.copy_(torch.frombuffer(bytearray(content), dtype=torch.uint8))
        self.broadcast([moved])
        return _bytes(moved)

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """Errors of torch.distributed mean that another process is gone, or stands still."""
        try:
            yield
        except RuntimeError as error:
            if (own := of_nccl(error)) is not None:
                raise own from error
            late = "imed out" in str(error) or "imeout" in str(error)
            what = f"a process has not answered for {self._seconds:g} s" if late else "a process is gone"
            raise lost(what, error) from error


_KINDS = (torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.uint8)


def _bytes(tensor: Tensor) -> bytes:
    return bytes(tensor.numpy())


def group_of(meeting: Meeting, device: str) -> Group:
    """The processes that met, computing on a device of this name (`device_of`)."""
    return Group(meeting, find_device(device))


def processes_of(run: RunContext) -> Processes:
    """Those that a stage is run with."""
    return run.processes if isinstance(run.processes, Processes) else ONE_PROCESS


def each_of(place: Place, run: RunContext) -> RunContext:
    """What one of the processes of a place computes on.

    Raises:
        RunError: this machine has not what each of them needs.
    """
    return replace(run, device=device_of(run.device, place), threads=threads_of(run.threads, place))


def device_of(name: str, place: Place) -> str:
    """The device that a name means for one of several processes: every process has a GPU of its own.

    Raises:
        RunError: there are more processes than GPUs on this machine, or one GPU is named for all.
    """
    gpus = torch.cuda.device_count()
    if place.count == 1 or name == "cpu" or (name == "auto" and not gpus):
        return name
    if name not in ("auto", "cuda"):
        raise RunError(
            f"device {name!r} for {place.count} processes",
            expected="cpu, cuda or auto: with `cuda` each process takes the GPU of its own number",
            advice="Use `--device cuda`, and CUDA_VISIBLE_DEVICES to say which GPUs.",
        )
    if place.has_own_gpus and 0 < gpus < place.local_count:
        return "cuda:0"
    if place.local_count > gpus:
        raise RunError(
            f"{place.local_count} processes on this machine, which shows {gpus} GPUs to torch",
            where=f"rank {place.rank}",
            expected="at most one process for each GPU",
            advice=f"Use `--processes {gpus}`, or `--device cpu`." if gpus else "Use `--device cpu`.",
        )
    return f"cuda:{place.local_rank}"


def threads_of(threads: int | None, place: Place) -> int | None:
    """CPU threads of one of several processes: the machine's are shared out, unless their number is given."""
    if threads or place.count == 1:
        return threads
    return max(1, default_threads() // place.local_count)
