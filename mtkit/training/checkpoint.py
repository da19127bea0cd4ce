"""Checkpoints: all that is needed to resume, written whole or not at all, and checked when read.

    checkpoints/00000250/checkpoint.json     state, identity, SHA-256 of the tensors and of itself
    checkpoints/00000250/state.safetensors   weights, optimiser, exponential average
    checkpoints/weights-00000250.safetensors weights of a validation, kept if among the best or last

Nothing is a pickle. What the tensors mean is the loop's business.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save
from torch import Tensor

from mtkit.errors import DataError, ModelError, MtkitError
from mtkit.files import atomic, canonical_hash, read_json, sync, user_errors, write_json
from mtkit.files import sha256 as file_sha256
from mtkit.training.state import TrainState

FORMAT = 1
STATE, TENSORS = "checkpoint.json", "state.safetensors"
LEAST_KEPT = 2  # while training: should the newest be damaged, the one before it is there

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint as it was read: intact, and of the same training."""

    path: Path
    state: TrainState
    tensors: Tensors


class Checkpoints:
    """The checkpoints of one training.

    Args:
        folder: where they are.
        identity: what must be equal for a checkpoint to belong to this training: settings, seed, sizes, data.
        say: tells of damaged checkpoints.
    """

    def __init__(self, folder: Path, identity: dict[str, Any], say: Callable[[str], None]) -> None:
        self.folder = folder
        self._identity = json.loads(json.dumps(identity))
        self._say = say
        self._referenced: dict[Path, set[int]] = {}  # snapshots that a checkpoint would need to resume

    def save(self, state: TrainState, tensors: Tensors) -> Path:
        """Write a checkpoint; pure, so how often it happens changes nothing.

        Raises:
            RunError: the disk is full or may not be written; nothing half-written stays.
        """
        older = [path for path in self._paths() if _number(path)[0] == state.update]
        again = f"-{_number(older[-1])[1] + 1}" if older else ""
        path = self.folder / f"{state.update:08d}{again}"
        fresh = self.folder / f".{path.name}.new"
        with user_errors(fresh):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
        try:
            digest = _write_tensors(fresh / TENSORS, tensors)
            record = {
                "format": FORMAT,
                "identity": self._identity,
                "state": state.to_json(),
                "files": {TENSORS: digest},
            }
            record = json.loads(json.dumps(record))
            write_json(fresh / STATE, {**record, "checksum": canonical_hash(record)})
            with user_errors(path):
                fresh.rename(path)
                sync(self.folder)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
        self._referenced[path] = set(state.snapshots)
        self._delete(older)
        return path

    def newest(self) -> Checkpoint | None:
        """The newest intact checkpoint, or None; damaged ones are told of and passed over.

        Raises:
            ModelError: a checkpoint is intact and belongs to another training.
        """
        for leftover in self.folder.glob(".*.new"):
            # What a killed process was writing.
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        found = None
        for path in reversed(self._paths()):
            try:
                record = _read_record(path)
                self._referenced[path] = {int(update) for update in record["state"]["snapshots"]}
                if found is None:
                    found = self._open(path, record)
            except _DamagedError as damage:
                self._say(f"{path}: {damage.found}; it is passed over")
        return found

    def prune(self, keep: int) -> None:
        """Delete all but the newest checkpoints, and the snapshots that none of those needs."""
        self._delete(self._paths()[:-keep])
        needed = set().union(*self._referenced.values())
        for path in self.folder.glob("weights-*.safetensors"):
            if int(path.stem.removeprefix("weights-")) not in needed:
                path.unlink()

    def save_snapshot(self, update: int, weights: Tensors) -> str:
        """Keep the weights of a validation; returns their SHA-256."""
        return _write_tensors(self._snapshot(update), weights)

    def load_snapshot(self, update: int, digest: str) -> Tensors:
        """The weights of a validation.

        Raises:
            ModelError: they are missing or not those that were saved.
        """
        return _read_tensors(self._snapshot(update), digest)

    def _snapshot(self, update: int) -> Path:
        return self.folder / f"weights-{update:08d}.safetensors"

    def _paths(self) -> list[Path]:
        """Checkpoint folders, oldest first."""
        if not self.folder.is_dir():
            return []
        found = (path for path in self.folder.iterdir() if re.fullmatch(r"\d{8,}(-\d+)?", path.name))
        return sorted(found, key=_number)

    def _delete(self, paths: list[Path]) -> None:
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
            self._referenced.pop(path, None)

    def _open(self, path: Path, record: dict[str, Any]) -> Checkpoint:
        if record["identity"] != self._identity:
            raise _other(path, record["identity"], self._identity)
        tensors = _read_tensors(path / TENSORS, record["files"][TENSORS])
        return Checkpoint(path, TrainState.from_json(record["state"]), tensors)


def _number(path: Path) -> tuple[int, int]:
    """The update of a checkpoint folder, and how often that update had been saved before."""
    update, _, again = path.name.partition("-")
    return int(update), int(again or 0)


class _DamagedError(ModelError):
    """A file is not the one that was written."""


def _damaged(path: Path, found: str) -> _DamagedError:
    return _DamagedError(
        f"{path.name} {found}",
        where=str(path),
        expected="the file as it was written",
        advice="Delete it and run the same command again.",
    )


def _read_record(path: Path) -> dict[str, Any]:
    """`checkpoint.json`, intact and of a known format."""
    try:
        record = read_json(path / STATE, error=ModelError)
    except (ModelError, DataError) as error:
        raise _damaged(path / STATE, f"cannot be read ({error.found})") from error
    if not isinstance(record, dict) or record.pop("checksum", None) != canonical_hash(record):
        raise _damaged(path / STATE, "does not match its checksum")
    if record["format"] != FORMAT:
        raise ModelError(
            f"a checkpoint of format {record['format']}",
            where=str(path),
            expected=f"format {FORMAT}",
            advice="Go on with the version of mtkit that wrote it, or delete the folder and train again.",
        )
    return record


def _write_tensors(path: Path, tensors: Tensors) -> str:
    """Write tensors in one move; returns the SHA-256 of the file."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    content = save(plain)
    with atomic(path) as stream:
        stream.write(content)
    return sha256(content).hexdigest()


def _read_tensors(path: Path, digest: str) -> Tensors:
    if not path.is_file():
        raise _damaged(path, "is missing")
    try:
        if file_sha256(path) != digest:
            raise _damaged(path, f"({path.stat().st_size:,} bytes) does not match its checksum")
        return load_file(path)
    except SafetensorError as error:
        raise _damaged(path, f"cannot be read ({error})") from error


def _other(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> MtkitError:
    name, old, new = _first_difference(found, expected)
    return ModelError(
        f"this checkpoint belongs to another training: {name} was {old} and is {new}",
        where=str(path),
        expected=f"a checkpoint of the same settings, seed and data ({name}: {new})",
        advice="Train into another folder, or delete the checkpoints to begin anew.",
    )


def _first_difference(old: Any, new: Any, name: str = "") -> tuple[str, str, str]:
    """The dotted name of the first value that differs, and both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                return _first_difference(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    return name, json.dumps(old), json.dumps(new)
