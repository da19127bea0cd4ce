"""One setting of the OpenMP library that must be made before torch is imported. Imports nothing heavy."""

import os

# Threads that wait for work sleep instead of spinning. Where another program takes one of two cores, spinning
# threads keep the core that the others need: training on two threads fell to 410 source and target tokens a
# second and kept 1,800 asleep (medians, 3+3 layers of width 256). On a quiet machine sleeping costs about a
# quarter (5,300 against 7,300): whoever owns all cores may set OMP_WAIT_POLICY=ACTIVE GOMP_SPINCOUNT=100000.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def quiet_openmp() -> None:
    """Let idle OpenMP threads sleep unless the environment says otherwise; call before torch loads."""
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)
