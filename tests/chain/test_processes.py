"""Several processes run a recipe: the same result as one, also where torchrun restarts them after a kill."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mtkit.files import read_json, read_text, sha256, write_text
from mtkit.log import read_events

Start = Callable[..., "subprocess.Popen[str]"]
Here = Callable[..., str]

SHORT = (
    *("--set", "stages.train.until.updates=60", "--set", "stages.train.validate.every=20 updates"),
    *("--set", "stages.train.accumulate=2", "--threads", "1", "--device", "cpu", "--quiet"),
)


def weights(runs: Path) -> list[str]:
    return sorted(sha256(path) for path in runs.glob("store/train-*/model/model.safetensors"))


def translated(runs: Path) -> dict[str, list[str]]:
    """What each validation said of its samples, which the processes translated in parallel."""
    return {
        f"{path.parts[-3].split('-')[1]}/{path.name}": [sample[1] for sample in read_json(path)["samples"]]
        for path in sorted(runs.glob("store/train-*/validations/*.json"))
    }


@pytest.mark.slow
def test_two_processes_run_a_recipe_with_two_trainings_to_the_scores_of_one(
    recipe: Path, tmp_path: Path, here: Here, start: Start
) -> None:
    second = "  again: {like: train, keep: {average: 1}, accumulate: 2, until: {updates: 20}}\n  translate:"
    write_text(recipe, read_text(recipe).replace("  translate:", second))
    here("run", "tiny.yaml", "--runs", "one", *SHORT)
    process = start("run", "tiny.yaml", "--runs", "two", "--processes", "2", *SHORT)
    out, errors = process.communicate(timeout=500)
    assert (process.returncode, out, errors) == (0, "", "")
    assert len(weights(tmp_path / "one")) == 2
    assert weights(tmp_path / "two") == weights(tmp_path / "one")
    assert read_json(tmp_path / "two/tiny/score/scores.json") == read_json(
        tmp_path / "one/tiny/score/scores.json"
    )
    shared = ("--set", "stages.train.shard=true", "--set", "stages.again.shard=true")
    process = start("run", "tiny.yaml", "--runs", "shared", "--processes", "2", *SHORT, *shared)
    out, errors = process.communicate(timeout=500)
    assert (process.returncode, out, errors) == (0, "", "")
    assert translated(tmp_path / "shared") == translated(tmp_path / "one")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_torchrun_restarts_after_a_kill_and_ends_with_the_weights_of_an_undisturbed_run(
    recipe: Path, tmp_path: Path, here: Here, rank: int
) -> None:
    here("train", "tiny.yaml", "--runs", "whole", *SHORT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "--max-restarts", "1", "-m", "mtkit", "train", "tiny.yaml", "--runs", "cut", *SHORT]
    with subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        os.kill(number_of(rank, process, tmp_path / "cut"), signal.SIGKILL)
        _, errors = process.communicate(timeout=500)
    assert process.returncode == 0, errors
    (events,) = (read_events(path) for path in tmp_path.glob("cut/store/train-*/events.jsonl"))
    assert [event["event"] for event in events].count("resume") == 1
    assert weights(tmp_path / "cut") == weights(tmp_path / "whole")


def number_of(rank: int, process: "subprocess.Popen[str]", runs: Path) -> int:
    """Number of the process of a rank, once there is a checkpoint."""
    while process.poll() is None:
        if list(runs.glob("store/train-*/checkpoints/0*/checkpoint.json")):
            for path in Path("/proc").glob("[0-9]*/environ"):
                try:
                    named = path.read_bytes().split(b"\0")
                    parent = int((path.parent / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
                if f"RANK={rank}".encode() in named and parent == process.pid:
                    return int(path.parent.name)
        time.sleep(0.02)
    pytest.fail(f"it ended: {process.communicate()[1]}")


def test_more_processes_than_a_launcher_started_are_refused(
    recipe: Path, tmp_path: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", "1")
    process = start("train", "tiny.yaml", "--processes", "3")
    _, errors = process.communicate(timeout=500)
    assert process.returncode == 2
    assert errors.startswith("error: --processes 3, but a launcher has started 2 processes")
