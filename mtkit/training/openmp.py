"""One setting of the OpenMP library that must be made before torch is imported. Imports nothing heavy."""

import os

# Threads that wait for work sleep instead of spinning. With one of two cores taken by another program, a
# default run on two threads falls from 3,000 to about 650 tokens a second, because threads spin on the core
# that the others need; sleeping keeps it at 1,800 to 1,950.
PASSIVE = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "0"}


def quiet_openmp() -> None:
    """Let idle OpenMP threads sleep unless the environment says otherwise; call before torch loads."""
    for name, value in PASSIVE.items():
        os.environ.setdefault(name, value)
