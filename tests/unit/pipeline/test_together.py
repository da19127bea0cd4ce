import dataclasses

import pytest

from mtkit.errors import RunError
from mtkit.log import RunContext
from mtkit.model import cores
from mtkit.pipeline.together import _crowded, together
from mtkit.training.place import LOST, Place


@pytest.mark.parametrize(
    ("name", "processes", "said"),
    [
        ("cpu", 2, ""),
        ("cpu", 3, "3 processes share 2 cores: slower than `--processes 2`"),
        ("cuda:2", 3, ""),
    ],
)
def test_processes_that_crowd_the_cores_are_told_of_in_one_line(
    name: str, processes: int, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cores, "available_cores", lambda: 2)
    place = dataclasses.replace(Place(), count=processes, local_count=processes)
    assert _crowded(name, place) == said


@pytest.mark.parametrize("watcher", [None, 0])
def test_what_every_process_of_a_machine_lacks_is_told_by_the_first_of_them_alone(
    watcher: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr("mtkit.pipeline.together._die_with_the_launcher", lambda _: None)
    monkeypatch.setattr("mtkit.training.meeting.Meeting", lambda _: pytest.fail("they met"))
    second = Place(rank=5, count=8, local_rank=1, local_count=2, watcher=watcher)
    context = RunContext(device="cuda", quiet=True)
    with pytest.raises(SystemExit) as left, together(second, context):
        pass
    assert left.value.code == (1 if watcher is None else LOST)
    first = dataclasses.replace(second, rank=4, local_rank=0)
    with (
        pytest.raises(RunError, match="2 processes on this machine, which shows 1 GPUs"),
        together(first, context),
    ):
        pass
