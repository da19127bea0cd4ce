"""How training runs on its device: the number of CPU threads, and what makes a run repeat itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from mtkit.log import RunContext
from mtkit.model.device import default_threads, find_device
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
    if device.type == "cuda":
        # cuBLAS repeats itself only with this, read when the first product is computed.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, repeating = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.set_num_threads(run.threads or default_threads())
    torch.set_flush_denormal(True)
    torch.use_deterministic_algorithms(True)
    memory.fill_uninitialized_memory = False  # a guard against bugs that costs time
    try:
        yield device
    finally:
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)
        torch.use_deterministic_algorithms(repeating)
        memory.fill_uninitialized_memory = fill


@contextmanager
def side_by_side(micro_batches: int, device: torch.device) -> Iterator[Workers]:
    """Workers for the micro-batches of an update, sharing out torch's threads; restored afterwards.

    On a CPU as many as there are threads and micro-batches; on another device one.
    """
    threads = torch.get_num_threads()
    count = min(threads, micro_batches) if device.type == "cpu" else 1
    if count > 1:
        torch.set_num_threads(1)
    try:
        with Workers(count) as workers:
            yield workers
    finally:
        torch.set_num_threads(threads)
