from pathlib import Path

import pytest
import torch

from mtkit.model.workers import Workers
from mtkit.training import stall
from mtkit.training.stall import Machine, Stall, Watcher, busy_seconds, family_seconds, machine_of


class Made:
    """A machine of two cores whose clocks are moved by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, others: float | None = 0.0) -> None:
        self.now = self.own = 0.0
        self.others, self.share = others, 1.0
        self.told: list[Stall] = []
        monkeypatch.setattr("time.monotonic", lambda: self.now)
        self.machine = Machine(2, 2, lambda: self.share, self.busy, lambda: self.own)

    def busy(self) -> float | None:
        return None if self.others is None else self.own + self.others * self.now

    def train(
        self, watcher: Watcher, updates: int, waited: float = 0.0, seconds: float = 1.0, tokens: int = 100
    ) -> None:
        for _ in range(updates):
            self.now += seconds
            self.own += seconds * self.share * 2
            watcher.add(waited, seconds, tokens)


FIRST = stall.SETTLING_UPDATES
WINDOW = stall.WINDOW_UPDATES


def test_a_training_that_is_well_hears_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    made.train(Watcher(made.machine, made.told.append), FIRST + 5 * WINDOW, waited=0.05)
    assert made.told == []


def test_late_data_are_told_of_once_with_figures_and_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    watcher = Watcher(made.machine, made.told.append)
    made.train(watcher, FIRST + WINDOW - 1, waited=0.5)
    assert made.told == []
    made.train(watcher, 3 * WINDOW, waited=0.5)
    (told,) = made.told
    assert (told.kind, told.share) == ("data", 0.5)
    assert "waits for data 50% of the time (10 of 20 s)" in str(told)
    assert "faster disk" in told.remedy


def test_one_long_wait_for_the_plan_of_an_epoch_is_no_sign_of_a_slow_disk_or_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Made(monkeypatch)
    watcher = Watcher(made.machine, made.told.append, usual=100.0)
    made.train(watcher, FIRST + WINDOW)
    made.train(watcher, 1, waited=40.0, seconds=41.0)
    made.train(watcher, WINDOW - 1)
    assert made.told == []


def test_subword_sampling_is_named_where_it_is_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    made.train(Watcher(made.machine, made.told.append, samples_subwords=True), FIRST + WINDOW, waited=0.3)
    assert "Subword sampling" in made.told[0].remedy


def test_slow_first_updates_do_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    watcher = Watcher(made.machine, made.told.append)
    made.train(watcher, FIRST, waited=60, seconds=60)
    made.train(watcher, 2 * WINDOW)
    assert made.told == []


def test_many_short_updates_are_not_looked_at_before_some_time(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch)
    watcher = Watcher(made.machine, made.told.append)
    made.train(watcher, FIRST + 1999, waited=0.009, seconds=0.01)
    assert made.told == []
    made.train(watcher, 2, waited=0.009, seconds=0.01)
    assert len(made.told) == 1


def test_a_program_that_takes_a_core_is_told_of_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, others=1.0)
    made.share = 0.6
    made.train(Watcher(made.machine, made.told.append), FIRST + 4 * WINDOW)
    (told,) = made.told
    assert told.kind == "cores"
    assert "each of 2 workers gets 60% of a core; other programs use 1.0 of the 2 cores" in str(told)
    assert "--threads 1" in told.remedy


def test_where_the_system_does_not_tell_who_takes_the_cores_that_they_are_taken_is_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Made(monkeypatch, others=None)
    made.share = 0.5
    made.train(Watcher(made.machine, made.told.append), FIRST + WINDOW)
    assert str(made.told[0]) == (
        "each of 2 workers gets 50% of a core. End other programs, or train with `--threads 1`."
    )


def test_workers_that_wait_although_nobody_takes_their_cores_are_not_the_users_fault(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Made(monkeypatch, others=0.1)
    made.share = 0.5
    made.train(Watcher(made.machine, made.told.append), FIRST + 3 * WINDOW)
    assert made.told == []


@pytest.mark.parametrize(("others", "is_told"), [(1.0, True), (0.2, False), (None, False)])
def test_what_other_programs_leave_is_what_several_processes_get(
    monkeypatch: pytest.MonkeyPatch, others: float | None, is_told: bool
) -> None:
    made = Made(monkeypatch, others=others)
    machine = Machine(2, 2, lambda: None, made.busy, lambda: made.own, shares_out=True)
    made.train(Watcher(machine, made.told.append), FIRST + 2 * WINDOW)
    said = [
        "each of 2 workers gets 50% of a core; other programs use 1.0 of the 2 cores. End them, or train with"
        " fewer processes."
    ]
    assert [str(told) for told in made.told] == (said if is_told else [])


def test_what_several_processes_compute_is_added_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Workers(2) as workers:
        one, three = (machine_of(workers, torch.device("cpu"), count) for count in (1, 3))
        on_gpu = machine_of(workers, torch.device("cuda"), 3)
    assert (one.shares_out, three.shares_out, on_gpu.shares_out) == (False, True, False)
    assert three.core_share() is None
    monkeypatch.setattr("os.getppid", lambda: 7)
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    for number, name, parent in ((11, "mtkit", 7), (12, "a) (b", 7), (13, "bash", 8)):
        columns = f"{number} ({name}) S {parent} 1 1 0 -1 4194304 9 9 0 0 150 50 0 0 20 0 1 0 5"
        (tmp_path / "proc" / str(number)).mkdir(parents=True)
        (tmp_path / "proc" / str(number) / "stat").write_text(columns)
    assert family_seconds(2, tmp_path) == 4.0
    assert family_seconds(3, tmp_path) is None, "one of them has another parent"


@pytest.mark.parametrize("seen", [2, 64])
def test_in_a_container_with_a_share_of_more_cores_nobody_tells_who_takes_them(
    seen: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`docker run --cpus 2` on a large machine: other containers' programs are no rivals."""
    monkeypatch.setattr(stall, "available_cores", lambda: 2)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(seen)), raising=False)
    monkeypatch.setattr(stall, "busy_seconds", lambda: 1e9)
    with Workers(2) as workers:
        machine = machine_of(workers, torch.device("cpu"))
    assert machine.busy_seconds() == (1e9 if seen == 2 else None)


