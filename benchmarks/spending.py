"""Runs a program and says what it took. Of the standard library alone, and small: the system counts as a
program's memory what its parent had when it was begun.

spending.py REPORT PROGRAM ARGUMENT…
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path


def main(report: str, *command: str) -> int:
    """Write CPU-seconds, seconds and the peak of resident memory into REPORT; the program's exit code."""
    started = time.monotonic()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    found = {
        "cpu_seconds": usage.ru_utime + usage.ru_stime,
        "seconds": time.monotonic() - started,
        "peak_megabytes": usage.ru_maxrss / 1024,
    }
    Path(report).write_text(json.dumps(found), "utf-8")
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
