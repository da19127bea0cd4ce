"""Checkpoints: all that is needed to resume, written whole or not at all, and checked when read.

    checkpoints/00000250/checkpoint.json     state, identity, SHA-256 of all tensors and of itself
    checkpoints/00000250/state.safetensors   weights, optimiser, exponential average
    checkpoints/weights-00000250.safetensors weights of a validation, kept if among the best or last

Nothing is a pickle. What the tensors mean is the loop's business.
"""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtkit.errors import DataError, ModelError, MtkitError, RunError
from mtkit.files import canonical_hash, read_json, read_text, sync, user_errors, write_text
from mtkit.training.state import TrainState
from mtkit.training.tensor_file import DamagedError, Tensors, damaged, read_tensors, write_tensors

FORMAT = 2
STATE, TENSORS = "checkpoint.json", "state.safetensors"
LEAST_KEPT = 2  # while training: should the newest be damaged, the one before it is there


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
        self._states: dict[Path, TrainState] = {}  # of the checkpoints that are there and can be used
        self._digests: dict[int, str] = {}  # of the weights of validations

    def save(self, state: TrainState, tensors: Tensors, weights: Tensors | None = None) -> Path:
        """Write a checkpoint; pure, so how often it happens changes nothing.

        What it replaces goes only when it is whole on disk: an earlier one of the same update, and those of
        later updates, from which this training does not come.

        Args:
            tensors: all that the state is about, on the CPU.
            weights: of the validation at this update, to be kept beside it.

        Raises:
            RunError: the disk is full or may not be written; nothing half-written stays.
        """
        there = self._paths()
        again = [number for update, number in map(_number, there) if update == state.update]
        path = self.folder / (f"{state.update:08d}" + (f"-{max(again) + 1}" if again else ""))
        fresh = self.folder / f".{path.name}.new"
        with _written(path):
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            try:
                if weights is not None:
                    self._digests[state.update] = write_tensors(self._snapshot(state.update), weights)
                digest = write_tensors(fresh / TENSORS, tensors)
                write_text(fresh / STATE, self._text(state, digest))
                sync(fresh)
                fresh.rename(path)
                sync(self.folder)
            finally:
                shutil.rmtree(fresh, ignore_errors=True)
        self._states[path] = state
        self._delete([other for other in there if _number(other)[0] >= state.update])
        return path

    def _text(self, state: TrainState, digest: str) -> str:
        snapshots = {self._snapshot(update).name: self._digests[update] for update in state.snapshots}
        record = {
            "format": FORMAT,
            "identity": self._identity,
            "state": state.to_json(),
            "files": {TENSORS: digest, **snapshots},
        }
        return _text({**record, "checksum": canonical_hash(record)})

    def newest(self) -> Checkpoint | None:
        """The newest intact checkpoint, or None if there is none; damaged ones are told of and passed over.

        Raises:
            ModelError: a checkpoint is intact and belongs to another training; or all are damaged.
        """
        for leftover in (*self.folder.glob(".*.new"), *self.folder.glob(".*.old")):
            # What a killed process was writing, or deleting.
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        found, paths = None, self._paths()
        for path in reversed(paths):
            try:
                record = _read_record(path)
                if found is None:
                    found = self._open(path, record)
                self._states[path] = TrainState.from_json(record["state"])
                for name, digest in record["files"].items():
                    if name != TENSORS:
                        self._digests.setdefault(_snapshot_update(name), digest)
            except DamagedError as damage:
                self._say(f"{path}: {damage.found}; it is passed over")
        if found is None and paths:
            raise ModelError(
                "no checkpoint here can be read",
                where=str(self.folder),
                expected="a checkpoint to go on from, or none",
                advice="Restore one; or delete this folder, and training begins anew.",
            )
        return found

    def at(self, update: int) -> Checkpoint:
        """The checkpoint of an update, where a training that diverged is to go back.

        Raises:
            ModelError: it is damaged or not there.
        """
        paths = [path for path in self._paths() if _number(path)[0] == update]
        try:
            if not paths:
                raise damaged(self.folder / f"{update:08d}", "is missing")
            return self._open(paths[-1], _read_record(paths[-1]))
        except DamagedError as damage:  # without it the same command would only diverge again
            damage.advice = (
                "Training diverged, and this is where it was to go back. Restore it; or delete the folder"
                f" {self.folder}, and training begins anew."
            )
            raise

    def prune(self, keep: int) -> None:
        """Delete all but the newest checkpoints, what those may go back to, and the snapshots they need."""
        paths = self._paths()
        anchors = {self._states[path].anchor for path in paths[-keep:] if path in self._states}
        self._delete([path for path in paths[:-keep] if _number(path)[0] not in anchors])
        needed = {update for state in self._states.values() for update in state.snapshots}
        for path in self.folder.glob("weights-*.safetensors"):
            if _snapshot_update(path.name) not in needed:
                path.unlink()

    def load_snapshot(self, update: int) -> Tensors:
        """The weights of a validation.

        Raises:
            ModelError: they are missing or not those that were saved.
        """
        return read_tensors(self._snapshot(update), self._digests[update])

    def _snapshot(self, update: int) -> Path:
        return self.folder / f"weights-{update:08d}.safetensors"

    def _paths(self) -> list[Path]:
        """Checkpoint folders, oldest first."""
        return _folders(self.folder)

    def _delete(self, paths: list[Path]) -> None:
        for path in paths:
            going = path.with_name(f".{path.name}.old")  # half of it, after a kill, would look damaged
            with suppress(OSError):
                path.rename(going)
            shutil.rmtree(going, ignore_errors=True)
            self._states.pop(path, None)

    def _open(self, path: Path, record: dict[str, Any]) -> Checkpoint:
        if record["identity"] != self._identity:
            raise _other(path, record["identity"], self._identity)
        return _opened(path, record)


