import pytest
import torch

from mtkit.log import RunContext
from mtkit.model.cores import available_cores
from mtkit.training.devices import for_many_batches, prepared, side_by_side


def test_threads_and_repeatability_are_set_and_restored(monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.get_num_threads()
    with prepared(RunContext(device="cpu", threads=before + 1)):
        assert torch.get_num_threads() == before + 1
        assert torch.are_deterministic_algorithms_enabled()
    assert torch.get_num_threads() == before
    assert not torch.are_deterministic_algorithms_enabled()


def test_the_environment_decides_threads_unless_the_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    with prepared(RunContext(device="cpu")):
        assert torch.get_num_threads() == 3
    monkeypatch.delenv("OMP_NUM_THREADS")
    with prepared(RunContext(device="cpu")):
        assert torch.get_num_threads() == available_cores()


def test_validation_has_a_worker_for_each_thread_even_where_updates_are_in_one_piece() -> None:
    before = torch.get_num_threads()
    with side_by_side(2) as workers, for_many_batches(workers, 2) as same:
        assert same is workers
    with side_by_side(1, 3) as workers:
        assert workers.count == 1
        assert torch.get_num_threads() == 3
        with for_many_batches(workers, 3) as more:
            assert more.count == 3
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 3
    assert torch.get_num_threads() == before


def test_each_of_several_workers_can_have_several_threads_of_torch() -> None:
    with side_by_side(2, 3) as workers:
        assert list(workers.map([torch.get_num_threads] * 4)) == [3] * 4
        assert torch.get_num_threads() == 1
