import errno
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mtkit.errors import RunError
from mtkit.training.checkpoint import Checkpoints
from mtkit.training.saving import Saved, Saver
from mtkit.training.state import TrainState


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "checkpoints", {"seed": 1}, print)


@pytest.fixture
def told() -> list[Saved]:
    return []


@pytest.fixture
def saver(checkpoints: Checkpoints, told: list[Saved]) -> Iterator[Saver]:
    saver = Saver(checkpoints, told.append)
    yield saver
    saver.close()


class Gate:
    """Holds every write to the disk back until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = threading.Event()
        self.reached = threading.Event()
        self.under_way = self.most_under_way = 0
        fsync = os.fsync

        def slow(handle: int) -> None:
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            self.reached.set()
            assert self.open.wait(300)
            self.under_way -= 1
            fsync(handle)

        monkeypatch.setattr(os, "fsync", slow)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Iterator[Gate]:
    gate = Gate(monkeypatch)
    yield gate
    gate.open.set()


def begin(saver: Saver, update: int, weight: torch.Tensor) -> None:
    saver.save(TrainState(update=update), [("model/weight", weight)], "time", keep=1, weights=None)


def test_what_changes_while_it_is_written_is_saved_as_it_was(
    saver: Saver, checkpoints: Checkpoints, gate: Gate
) -> None:
    weight, state = torch.ones(5), TrainState(update=3, snapshots=[])
    saver.save(state, [("model/weight", weight)], "time", keep=1, weights=None)
    weight.zero_()
    state.update, state.validations = 4, []
    gate.open.set()
    saver.wait()
    found = checkpoints.newest()
    assert found is not None
    assert found.state.update == 3
    assert torch.equal(found.tensors["model/weight"], torch.ones(5))


def test_the_one_before_stays_until_the_new_one_is_whole(
    saver: Saver, checkpoints: Checkpoints, told: list[Saved], gate: Gate
) -> None:
    gate.open.set()
    begin(saver, 1, torch.ones(2))
    saver.wait()
    gate.open.clear()
    gate.reached.clear()
    begin(saver, 2, torch.zeros(2))
    assert gate.reached.wait(300)
    saver.look()
    assert [saved.update for saved in told] == [1]
    assert saver.last == checkpoints.folder / "00000001"
    reader = Checkpoints(checkpoints.folder, {"seed": 1}, print)
    assert reader.at(1).state.update == 1
    assert not (checkpoints.folder / "00000002").exists()
    gate.open.set()
    saver.wait()
    assert [path.name for path in checkpoints.folder.iterdir()] == ["00000002"]


def test_one_is_written_at_a_time_and_in_order(saver: Saver, told: list[Saved], gate: Gate) -> None:
    gate.open.set()
    for update in range(1, 6):
        begin(saver, update, torch.ones(2))
    saver.wait()
    assert [saved.update for saved in told] == [1, 2, 3, 4, 5]
    assert gate.most_under_way == 1


def full(handle: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("way", ["look", "wait", "save"])
def test_a_full_disk_surfaces_at_the_next_boundary_with_the_last_good_checkpoint(
    saver: Saver, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    begin(saver, 1, torch.ones(2))
    saver.wait()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        begin(saver, 2, torch.ones(2))
        saver._pool.submit(int).result()  # the write has ended
    with pytest.raises(RunError, match="no space left") as caught:
        begin(saver, 3, torch.ones(2)) if way == "save" else getattr(saver, way)()
    assert str(checkpoints.folder / "00000001") in caught.value.advice
    found = checkpoints.newest()
    assert found is not None
    assert found.state.update == 1
    begin(saver, 4, torch.ones(2))  # and once there is room, it goes on
    saver.wait()
    assert saver.last == checkpoints.folder / "00000004"


def test_a_folder_that_goes_away_under_the_writer_is_told_as_such(
    saver: Saver, checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(self: Path, target: Path) -> None:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", gone)
        begin(saver, 1, torch.ones(2))
        with pytest.raises(RunError, match="went away") as caught:
            saver.wait()
    assert "There is no checkpoint yet." in caught.value.advice


@pytest.mark.parametrize("said", ["CUDA error: out of memory", "can't allocate memory"])
def test_copies_that_the_memory_does_not_hold_are_told_as_such(
    saver: Saver, checkpoints: Checkpoints, said: str
) -> None:
    begin(saver, 1, torch.ones(2))
    saver.wait()

    def tensors() -> Iterator[tuple[str, torch.Tensor]]:
        yield "model/weight", torch.ones(2)
        raise RuntimeError(said)

    with pytest.raises(RunError, match="does not hold the copy that a checkpoint is written from") as caught:
        saver.save(TrainState(update=2), tensors(), "time", keep=1, weights=None)
    assert caught.value.where == str(checkpoints.folder)
    assert "Smaller batches do not help" in caught.value.advice
    assert str(checkpoints.folder / "00000001") in caught.value.advice


def test_the_weights_of_a_validation_are_kept_beside_it(saver: Saver, checkpoints: Checkpoints) -> None:
    tensors = {"model/weight": torch.ones(2), "average/weight": torch.full((2,), 0.5)}
    saver.save(TrainState(update=6, snapshots=[6]), tensors.items(), "validation", keep=1, weights="average/")
    saver.wait()
    assert torch.equal(checkpoints.load_snapshot(6)["weight"], torch.full((2,), 0.5))


@pytest.mark.gpu
def test_copies_from_a_gpu_are_those_of_the_moment(saver: Saver, checkpoints: Checkpoints) -> None:
    weight = torch.ones(1 << 20, device="cuda")
    begin(saver, 1, weight)
    weight.zero_()
    saver.wait()
    found = checkpoints.newest()
    assert found is not None
    assert found.tensors["model/weight"].sum() == 1 << 20
