from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mtkit.batches.stream import Share
from mtkit.errors import RunError
from mtkit.training.checkpoint import Checkpoint, Checkpoints
from mtkit.training.following import NoSaver, check_order, read_by_first, saver_of
from mtkit.training.processes import ONE_PROCESS, Processes
from mtkit.training.saving import Saver
from mtkit.training.state import TrainState


class Second(Processes):
    """Rank 1 of two, that hears `heard`."""

    share = Share(1, 2)
    heard: list[object]

    def told(self, ask: object) -> object:  # type: ignore[override]
        return self.heard.pop(0)

    def each_tensor(self, tensors: dict[str, torch.Tensor]) -> Iterator[tuple[str, torch.Tensor]]:
        assert not tensors
        yield "model/a", torch.ones(2)

    def gather(self, value: object) -> list[object]:  # type: ignore[override]
        return ["theirs", value]


def never() -> Checkpoint | None:
    raise AssertionError("rank 0 alone reads")


def test_who_follows_gets_the_checkpoint_that_rank_0_reads() -> None:
    second = Second()
    second.heard = [{"path": "checkpoints/00000007", "state": TrainState(update=7).to_json()}]
    found = read_by_first(never, second)
    assert found is not None
    assert found.state.update == 7
    assert found.path == Path("checkpoints/00000007")
    assert found.tensors["model/a"].tolist() == [1.0, 1.0]


def test_no_checkpoint_is_none_everywhere() -> None:
    second = Second()
    second.heard = [None]
    assert read_by_first(never, second) is None
    assert read_by_first(lambda: None, ONE_PROCESS) is None


def test_who_follows_writes_nothing(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "checkpoints", {}, lambda _: None)
    saver = saver_of(checkpoints, lambda _: None, Second())
    assert isinstance(saver, NoSaver)
    saver.save(TrainState(update=1), [("model/a", torch.ones(2))], "time", keep=1, weights=None)
    saver.wait()
    saver.close()
    assert not list(tmp_path.iterdir())
    alone = saver_of(checkpoints, lambda _: None, ONE_PROCESS)
    assert type(alone) is Saver
    alone.close()


def test_processes_that_train_on_other_data_are_told() -> None:
    check_order(TrainState(order="theirs"), Second())
    with pytest.raises(RunError, match="rank 1 trained on other pairs") as caught:
        check_order(TrainState(update=6, order="mine"), Second())
    assert caught.value.where == "update 6"
    assert "same software" in caught.value.advice
