"""Which processor this is, and how many of its cores this process may use. Light: no torch."""

import math
import os
import platform
from pathlib import Path

CONTROL_GROUPS = Path("/sys/fs/cgroup")  # of Linux; a container sees its own here
CPU_NUMBERS = (("family", "cpu family"), ("model", "model"))  # as Linux has them of x86 processors


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


def cpu_name() -> str:
    """What the processor calls itself, with the numbers that tell its kinds apart.

    Virtual machines call processors of several generations by one name.
    """
    facts = _facts()
    if "model name" not in facts:
        return platform.processor() or platform.machine()
    numbers = [f"{what} {facts[name]}" for what, name in CPU_NUMBERS if name in facts]
    return facts["model name"] + (f" ({', '.join(numbers)})" if numbers else "")


def cpu_vendor() -> str:
    """Who made the processor, as it says itself, `GenuineIntel` for one, or as the system says."""
    return _facts().get("vendor_id") or platform.processor()


def _facts(source: Path = Path("/proc/cpuinfo")) -> dict[str, str]:
    """What Linux knows about the first processor; nothing elsewhere."""
    try:
        lines = source.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return {}
    facts: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines):
        facts.setdefault(name.strip(), value.strip())
    return facts


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
