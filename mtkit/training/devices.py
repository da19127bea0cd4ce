"""How training runs on its device: the number of CPU threads, and what makes a run repeat itself."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from mtkit.log import RunContext
from mtkit.model.cores import default_threads
from mtkit.model.device import find_device
from mtkit.model.workers import Workers


@contextmanager
def prepared(run: RunContext) -> Iterator[torch.device]:
    """The device of a run, with torch set to repeat itself; torch's settings are restored afterwards.

    - Deterministic algorithms only: two runs with one seed give the same bits on one machine with the same
      number of threads.
    - Numbers below 1e-38 count as zero: the averages that Adam keeps of rare pieces fade into them, and CPUs
      calculate with them up to a hundred times slower.

    Raises:
        RunError: there is no such device here.
    """
    device = find_device(run.device)
    threads, repeating = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.set_num_threads(run.threads or default_threads())
    torch.set_flush_denormal(True)
    _repeat_itself(device)
    memory.fill_uninitialized_memory = False  # a guard against bugs that costs time
    try:
        yield device
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
        torch.set_deterministic_debug_mode(repeating)
        memory.fill_uninitialized_memory = fill


def _repeat_itself(device: torch.device) -> None:
    """Let torch use deterministic algorithms only.

    `use_deterministic_algorithms` tells the compiler too, and loads it: 1.5 s that a CPU, where nothing is
    compiled, need not wait.
    """
    if device.type == "cpu":
        torch.set_deterministic_debug_mode("error")
    else:
        torch.use_deterministic_algorithms(True)


@contextmanager
def for_many_batches(workers: Workers, threads: int) -> Iterator[Workers]:
    """Workers for work that has many batches, as a validation has: one for each thread.

    Args:
        workers: of the updates; they may be fewer, where an update has few micro-batches.
        threads: that may compute.
    """
    if workers.count >= threads:
        yield workers
        return
    with side_by_side(threads) as more:
        yield more


@contextmanager
def side_by_side(count: int, torch_threads: int = 1) -> Iterator[Workers]:
    """So many workers with so many threads of torch each; torch's own are restored afterwards.

    One worker is the calling thread, and gets them too; otherwise that has one.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(torch_threads if count == 1 else 1)
    try:
        with Workers(count, torch_threads) as workers:
            yield workers
    finally:
        torch.set_num_threads(threads)
