import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from types import SimpleNamespace

import pytest
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from mtkit.errors import RunError
from mtkit.training import meeting
from mtkit.training.meeting import LostError, Meeting, as_lost, lost
from mtkit.training.place import Place


@pytest.fixture
def place() -> Place:
    """Of rank 1 of two, without an address."""
    return Place(rank=1, count=2, local_rank=1, local_count=2, job="test", meet_seconds=100.0)


@pytest.fixture
def first_place(place: Place) -> Place:
    """Of rank 0, which listens already, as the launcher has it."""
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    return replace(place, rank=0, local_rank=0, port=port, listening=listening.detach())


@pytest.fixture
def agent() -> TCPStore:
    """The store of torchrun's agent."""
    return TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)


@pytest.fixture
def two(place: Place, first_place: Place) -> Iterator[tuple[Meeting, Meeting]]:
    """Both sides of a meeting."""
    found: list[Meeting] = []
    place = replace(place, port=first_place.port)
    other = threading.Thread(target=lambda: found.append(Meeting(place)))
    other.start()
    first = Meeting(first_place)
    other.join()
    yield first, found[0]


def test_a_process_that_does_not_come_is_named_after_the_time_limit(first_place: Place) -> None:
    with pytest.raises(RunError) as caught:
        Meeting(replace(first_place, meet_seconds=0.3))
    assert caught.value.found == "the processes did not meet: rank 1 did not come within 0.3 s"
    assert caught.value.where == f"127.0.0.1:{first_place.port}"
    assert "2 processes" in caught.value.expected
    assert "MASTER_PORT" in caught.value.advice


def test_who_waits_for_rank_0_in_vain_says_so(place: Place, agent: TCPStore) -> None:
    with pytest.raises(RunError, match=r"rank 1 was not answered by rank 0 within 0\.3 s"):
        Meeting(replace(place, port=agent.port, agent_answers=True, meet_seconds=0.3))


def test_an_address_where_nobody_answers_is_told_after_the_time_limit(place: Place) -> None:
    with socket.socket() as deaf, pytest.raises(RunError, match="nobody answered rank 1") as caught:
        deaf.bind(("127.0.0.1", 0))  # nobody else gets the port, and nobody listens at it
        port = deaf.getsockname()[1]
        Meeting(replace(place, port=port, meet_seconds=0.3))
    assert caught.value.where == f"127.0.0.1:{port}"


def test_what_killed_processes_left_in_the_store_misleads_nobody(
    place: Place, agent: TCPStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchrun's agent keeps the store; it restarts one process a moment before the other, either first."""
    monkeypatch.setattr(meeting, "TOLD_SECONDS", 0.1)
    place = replace(place, port=agent.port, agent_answers=True)
    for first in (0, 1, 0):
        met: dict[int, Meeting] = {}

        def come(rank: int, met: dict[int, Meeting] = met) -> None:
            met[rank] = Meeting(replace(place, rank=rank, local_rank=rank))

        threads = [threading.Thread(target=come, args=[rank]) for rank in (first, 1 - first)]
        threads[0].start()
        threads[0].join(0.3)
        assert not met, "it takes two to meet"
        threads[1].start()
        for thread in threads:
            thread.join()
        met[0].order({"train": "a"})
        assert met[1].next_order() == {"train": "a"}
        assert met[1].may_tell(RunError("the disk is full"))


def test_a_process_of_another_version_is_told_of(
    place: Place, first_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    versions = {0: "1.0", 1: "0.9"}
    told: list[RunError] = []
    met: list[Meeting] = []  # rank 0 holds what both read

    def come(one: Place) -> None:
        try:
            met.append(Meeting(one))
        except RunError as error:
            told.append(error)

    def named() -> str:
        return versions[int(threading.current_thread().name)]

    monkeypatch.setattr(meeting, "platform", SimpleNamespace(python_version=named))
    both = (first_place, replace(place, port=first_place.port))
    threads = [threading.Thread(target=come, args=[one], name=str(one.rank)) for one in both]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (error,) = told
    assert error.found.startswith("rank 1 has mtkit ")
    assert error.found.replace("python 0.9", "python 1.0").count("python 1.0") == 2
    assert error.where.startswith("rank 1 on ")
    assert error.expected == "the same versions everywhere"


def test_orders_arrive_one_after_the_other(two: tuple[Meeting, Meeting]) -> None:
    first, second = two
    first.order({"train": "a"})
    first.order({"train": "b"})
    first.order(None)
    assert [second.next_order() for _ in range(3)] == [{"train": "a"}, {"train": "b"}, None]


def test_who_follows_waits_for_the_mark(two: tuple[Meeting, Meeting]) -> None:
    first, second = two
    waiting = threading.Thread(target=second.wait_for_mark)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    first.mark()
    waiting.join(300)
    assert not waiting.is_alive()


def test_who_waits_learns_that_another_failed(two: tuple[Meeting, Meeting]) -> None:
    first, second = two
    assert first.may_tell(RunError("the disk is full"))
    with pytest.raises(LostError, match="another process failed"):
        second.next_order()


def test_one_process_tells_the_cause_and_no_other(
    two: tuple[Meeting, Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "TOLD_SECONDS", 0.1)
    first, second = two
    assert second.may_tell(RunError("no such device"))
    assert not first.may_tell(lost("a process is gone"))
    assert not first.may_tell(RunError("another"))


def test_an_effect_is_told_where_nobody_tells_the_cause(
    two: tuple[Meeting, Meeting], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meeting, "TOLD_SECONDS", 0.1)
    first, second = two
    assert second.may_tell(lost("a process is gone"))
    assert not first.may_tell(lost("a process is gone"))


def test_the_launcher_tells_who_was_lost(two: tuple[Meeting, Meeting]) -> None:
    first, _ = two
    first.place = replace(first.place, watcher=0)
    assert not first.may_tell(lost("a process is gone"))
    assert first.may_tell(RunError("the disk is full"))


def test_what_is_lost_is_told_in_few_words() -> None:
    noise = (
        "[/path/gloo/transport/tcp/pair.cc:537] Read error [127.0.0.1]:1959: Connection reset by peer. Logs."
    )
    assert lost("a process is gone", RuntimeError(noise)).found == (
        "a process is gone (connection reset by peer): training was stopped"
    )


@pytest.mark.parametrize(
    ("said", "is_own"),
    [
        ("NCCL error: unhandled system error (run with NCCL_DEBUG=INFO for details)", True),
        ("NCCL error: invalid usage\nDuplicate GPU detected : rank 1 and rank 0", True),
        ("NCCL error: remote process exited or there was a network error", False),
        ("NCCL error: unhandled system error\nConnection closed by remote peer", False),
        ("Watchdog caught collective operation timeout: NCCL: unhandled cuda error", False),
        ("gloo: Connection closed by peer", False),
    ],
)
def test_what_nccl_cannot_do_is_not_taken_for_another_process_that_is_gone(said: str, is_own: bool) -> None:
    meant = as_lost(RuntimeError(said))
    assert isinstance(meant, RunError)
    assert isinstance(meant, LostError) is not is_own
    assert ("NCCL_DEBUG" in str(meant)) is is_own
