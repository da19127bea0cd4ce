from dataclasses import replace

import pytest
import torch

from mtkit.errors import RunError
from mtkit.log import RunContext
from mtkit.training import processes
from mtkit.training.place import Place, read_place
from mtkit.training.processes import ONE_PROCESS, device_of, processes_of, threads_of

SLURM = {"SLURM_STEP_ID": "0", "SLURM_PROCID": "1", "SLURM_NTASKS": "2", "SLURM_LOCALID": "1"}
SLURM |= {"SLURM_JOB_NODELIST": "gpu7", "SLURM_JOB_ID": "40123", "SLURM_TASKS_PER_NODE": "2"}


def test_one_process_is_right_about_everything() -> None:
    assert ONE_PROCESS.is_first
    assert ONE_PROCESS.is_alone
    assert ONE_PROCESS.mine(range(3)) == [0, 1, 2]
    assert ONE_PROCESS.in_order(["a", "b"]) == ["a", "b"]
    assert ONE_PROCESS.any(True, False) == (True, False)
    assert ONE_PROCESS.told(lambda: 7) == 7
    assert ONE_PROCESS.after_first(lambda: 8) == 8
    assert torch.equal(ONE_PROCESS.sum(torch.arange(3)), torch.arange(3))
    assert processes_of(RunContext()) is ONE_PROCESS


@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_shares_come_back_in_order(count: int) -> None:
    items = list(range(7))
    found = [items[rank::count] for rank in range(count)]

    class Several(processes.Processes):
        def gather(self, value: object) -> list[object]:  # type: ignore[override]
            return list(found)

    assert Several().in_order(found[0]) == items


def gpus(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)


def test_each_process_has_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 4)
    place = Place(rank=6, count=8, local_rank=2, local_count=4)
    assert device_of("auto", place) == device_of("cuda", place) == "cuda:2"
    assert device_of("cpu", place) == "cpu"
    assert device_of("cuda:3", Place()) == "cuda:3"


def test_more_processes_than_gpus_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 2)
    with pytest.raises(RunError) as caught:
        device_of("auto", Place(count=3, local_count=3))
    assert caught.value.found == "3 processes on this machine, which shows 2 GPUs to torch"
    assert "--processes 2" in caught.value.advice


def test_who_is_given_a_gpu_of_its_own_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    place = read_place({**SLURM, "SLURM_GPUS_PER_TASK": "1"})
    gpus(monkeypatch, 1)
    assert device_of("auto", replace(place, local_rank=1, local_count=2)) == "cuda:0"
    with pytest.raises(RunError, match="shows 1 GPUs"):
        device_of("auto", replace(read_place(SLURM), local_rank=1, local_count=2))


def test_one_gpu_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 2)
    with pytest.raises(RunError, match="device 'cuda:1' for 2 processes"):
        device_of("cuda:1", Place(count=2, local_count=2))


def test_without_gpus_auto_is_the_cpu_and_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gpus(monkeypatch, 0)
    assert device_of("auto", Place(count=2, local_count=2)) == "auto"
    with pytest.raises(RunError, match="shows 0 GPUs"):
        device_of("cuda", Place(count=2, local_count=2))


def test_threads_are_shared_out_unless_they_are_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "default_threads", lambda: 8)
    assert threads_of(None, Place()) is None
    assert threads_of(None, Place(count=4, local_count=2)) == 4
    assert threads_of(None, Place(count=16, local_count=16)) == 1
    assert threads_of(3, Place(count=4, local_count=2)) == 3
