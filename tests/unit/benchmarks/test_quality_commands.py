import os
import sys
import time
from pathlib import Path

import pytest

from benchmarks.quality import commands
from benchmarks.quality.commands import Command, choose, run_to_end, run_with_snapshots
from mtkit.errors import RunError

A, B, C = Path("a"), Path("b"), Path("c")

# Writes three checkpoints, each a second younger than the one before, and ends.
SHORT = """
import os, pathlib, time
started = time.time()
for number in range(3):
    path = pathlib.Path(f"checkpoint-{number}")
    path.write_text(str(number))
    os.utime(path, (started + number, started + number))
"""
ENDLESS = "import time\nwhile True: time.sleep(1)"


class Learning:
    """Finds the checkpoints of a training that writes one for every look, each a minute younger."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.started, self.count = folder, time.time(), 0

    def __call__(self) -> list[Path]:
        path = self.folder / f"checkpoint-{self.count}"
        path.write_text(str(self.count))
        written = self.started + 60 * self.count
        os.utime(path, (written, written))
        self.count += 1
        return list(self.folder.glob("checkpoint-*"))


def command(folder: Path, *words: str) -> Command:
    return Command([sys.executable, "-c", *words], folder / "log.txt", os.environ, folder)


@pytest.fixture(autouse=True)
def look_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "LOOKING_SECONDS", 0.02)


def test_the_first_checkpoint_at_or_after_the_time_is_chosen() -> None:
    ages = {C: 30.0, A: 10.0, B: 20.0}
    assert choose(ages, 20.0, last=False) == B
    assert choose(ages, 20.1, last=False) == C


def test_a_checkpoint_before_the_time_is_chosen_only_if_none_comes_any_more() -> None:
    ages = {A: 10.0, B: 20.0}
    assert choose(ages, 25.0, last=False) is None
    assert choose(ages, 25.0, last=True) == B
    assert choose({}, 25.0, last=True) is None


def test_a_training_is_ended_when_the_last_checkpoint_is_there(tmp_path: Path) -> None:
    taken = run_with_snapshots(command(tmp_path, ENDLESS), [2.5, 4.5], Learning(tmp_path))
    assert [snapshot.asked_minutes for snapshot in taken] == [2.5, 4.5]
    assert [snapshot.path.name for snapshot in taken] == ["checkpoint-3", "checkpoint-5"]
    assert all(snapshot.minutes >= snapshot.asked_minutes for snapshot in taken)
    assert all(snapshot.path.exists() for snapshot in taken)


def test_old_checkpoints_that_were_not_chosen_are_deleted(tmp_path: Path) -> None:
    run_with_snapshots(command(tmp_path, ENDLESS), [2.5, 19.5], Learning(tmp_path))
    left = sorted(int(path.name.partition("-")[2]) for path in tmp_path.glob("checkpoint-*"))
    assert left == [3, 16, 17, 18, 19, 20]


def test_of_a_training_that_ends_early_the_last_checkpoint_counts(tmp_path: Path) -> None:
    (snapshot,) = run_with_snapshots(
        command(tmp_path, SHORT), [1000.0], lambda: list(tmp_path.glob("checkpoint-*"))
    )
    assert snapshot.path.name == "checkpoint-2"
    assert snapshot.minutes < 1000.0


def test_a_training_that_leaves_no_checkpoint_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="ended after") as caught:
        run_with_snapshots(command(tmp_path, "print('no disk')"), [1.0], lambda: [])
    assert "no disk" in caught.value.advice


def test_a_program_that_fails_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="status 3") as caught:
        run_to_end(command(tmp_path, "import sys; print('oh'); sys.exit(3)"))
    assert "oh" in caught.value.advice


def test_a_program_that_succeeds_is_timed(tmp_path: Path) -> None:
    seconds = run_to_end(command(tmp_path, "import time; time.sleep(0.3)"))
    assert seconds >= 0.3
