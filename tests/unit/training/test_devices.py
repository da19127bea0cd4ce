import os

import pytest
import torch

from mtkit.log import RunContext
from mtkit.model.device import available_cores
from mtkit.training.devices import prepared


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


def test_available_cores_are_those_of_this_process() -> None:
    assert 1 <= available_cores() <= (os.cpu_count() or 1)
