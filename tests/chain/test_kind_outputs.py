"""What each kind writes, held against what was stored when its version was last raised.

Numbers of a training differ between machines: of train, translate and score the layout is held, of corpus and
subword every byte.
"""

import json
from pathlib import Path
from typing import Any

import pytest

from mtkit.files import canonical_hash, read_json, sha256
from mtkit.pipeline.kinds import KINDS

GOLDEN = Path(__file__).parents[1] / "golden" / "kinds.json"
EXACT = ("corpus", "subword")
LOGS = ("stage.json", "log.txt", "events.jsonl")


def layout(value: Any) -> Any:
    """The names in a JSON value, without its values."""
    if isinstance(value, dict):
        return {key: layout(item) for key, item in value.items()}
    return [layout(value[0])] if isinstance(value, list) and value else type(value).__name__


def written(kind: str, folder: Path) -> dict[str, str]:
    """File → hash of its bytes, or of the layout of a JSON file, or nothing but that it is there."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in LOGS):
        name = path.relative_to(folder).as_posix()
        if kind in EXACT:
            found[name] = sha256(path)
        elif not name.startswith("checkpoints/"):
            found[name] = canonical_hash(layout(read_json(path))) if path.suffix == ".json" else ""
    return found


@pytest.mark.parametrize("kind", list(KINDS))
def test_whoever_changes_what_a_kind_writes_raises_its_version(kind: str, finished: Path) -> None:
    now = {"version": KINDS[kind].version, "files": written(kind, finished / "runs/tiny" / kind)}
    stored = json.loads(GOLDEN.read_text("utf-8"))[kind]
    assert now["files"] == stored["files"] or now["version"] > stored["version"], (
        f"a {kind} stage writes something else than in version {stored['version']}: raise the version in "
        "mtkit/pipeline/kinds.py"
    )
    assert now == stored, (
        f"now store what version {now['version']} writes in {GOLDEN.name}: {json.dumps(now)}"
    )
