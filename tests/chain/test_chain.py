import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.files import read_json, read_lines, sha256
from mtkit.log import read_events

Start = Callable[..., "subprocess.Popen[str]"]
Here = Callable[..., str]


def finish(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=100)
    return process.returncode, out, err


def train_folder(folder: Path) -> Path:
    (found,) = (folder / "runs/store").glob("train-*")
    return found


def wait_for(folder: Path, event: str, process: "subprocess.Popen[str]", times: int = 1) -> None:
    """Until training has written an event so many times."""
    while process.poll() is None:
        for path in (folder / "runs/store").glob("train-*/events.jsonl"):
            if [found["event"] for found in read_events(path)].count(event) >= times:
                return
        time.sleep(0.02)
    pytest.fail(f"training ended without {event}: {process.communicate()[1]}")


def test_a_recipe_goes_from_nothing_to_scores_and_is_then_stored(
    recipe: Path, start: Start, here: Here
) -> None:
    said = here("run", "tiny.yaml")
    assert "train      to run, because it never ran" in said
    run = recipe.parent / "runs/tiny"
    assert [score["metric"] for score in read_json(run / "score/scores.json")] == ["bleu", "chrf"]
    assert len(list(read_lines(run / "translate/hypotheses"))) == 30
    report = (run / "report.md").read_text()
    for heading in ("Scores", "Expectations", "Settings", "Corpus", "Subword", "Training", "Translations"):
        assert f"## {heading}" in report
    assert "1,200" in report
    assert (run / "model/model.json").is_file()

    before = {path: path.stat().st_mtime_ns for path in (recipe.parent / "runs/store").rglob("*")}
    started = time.monotonic()
    _, _, err = finish(start("run", "tiny.yaml"))
    assert time.monotonic() - started < 3
    assert [line.split() for line in err.splitlines()[:5]] == [
        [name, "stored"] for name in ("corpus", "subword", "train", "translate", "score")
    ]
    assert before == {path: path.stat().st_mtime_ns for path in (recipe.parent / "runs/store").rglob("*")}

    said = here("run", "tiny.yaml", "--dry-run", "--set", "stages.translate.beam_size=1")
    assert said.splitlines()[2:] == [
        "train      stored",
        "translate  to run, because stages.translate.beam_size 2 → 1",
        "score      to run, because translate changed",
    ]


def test_a_training_killed_interrupted_and_taken_over_has_the_same_weights(
    recipe: Path, start: Start, here: Here
) -> None:
    command = ("train", "tiny.yaml", "--set", "stages.train.until.updates=120")
    killed = start(*command)
    wait_for(recipe.parent, "checkpoint", killed)
    killed.send_signal(signal.SIGKILL)
    finish(killed)
    assert not (recipe.parent / "runs/tiny/train").exists()
    assert "interrupted" in here("status")

    interrupted = start(*command)
    wait_for(recipe.parent, "stage_begins", interrupted, times=2)
    waiting = start(*command)
    wait_for(recipe.parent, "resume", interrupted)
    interrupted.send_signal(signal.SIGINT)
    code, _, said = finish(interrupted)
    assert code == 130, said
    assert "train: stopped; what it had done is kept in" in said
    assert "Traceback" not in said

    code, _, said = finish(waiting)
    assert code == 0, said
    assert f"process {interrupted.pid} on" in said
    assert "train: goes on" in said
    record = read_json(train_folder(recipe.parent) / "stage.json")
    assert len(record["sessions"]) == 3

    here(*command, "--runs", "whole")
    weights = "tiny/train/model/model.safetensors"
    assert sha256(recipe.parent / "whole" / weights) == sha256(recipe.parent / "runs" / weights)


def test_a_file_in_the_place_of_the_runs_folder_is_told(recipe: Path, start: Start) -> None:
    (recipe.parent / "runs").write_text("no folder")
    code, _, err = finish(start("run", "tiny.yaml"))
    assert code in (1, 2), err
    assert "runs" in err
    assert "Traceback" not in err
