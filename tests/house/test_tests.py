"""What every test keeps to, so that its outcome is the same on a slow machine, a busy one, in any order."""

import re
from pathlib import Path

TESTS = {path: path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parents[1].rglob("*.py"))}
CLOCK = r"\btime\.(monotonic|perf_counter|process_time|thread_time)\(\)"
BUSY = {"test_workers.py"}  # makes work for a clock of mtkit's, and measures nothing


def test_no_test_measures_time() -> None:
    assert {path.name for path, text in TESTS.items() if re.search(CLOCK, text)} == BUSY


def test_commands_are_called_as_users_call_them() -> None:
    """click keeps what it has once worked out of a command, `-h` for one, and the group decides that."""
    called = {
        name: path
        for path, text in TESTS.items()
        for name in re.findall(r"Runner\(\)\s*\.invoke\(\s*([\w.]+)", text)
    }
    assert called.keys() == {"mtkit"}, called
