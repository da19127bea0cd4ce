"""One setting of the OpenMP library that must be made before torch is imported. Imports nothing heavy."""

import os

# Threads that wait for work sleep instead of spinning: where other programs take cores, spinning threads keep
# the core that the others need. On a busy two-core machine (its load not controlled) training on two threads
# ran at medians of 410 and 960 source and target tokens a second spinning, 1,700 to 3,800 asleep. With both
# cores free, spinning looked about a quarter faster, one pair of runs; whoever owns all cores may try
# OMP_WAIT_POLICY=ACTIVE.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def quiet_openmp() -> None:
    """Let idle OpenMP threads sleep unless the environment says otherwise; call before torch loads."""
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)
