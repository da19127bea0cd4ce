import dataclasses
import signal
import threading

import pytest

from mtkit.errors import RunError
from mtkit.log import RunContext
from mtkit.model import cores
from mtkit.pipeline import together as module
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


def test_one_process_stops_too_when_the_agent_that_started_it_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would train on unseen, and hold what the same command wants to go on with."""
    killed: list[int] = []
    ended = threading.Event()
    parents = iter([4711, 4711, 1, 1])  # the agent, and who takes its orphans
    monkeypatch.setattr("os.getppid", lambda: next(parents))
    monkeypatch.setattr("os.kill", lambda _, number: killed.append(number))
    monkeypatch.setattr("os._exit", lambda _: ended.set())
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.0)
    monkeypatch.setattr(module, "ORPHAN_SECONDS", 0.0)
    context = RunContext(quiet=True)
    with together(Place(has_agent=True), context) as given:
        assert given is context
        assert ended.wait(300)
    assert killed == [signal.SIGTERM]


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
