"""What was found out about this machine, kept in the user's cache folder for the next run. Never needed: what
cannot be read or written is found out again.
"""

from pathlib import Path
from typing import Any

from mtkit.corpus.cache import cache_folder
from mtkit.errors import MtkitError
from mtkit.files import canonical_hash, read_json, write_json


def recall(kind: str, key: dict[str, Any]) -> dict[str, Any] | None:
    """What was found out for an equal key, or None.

    Args:
        kind: what it is about; a folder of its own.
        key: everything that the finding depends on, as JSON-like values.
    """
    path = _place(kind, key)
    try:
        record = read_json(path) if path.is_file() else None
    except MtkitError:
        return None
    if not isinstance(record, dict) or record.get("key") != key:
        return None
    found = record.get("found")
    return found if isinstance(found, dict) else None


def remember(kind: str, key: dict[str, Any], found: dict[str, Any]) -> None:
    """Keep a finding; a cache that cannot be written costs the next run a few seconds and nothing else."""
    try:
        write_json(_place(kind, key), {"key": key, "found": found})
    except MtkitError:
        return


def _place(kind: str, key: dict[str, Any]) -> Path:
    return cache_folder() / "machine" / kind / f"{canonical_hash(key)[:32]}.json"
