"""Which device a name means. Where and how training computes there is `training/devices.py`'s business."""

import math
import os
from pathlib import Path

import torch

from mtkit.errors import RunError

CONTROL_GROUPS = Path("/sys/fs/cgroup")  # of Linux; a container sees its own here


def find_device(name: str) -> torch.device:
    """The device that a name means; `auto` is the first GPU, or the CPU where there is none.

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
        raise _no_device(name, "mtkit computes on no such kind of device")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise _no_device(name, f"this machine shows {torch.cuda.device_count()} GPUs to torch")
    return device


def _no_device(name: str, found: str) -> RunError:
    return RunError(
        f"device {name!r}: {found}",
        expected="auto, cpu, cuda or cuda:N",
        advice="Use `--device cpu`, or install a torch that knows the GPU.",
    )


def default_threads() -> int:
    """All available cores, or fewer if the environment says so."""
    wish = os.environ.get("OMP_NUM_THREADS", "")
    return int(wish) if wish.isdigit() and int(wish) else available_cores()


def available_cores(groups: Path = CONTROL_GROUPS) -> int:
    """CPU cores that this process may use, which in a container can be fewer than the machine has.

    Args:
        groups: where the system shows the shares of processor time that containers get.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota(groups))))


def _quota(groups: Path) -> float:
    """Cores' worth of processor time that the control group of this process gets."""
    try:
        if (groups / "cpu.max").is_file():
            quota, period = (groups / "cpu.max").read_text(encoding="utf-8").split()
        else:  # the first version of control groups
            quota, period = ((groups / "cpu" / f"cpu.cfs_{name}_us").read_text(encoding="utf-8").strip()
                             for name in ("quota", "period"))  # fmt: skip
        return math.inf if quota in ("max", "-1") else int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf
