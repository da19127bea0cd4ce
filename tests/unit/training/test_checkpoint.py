import errno
import json
import os
import shutil
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.errors import ModelError, RunError
from mtkit.training.checkpoint import Checkpoints
from mtkit.training.state import Measured, TrainState

IDENTITY = {"settings": {"model": {"dim": 16}, "batch_tokens": 64}, "seed": 1}


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def checkpoints(tmp_path: Path, said: list[str]) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", IDENTITY, said.append)


def saved(checkpoints: Checkpoints, update: int, snapshots: tuple[int, ...] = ()) -> Path:
    """Save a checkpoint; with the weights of a validation if its own update is among the snapshots."""
    state = TrainState(update=update, snapshots=list(snapshots))
    weights = {"weight": torch.zeros(2)} if update in snapshots else None
    return checkpoints.save(state, {"weight": torch.full((3,), float(update))}, weights)


def flip(path: Path, offset: int) -> None:
    content = bytearray(path.read_bytes())
    content[offset] ^= 4
    path.write_bytes(content)


def test_what_was_saved_comes_back(checkpoints: Checkpoints) -> None:
    state = TrainState(update=7, epoch=2, batch=3, seconds=0.1, without_better=1, order="ab", anchor=5)
    state.validations.append(Measured(5, 1, 2.25, {"bleu": 3.5}))
    tensors = {"weight": torch.randn(4, 5), "count": torch.tensor(3.0)}
    checkpoints.save(state, tensors)
    found = checkpoints.newest()
    assert found is not None
    assert found.state == state
    assert all(torch.equal(found.tensors[name], value) for name, value in tensors.items())


def test_no_checkpoint_is_none(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest() is None


@pytest.mark.parametrize("file", ["state.safetensors", "checkpoint.json"])
@pytest.mark.parametrize("harm", ["cut", "flip", "delete", "empty"])
def test_a_damaged_checkpoint_is_told_of_and_the_one_before_it_is_used(
    checkpoints: Checkpoints, said: list[str], file: str, harm: str
) -> None:
    saved(checkpoints, 1)
    newest = saved(checkpoints, 2) / file
    size = newest.stat().st_size
    if harm == "cut":
        os.truncate(newest, size - 5)
    elif harm == "flip":
        flip(newest, size - 3 if file == "state.safetensors" else newest.read_bytes().index(b'"update"') + 10)
    elif harm == "empty":
        os.truncate(newest, 0)
    else:
        newest.unlink()
    found = checkpoints.newest()
    assert found is not None
    assert found.state.update == 1
    assert len(said) == 1
    assert str(newest.parent) in said[0]


def test_where_all_checkpoints_are_damaged_nothing_begins_anew_over_them(
    checkpoints: Checkpoints, said: list[str]
) -> None:
    os.truncate(saved(checkpoints, 1) / "state.safetensors", 9)
    with pytest.raises(ModelError, match="no checkpoint here can be read"):
        checkpoints.newest()
    assert len(said) == 1


@pytest.mark.parametrize("harm", ["flip", "delete"])
def test_where_a_diverged_training_cannot_go_back_it_is_said_how_to_begin_anew(
    checkpoints: Checkpoints, harm: str
) -> None:
    path = saved(checkpoints, 1)
    saved(checkpoints, 2)
    if harm == "flip":
        flip(path / "state.safetensors", -1)
    else:
        shutil.rmtree(path)
    with pytest.raises(ModelError) as caught:
        checkpoints.at(1)
    assert f"delete the folder {checkpoints.folder}, and training begins anew" in caught.value.advice


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        ({**IDENTITY, "seed": 2}, "seed was 1 and is 2"),
        (
            {**IDENTITY, "settings": {"model": {"dim": 32}, "batch_tokens": 64}},
            "settings.model.dim was 16 and is 32",
        ),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(
    checkpoints: Checkpoints, identity: dict[str, Any], told: str
) -> None:
    saved(checkpoints, 1)
    with pytest.raises(ModelError, match=told):
        Checkpoints(checkpoints.folder, identity, print).newest()


def test_a_newer_format_is_refused(checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mtkit.training.checkpoint.FORMAT", 3)
    saved(checkpoints, 1)
    monkeypatch.undo()
    with pytest.raises(ModelError, match="format 3"):
        checkpoints.newest()


def test_a_full_disk_leaves_the_old_checkpoint_and_nothing_half_written(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(checkpoints, 1)
    before = sorted(checkpoints.folder.rglob("*"))

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError, match="no space left"):
        saved(checkpoints, 2)
    monkeypatch.undo()
    assert sorted(checkpoints.folder.rglob("*")) == before
    found = checkpoints.newest()
    assert found is not None
    assert found.state.update == 1


def test_a_file_system_that_syncs_no_folders_takes_checkpoints(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def of_files(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")
        fsync(handle)

    monkeypatch.setattr(os, "fsync", of_files)
    saved(checkpoints, 3)
    found = checkpoints.newest()
    assert found is not None
    assert found.state.update == 3


def test_the_newest_is_the_highest_number_beyond_eight_digits_too(checkpoints: Checkpoints) -> None:
    saved(checkpoints, 99_999_999)
    saved(checkpoints, 100_000_000)
    found = checkpoints.newest()
    assert found is not None
    assert found.state.update == 100_000_000


def test_saving_an_update_again_replaces_it_and_never_leaves_none(checkpoints: Checkpoints) -> None:
    paths = [saved(checkpoints, 5) for _ in range(3)]
    assert len(set(paths)) == 3
    assert [path for path in paths if path.exists()] == paths[-1:]


def test_what_a_killed_process_left_is_cleared_away(checkpoints: Checkpoints) -> None:
    saved(checkpoints, 1)
    (checkpoints.folder / ".00000002.new").mkdir()
    (checkpoints.folder / ".weights-00000002.safetensors.x.new").touch()
    found = checkpoints.newest()
    assert found is not None
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["00000001"]


def test_what_was_being_deleted_when_the_process_was_killed_is_not_called_damaged(
    checkpoints: Checkpoints, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for update in (1, 2):
        saved(checkpoints, update)

    def killed(path: Path, **_: object) -> None:
        (path / "checkpoint.json").unlink()
        raise KeyboardInterrupt

    monkeypatch.setattr(shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.prune(1)
    monkeypatch.undo()
    found = checkpoints.newest()
    assert found is not None
    assert found.state.update == 2
    assert said == []
    assert [path.name for path in checkpoints.folder.iterdir()] == ["00000002"]


def test_pruning_keeps_the_newest_and_the_snapshots_they_need(checkpoints: Checkpoints) -> None:
    for update in (1, 2, 3):
        saved(checkpoints, update, (1, update) if update < 3 else (2, 3))
    checkpoints.prune(2)
    left = sorted(path.name for path in checkpoints.folder.iterdir())
    weights = [f"weights-{update:08d}.safetensors" for update in (1, 2, 3)]
    assert left == ["00000002", "00000003", *weights]
    checkpoints.prune(1)
    assert sorted(path.name for path in checkpoints.folder.iterdir()) == ["00000003", *weights[1:]]


def test_snapshots_are_checked_when_read(checkpoints: Checkpoints) -> None:
    checkpoints.save(TrainState(update=4, snapshots=[4]), {}, {"weight": torch.arange(3.0)})
    assert torch.equal(checkpoints.load_snapshot(4)["weight"], torch.arange(3.0))
    path = checkpoints.folder / "weights-00000004.safetensors"
    flip(path, path.stat().st_size - 1)
    with pytest.raises(ModelError, match="does not match its checksum"):
        checkpoints.load_snapshot(4)
    path.unlink()
    with pytest.raises(ModelError, match="is missing"):
        checkpoints.load_snapshot(4)


def test_the_state_can_be_read_by_people(checkpoints: Checkpoints) -> None:
    record = json.loads((saved(checkpoints, 3) / "checkpoint.json").read_text())
    assert record["state"]["update"] == 3
    assert record["identity"] == IDENTITY
    assert len(record["files"]["state.safetensors"]) == 64
