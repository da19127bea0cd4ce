"""The machine a comparison runs on: which cores, what it is, which versions."""

import os
import platform
from collections.abc import Mapping
from typing import Any

from mtkit import __version__
from mtkit.errors import RunError
from mtkit.model.cores import available_cores, cpu_name


def take_cores(count: int) -> list[int]:
    """Keep this process and all that it starts on some of the cores it has; returns their numbers.

    Raises:
        RunError: there are fewer.
    """
    if count > available_cores():
        raise RunError(
            f"{count} cores asked for, {available_cores()} available",
            where="--cores",
            expected=f"at most {available_cores()}",
            advice="Give a smaller number.",
        )
    if not hasattr(os, "sched_setaffinity"):
        return list(range(count))
    cores = sorted(os.sched_getaffinity(0))[:count]
    os.sched_setaffinity(0, cores)
    return cores


def facts(peers: Mapping[str, str]) -> dict[str, Any]:
    """What a reader of the figures wants to know of the machine and of the systems' versions."""
    return {
        "machine": {
            "processor": cpu_name(),
            "cores": os.cpu_count(),
            "system": f"{platform.system()} {platform.machine()}",
            "load_at_start": round(os.getloadavg()[0], 2),
        },
        "versions": {"mtkit": __version__, "python": platform.python_version(), **peers},
    }