def test_late_data_are_not_taken_for_taken_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, others=1.5)
    made.share = 0.3
    made.train(Watcher(made.machine, made.told.append), FIRST + 2 * WINDOW, waited=0.9)
    assert [told.kind for told in made.told] == ["data"]


def test_a_gpu_that_computes_is_never_short_of_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, others=2.0)
    machine = Machine(1, 2, lambda: None, made.busy, lambda: made.own)
    made.train(Watcher(machine, made.told.append), FIRST + 2 * WINDOW)
    assert made.told == []


def test_a_machine_that_has_become_slow_though_nobody_takes_its_cores_is_told_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = Made(monkeypatch)
    made.train(Watcher(made.machine, made.told.append, usual=180.0), FIRST + 3 * WINDOW)
    assert made.told == []  # more than half of it
    made.train(Watcher(made.machine, made.told.append, usual=250.0), FIRST + 3 * WINDOW)
    (told,) = made.told
    assert (told.kind, told.share) == ("speed", 0.4)
    assert "100 target tokens/s, 40% of what this machine was measured to make" in str(told)
    assert "heat" in told.remedy


def test_taken_cores_and_late_data_explain_a_low_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    made = Made(monkeypatch, others=1.0)
    made.share = 0.5
    made.train(Watcher(made.machine, made.told.append, usual=1000.0), FIRST + WINDOW)
    made.train(Watcher(made.machine, made.told.append, usual=1000.0), FIRST + WINDOW, waited=0.5)
    assert [told.kind for told in made.told] == ["cores", "data"]


def test_processor_time_is_that_of_all_programs_on_the_cores_that_may_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/stat").write_text(
        "cpu  999 0 0 0 0 0 0 0 0 0\ncpu0 100 20 30 4000 500 6 7 8 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\nintr 5\n"
    )
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0}, raising=False)
    monkeypatch.setattr("os.sysconf", lambda _: 100)
    assert busy_seconds(tmp_path) == 1.71
    assert busy_seconds(tmp_path / "elsewhere") is None
