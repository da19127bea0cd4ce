"""Notes of every update in a file, that no kill can cut. Light: no torch. What is noted: `stretch.py`."""

import json
from pathlib import Path
from typing import Any

from mtkit.files import user_errors


def add_note(path: Path, note: dict[str, Any]) -> None:
    """Add a line to a trace, in one write of the operating system."""
    with user_errors(path), path.open("ab", buffering=0) as stream:
        stream.write(json.dumps(note).encode() + b"\n")


def read_trace(path: Path) -> list[dict[str, Any]]:
    """The notes, in the order in which they were made; none if there is no file."""
    if not path.exists():
        return []
    with user_errors(path):
        return [json.loads(line) for line in path.read_bytes().splitlines()]
