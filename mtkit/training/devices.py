"""Where training runs: the device, the number of CPU threads, and what makes a run repeat itself."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from mtkit.errors import RunError
from mtkit.log import RunContext


def choose_device(name: str) -> torch.device:
    """The device that a name means; `auto` is the first GPU, or the CPU.

    Raises:
        RunError: there is no such device here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise _no_device(name, "not the name of a device") from error
    if device.type not in ("cpu", "cuda"):
        raise _no_device(name, "training knows no such kind of device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise _no_device(name, f"this machine shows {torch.cuda.device_count()} GPUs to torch")
    return device


def _no_device(name: str, found: str) -> RunError:
    return RunError(
        f"device {name!r}: {found}",
        expected="auto, cpu, cuda or cuda:N",
        advice="Use `--device cpu`, or install a torch that knows the GPU.",
    )


def available_cores() -> int:
    """CPU cores that this process may use, which in a container can be fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def prepared(run: RunContext) -> Iterator[torch.device]:
    """The device of a run, with torch set to repeat itself; torch's settings are restored afterwards.

    - Deterministic algorithms only: two runs with one seed give the same bits on one machine with the same
      number of threads.
    - Numbers below 1e-38 count as zero: the averages that Adam keeps of rare pieces fade into them, and CPUs
      calculate with them up to a hundred times slower.
    """
    device = choose_device(run.device)
    if device.type == "cuda":
        # cuBLAS repeats itself only with this, read when the first product is computed.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    threads, repeating = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    memory: Any = torch.utils.deterministic
    fill = memory.fill_uninitialized_memory
    torch.set_num_threads(run.threads or _default_threads())
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


def _default_threads() -> int:
    """All available cores, or fewer if the environment says so."""
    wish = os.environ.get("OMP_NUM_THREADS", "")
    return int(wish) if wish.isdigit() and int(wish) else available_cores()
