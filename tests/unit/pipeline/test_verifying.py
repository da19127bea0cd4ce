import json
import sys
from pathlib import Path

import pytest

from mtkit.config.recipe import read_recipe
from mtkit.errors import RecipeError, RunError
from mtkit.files import write_text
from mtkit.log import EventWriter, RunContext
from mtkit.pipeline import verifying
from mtkit.pipeline.kinds import KINDS
from mtkit.pipeline.store import Store
from mtkit.pipeline.stretching import TRACE, Task
from mtkit.pipeline.verifying import Asked, Session, verify_resume

# notes an update every 5 ms, up to its end or its death
CHILD = """
import json, os, sys, time
from pathlib import Path
task = json.loads(Path(sys.argv[1]).read_text())
for update in range(1, task["updates"] + 1):
    with open(task["out"] + "/trace.jsonl", "a") as stream:
        stream.write(json.dumps({"update": update, "process": os.getpid(), "time": time.time()}) + chr(10))
    time.sleep(0.005)
"""


def session(tmp_path: Path, updates: int, code: str = CHILD) -> Session:
    task = Task("toy.yaml", (), "train", {}, str(tmp_path / "out"), updates, "cpu", 1, 1)
    return Session(task, tmp_path, (sys.executable, "-c", code))


def test_a_training_is_killed_behind_the_update_that_was_drawn(tmp_path: Path) -> None:
    made = session(tmp_path, 10_000).kill(7, 0.5)
    assert made is not None
    assert 7 <= made < 10_000
    notes = [json.loads(line) for line in (tmp_path / "out" / TRACE).read_text().splitlines()]
    assert notes[-1]["update"] == made


def test_a_training_that_ends_first_is_not_killed(tmp_path: Path) -> None:
    assert session(tmp_path, 3).kill(100, 0.0) is None


@pytest.mark.parametrize("update", [None, 5])
def test_a_training_that_fails_by_itself_is_told_with_what_it_said(
    tmp_path: Path, update: int | None
) -> None:
    failing = session(tmp_path, 3, "raise SystemExit('there is no room')")
    with pytest.raises(RunError, match="there is no room"):
        failing.finish() if update is None else failing.kill(update, 0.0)


def test_a_task_survives_its_file(tmp_path: Path) -> None:
    task = Task("toy.yaml", ("seed=2",), "train", {"corpus": "there"}, "out", 5, "cpu", None, 2)
    task.write(tmp_path / "task.json")
    assert Task.read(tmp_path / "task.json") == task


def test_bits_that_differ_where_memory_ran_out_prove_nothing(tmp_path: Path) -> None:
    def note(name: str, event: str) -> None:
        events = EventWriter(tmp_path / name / "events.jsonl")
        events.write(event, update=9)
        events.close()

    note("whole", "update")
    note("resumed", "update")
    verifying._check_memory(tmp_path / "whole", tmp_path / "resumed")
    note("resumed", "out_of_memory")
    with pytest.raises(RunError, match="the resumed training ran out of memory at update 9"):
        verifying._check_memory(tmp_path / "whole", tmp_path / "resumed")


TWO = """\
recipe: two
about: a teacher and a student
source: a
target: b
seed: 1
stages:
  corpus: {train: text/train, valid: text/valid, test: text/valid}
  subword: {pieces: 300}
  teacher: {kind: train, until: {updates: 9000}}
  student: {kind: train, until: {updates: 9000}}
"""


@pytest.mark.parametrize("stage", [None, "subword"])
def test_of_several_trainings_one_has_to_be_named(tmp_path: Path, stage: str | None) -> None:
    for split in ("train", "valid"):
        for side in "ab":
            write_text(tmp_path / f"text/{split}.{side}", "1\n")
    write_text(tmp_path / "two.yaml", TWO)
    recipe = read_recipe(tmp_path / "two.yaml", KINDS)
    with pytest.raises(RecipeError, match="train stage") as caught:
        verify_resume(recipe, Asked(9, 1, 1, stage), Store(tmp_path / "store"), RunContext(quiet=True))
    assert "teacher, student" in caught.value.expected
