"""How processes that train together meet, and what they leave for each other in a store that one holds.

No tensors here: those are `processes.py`'s business. Everything left in the store is text or JSON.
"""

import json
import platform
import re
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from uuid import uuid4

import torch
from torch.distributed import PrefixStore, TCPStore  # type: ignore[attr-defined]

from mtkit import __version__
from mtkit.errors import RunError
from mtkit.training.place import MEET_SECONDS, Place

_SHOWN_CHARACTERS = 600  # of what NCCL says
LOOK_SECONDS = 0.05  # between two looks into the store
TOLD_SECONDS = 1.0  # in which a process that fails says so, before it leaves


class LostError(RunError):
    """Other processes are gone or do not answer: an effect, whose cause another process may have told."""


class Meeting:
    """A place where processes leave notes for each other.

    Args:
        place: of this process.

    Raises:
        RunError: they did not all come in time.
    """

    def __init__(self, place: Place) -> None:
        self.place = place
        if not place.is_first or place.agent_answers:
            _wait_for_address(place)
        self._server = _open_store(place)  # kept alive: rank 0's answers all others
        self.store = PrefixStore(f"mtkit/{place.job}/{place.count}", self._server)
        self._orders = self._marks = 0
        self.store = PrefixStore(self._roll_call(), self.store)

    def order(self, order: dict[str, Any] | None) -> None:
        """Tell the others what to do next; None: nothing more. Rank 0's to call."""
        self._set(f"order/{self._orders}", json.dumps(order))
        self._orders += 1

    def next_order(self) -> dict[str, Any] | None:
        """Wait for what rank 0 says, however long it takes.

        Raises:
            LostError: a process failed, or rank 0 is gone.
        """
        key = f"order/{self._orders}"
        self._orders += 1
        self._wait_for(key)
        order: dict[str, Any] | None = json.loads(self.store.get(key))
        return order

    def mark(self) -> None:
        """Rank 0 is done with what the others wait for in `wait_for_mark`."""
        self._set(f"mark/{self._marks}", "done")
        self._marks += 1

    def wait_for_mark(self) -> None:
        """Wait for rank 0's next `mark`, however long it takes.

        Raises:
            LostError: a process failed, or rank 0 is gone.
        """
        self._wait_for(f"mark/{self._marks}")
        self._marks += 1

    def may_tell(self, error: BaseException) -> bool:
        """True for one process alone: the one that tells people what went wrong.

        The cause is told rather than its effects, and by rank 0 if it has met it too.
        """
        is_effect = isinstance(error, LostError)
        if is_effect and self.place.is_watched:
            return False  # the launcher sees who died
        try:
            if is_effect or not self.place.is_first:
                self._wait_until(lambda: self.store.check(["told"]), TOLD_SECONDS)
            return bool(self.store.add("told", 1) == 1)
        except RuntimeError:  # the store is gone, and rank 0 with it
            return self.place.rank == 1 or not is_effect

    def leave(self) -> None:
        """Rank 0 waits a moment for the others to read what it left; best effort."""
        try:
            self.store.add("left", 1)
            if self.place.is_first and not self.place.agent_answers:
                self._wait_until(lambda: self.store.add("left", 0) == self.place.count, 2 * TOLD_SECONDS)
        except RuntimeError:
            return

    def _roll_call(self) -> str:
        """Wait for everybody, and see that all are of the same make; returns a name for this meeting.

        torchrun's store may hold what processes left that have been killed since, and its agents count
        restarts each for themselves. So rank 0 calls under a name that nobody had before, the others
        answer with names of their own, and know by them that what rank 0 has heard were they themselves.
        """
        place, name = self.place, uuid4().hex
        mine = {"mtkit": __version__, "torch": torch.__version__, "python": platform.python_version()}
        try:
            call, first = self._call(name, mine) if place.is_first else self._answer(name)
        except RuntimeError:
            raise _never_met(place, "rank 0 left before all had come") from None
        if first != mine:
            raise RunError(
                f"rank {place.rank} has {_listed(mine)}, rank 0 has {_listed(first)}",
                where=f"rank {place.rank} on {socket.gethostname()}",
                expected="the same versions everywhere",
                advice="Install the same versions on every machine.",
            )
        return call

    def _call(self, name: str, mine: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Rank 0's part in the roll call."""
        place = self.place
        self.store.set("call", name)
        keys = [f"{name}/{rank}" for rank in range(1, place.count)]
        if not self._wait_until(lambda: self.store.check(keys), place.meet_seconds):
            missing = ", ".join(key.rpartition("/")[2] for key in keys if not self.store.check([key]))
            raise _never_met(place, f"rank {missing} did not come within {place.meet_seconds:g} s")
        names = [self.store.get(key).decode() for key in keys]
        self.store.set(f"{name}/heard", json.dumps({"names": names, "versions": mine}))
        return name, mine

    def _answer(self, name: str) -> tuple[str, dict[str, str]]:
        """The others' part: they answer every call, of which one may be of a rank 0 that is no more."""
        place, calls = self.place, [""]
        heard: dict[str, Any] = {"names": []}

        def is_heard() -> bool:
            if not self.store.check(["call"]):
                return False
            call = self.store.get("call").decode()
            if call != calls[-1]:
                calls.append(call)
                self.store.set(f"{call}/{place.rank}", name)
            if self.store.check([f"{call}/heard"]):
                heard.update(json.loads(self.store.get(f"{call}/heard")))
            return name in heard["names"]

        if not self._wait_until(is_heard, place.meet_seconds):
            found = f"rank {place.rank} was not answered by rank 0 within {place.meet_seconds:g} s"
            raise _never_met(place, f"{found}, which waits for another or did not come")
        return calls[-1], heard["versions"]

    def _wait_for(self, key: str) -> None:
        while True:
            try:
                if self.store.check([key]):
                    return
                failed = self.store.check(["told"])
            except RuntimeError as error:
                raise lost("rank 0 is gone", error) from error
            if failed:
                raise lost("another process failed")
            time.sleep(LOOK_SECONDS)

    @staticmethod
    def _wait_until(is_so: Callable[[], bool], seconds: float) -> bool:
        until = time.monotonic() + seconds
        while not is_so():
            if time.monotonic() >= until:
                return False
            time.sleep(LOOK_SECONDS)
        return True

    def _set(self, key: str, value: str) -> None:
        try:
            self.store.set(key, value)
        except RuntimeError as error:
            raise lost("rank 0 is gone", error) from error


def as_lost(error: Exception) -> Exception:
    """The error, or what it means if it is torch's for a process that is gone or does not answer."""
    if not isinstance(error, RuntimeError) or not re.search(r"gloo|NCCL", str(error)):
        return error
    return of_nccl(error) or lost("a process is gone", error)


def of_nccl(error: RuntimeError) -> RunError | None:
    """The error of NCCL if it cannot work here; None if another process is gone or late, or none of this."""
    said = str(error)
    others = r"remote process|timed? ?out|by .*peer|refused|broken pipe"
    if not re.search(r"unhandled (system|cuda) error|invalid usage|duplicate GPU", said, re.IGNORECASE):
        return None
    if re.search(others, said, re.IGNORECASE):
        return None
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    return RunError(
        f"NCCL, by which GPUs talk to each other, fails: {' '.join(lines)[:_SHOWN_CHARACTERS]}",
        where="the processes' first words, or an update",
        expected="GPUs and a machine that NCCL can work with",
        advice="Set NCCL_DEBUG=WARN to see more. In containers /dev/shm is often too small; each process"
        " needs a GPU of its own.",
    )


def lost(what: str, error: Exception | None = None) -> LostError:
    """The error of a process that others have left alone."""
    said = re.search(r"Connection \w+ by peer|Timed out[\w ]*|Broken pipe", str(error), re.IGNORECASE)
    reason = f" ({said.group().strip().lower()})" if said else ""
    return LostError(
        f"{what}{reason}: training was stopped",
        expected="every process to go on to the end",
        advice="See what ended it: memory that ran out (SIGKILL), a machine, a network. The same command goes"
        " on from the last checkpoint.",
    )


def _wait_for_address(place: Place) -> None:
    """Until somebody answers there; torch's own wait could not be interrupted."""
    until = time.monotonic() + place.meet_seconds
    while True:
        try:
            socket.create_connection((place.address, place.port), timeout=5.0).close()
        except OSError as error:
            if time.monotonic() >= until:
                found = f"nobody answered rank {place.rank} within {place.meet_seconds:g} s"
                raise _never_met(place, f"{found} ({error.strerror or error})") from error
            time.sleep(LOOK_SECONDS)
        else:
            return


def _open_store(place: Place) -> TCPStore:
    try:
        return TCPStore(
            place.address,
            place.port,
            place.count,
            is_master=place.is_first and not place.agent_answers,
            timeout=timedelta(seconds=max(1.0, place.meet_seconds)),
            wait_for_workers=False,
            master_listen_fd=place.listening,
        )
    except RuntimeError as error:
        raise _never_met(place, f"rank {place.rank}: {str(error).splitlines()[0]}") from error


def _never_met(place: Place, found: str) -> RunError:
    return RunError(
        f"the processes did not meet: {found}",
        where=f"{place.address}:{place.port}",
        expected=f"{place.count} processes that reach this address",
        advice=f"Check that all {place.count} were started, and that every machine reaches MASTER_ADDR at"
        f" MASTER_PORT through any firewall; {MEET_SECONDS} sets how long to wait.",
    )


def _listed(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items())
