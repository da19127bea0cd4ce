import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from mtkit.errors import RunError
from mtkit.pipeline import launcher
from mtkit.pipeline.launcher import INTERRUPTED, Launcher
from mtkit.training.place import LOST


def run(script: str, count: int = 2) -> Launcher:
    return Launcher(
        count, [sys.executable, "-c", f"import os, sys, time\nrank = os.environ['RANK']\n{script}"]
    )


def notes(folder: Path) -> str:
    """What lets the processes tell each other how far they are."""
    return f"""
from pathlib import Path
def note(name):
    Path({str(folder)!r}, name).touch()
def wait_for(name):
    while not Path({str(folder)!r}, name).exists():
        time.sleep(0.01)
"""


def test_all_well_is_zero() -> None:
    assert run("assert os.environ['WORLD_SIZE'] == '3'", 3).wait() == 0


def test_processes_of_one_that_torchrun_started_look_for_no_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("RUN_ID", "job"), ("USE_AGENT_STORE", "True")):
        monkeypatch.setenv(f"TORCHELASTIC_{name}", value)
    assert run("assert not [name for name in os.environ if name.startswith('TORCHELASTIC_')]").wait() == 0


def test_the_code_of_the_process_that_failed_is_the_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(f"sys.exit(4 if rank == '0' else {LOST})").wait() == 4
    assert capfd.readouterr().err == ""


def test_what_another_than_rank_0_says_is_shown_if_it_is_the_cause(capfd: pytest.CaptureFixture[str]) -> None:
    say = "print('no GPU', file=sys.stderr)"
    script = f"if rank == '1':\n    {say}\n    sys.exit(1)\nsys.exit({LOST})"
    assert run(script).wait() == 1
    assert capfd.readouterr().err == "rank 1: no GPU\n"


def test_what_another_than_rank_0_says_is_no_talk_where_all_is_well(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert run("print('talk', rank, file=sys.stderr)").wait() == 0
    assert capfd.readouterr().err == "talk 0\n"


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_ends_all_with_one_message(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "GRACE_SECONDS", 0.1)
    with pytest.raises(RunError) as caught:
        run(f"os.kill(os.getpid(), 9) if rank == '{rank}' else time.sleep(1000)").wait()
    assert caught.value.found == f"rank {rank} was ended by SIGKILL; the others were stopped"
    assert "checkpoint" in caught.value.advice


def test_a_process_that_ignores_being_asked_is_made_to_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "GRACE_SECONDS", 0.1)
    monkeypatch.setattr(launcher, "KILL_SECONDS", 0.1)
    script = f"""
import signal
if rank == '0':
    wait_for('ignores')
    sys.exit({LOST})
signal.signal(15, signal.SIG_IGN)
note('ignores')
time.sleep(1000)
"""
    with pytest.raises(RunError, match="rank 1 stood still"):
        run(notes(tmp_path) + script).wait()


def test_the_first_ctrl_c_goes_to_rank_0_alone_which_may_take_its_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(launcher, "GRACE_SECONDS", 0.2)
    script = f"""
try:
    note('ready' + rank)
    wait_for('interrupted')
except KeyboardInterrupt:
    assert rank == '0'
    note('interrupted')
    time.sleep(0.6)  # the other one has ended, or does so now
os._exit({INTERRUPTED})
"""
    found = run(notes(tmp_path) + script)

    def interrupt() -> None:
        while len(list(tmp_path.glob("ready?"))) < 2:
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    assert found.wait() == INTERRUPTED
    assert found.children[0].code == INTERRUPTED
    assert found._ended_here == []


def test_signals_are_as_before_afterwards() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    run("pass", 1).wait()
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