def last_checkpoint(folder: Path) -> Checkpoint:
    """The newest checkpoint in a folder, whatever training it is of.

    Raises:
        ModelError: it is damaged, or there is none.
    """
    paths = _folders(folder)
    if not paths:
        raise damaged(folder, "holds no checkpoint")
    return _opened(paths[-1], _read_record(paths[-1]))


def _opened(path: Path, record: dict[str, Any]) -> Checkpoint:
    tensors = read_tensors(path / TENSORS, record["files"][TENSORS])
    return Checkpoint(path, TrainState.from_json(record["state"]), tensors)


def _folders(folder: Path) -> list[Path]:
    """The checkpoints in a folder, oldest first."""
    if not folder.is_dir():
        return []
    found = (path for path in folder.iterdir() if re.fullmatch(r"\d{8,}(-\d+)?", path.name))
    return sorted(found, key=_number)


def _number(path: Path) -> tuple[int, int]:
    """The update of a checkpoint folder, and how often that update had been saved before."""
    update, _, again = path.name.partition("-")
    return int(update), int(again or 0)


def _snapshot_update(name: str) -> int:
    return int(name.removeprefix("weights-").removesuffix(".safetensors"))


@contextmanager
def _written(path: Path) -> Iterator[None]:
    """That a folder has gone while it is written to is the machine's fault, and no missing input."""
    try:
        with user_errors(path):
            yield
    except DataError as error:
        raise RunError(
            "the folder went away while a checkpoint was written to it",
            where=str(path),
            expected="a folder that only this training changes",
            advice="Find out what removed it, and run the same command again.",
        ) from error


def _text(record: dict[str, Any]) -> str:
    """`checkpoint.json`; a file that is not this to the byte has been changed."""
    return json.dumps(record, ensure_ascii=False, indent=2) + "\n"


def _read_record(path: Path) -> dict[str, Any]:
    """`checkpoint.json`, intact and of a known format."""
    try:
        record: dict[str, Any] = read_json(path / STATE, error=ModelError)
        is_whole = isinstance(record, dict) and read_text(path / STATE) == _text(record)
    except (ModelError, DataError) as error:
        raise damaged(path / STATE, f"cannot be read ({error.found})") from error
    if not is_whole or record.pop("checksum", None) != canonical_hash(record):
        raise damaged(path / STATE, "does not match its checksum")
    if record["format"] != FORMAT:
        raise ModelError(
            f"a checkpoint of format {record['format']}",
            where=str(path),
            expected=f"format {FORMAT}",
            advice="Go on with the version of mtkit that wrote it, or delete the folder and train again.",
        )
    return record


def _other(path: Path, found: dict[str, Any], expected: dict[str, Any]) -> MtkitError:
    name, old, new = first_difference(found, expected)
    return ModelError(
        f"this checkpoint belongs to another training: {name} was {old} and is {new}",
        where=str(path),
        expected=f"a checkpoint of the same settings, seed and data ({name}: {new})",
        advice="Train into another folder, or delete the checkpoints to begin anew.",
    )


def first_difference(old: Any, new: Any, name: str = "") -> tuple[str, str, str]:
    """The dotted name of the first value that differs, empty if none does, and both values."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            if old.get(key) != new.get(key):
                return first_difference(old.get(key), new.get(key), f"{name}.{key}" if name else str(key))
    return name, json.dumps(old), json.dumps(new)
