"""Two processes and one: the same bits. What happens when one of them is lost."""

import hashlib
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.training import TrainSettings
from mtkit.errors import RunError
from mtkit.log import read_events
from mtkit.pipeline.launcher import INTERRUPTED, Launcher
from mtkit.training.place import ANSWER_SECONDS

SCRIPT = """
    import json, os, sys
    from pathlib import Path
    from mtkit.config.training import TrainSettings
    from mtkit.log import RunContext
    from mtkit.model.folder import ModelCard
    from mtkit.pipeline.together import together
    from mtkit.training.place import read_place
    from mtkit.training.processes import processes_of
    from mtkit.training.train import TrainInputs, Validation, train

    toy, out = Path(sys.argv[1]), Path(sys.argv[2])
    settings = TrainSettings.model_validate_json(sys.argv[3])

    def card(summary):
        sizes = {"source_size": summary.source_size, "target_size": summary.target_size}
        return ModelCard(
            architecture=settings.model, source_language="x", target_language="y", normalize="nfc", **sizes
        )

    with together(read_place(), RunContext(device="cpu", threads=1, quiet=True)) as run:
        processes = processes_of(run)
        (out.parent / f"{processes.share.rank}.pid").write_text(str(os.getpid()))

        def validate(model, workers):
            weight = float(next(iter(model.parameters())).double().sum())
            found = processes.in_order([[line, weight] for line in processes.mine(range(7))])
            assert found == [[line, weight] for line in range(7)], found
            return Validation({"chrf": processes.told(lambda: weight)}, [("a", "b", "c")])

        train(settings, TrainInputs(toy / "corpus", toy / "subword", validate, card), out, run)
"""
COMMON: dict[str, Any] = {
    "batch_tokens": 128,
    "max_tokens": 16,
    "until": {"updates": 22},
    "accumulate": 2,
    "validate": {"every": "6 updates", "by": "chrf"},
    "schedule": {"kind": "inverse_sqrt", "warmup_updates": 5},
    "model": {"dim": 16, "ffn_dim": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.2},
}
ADAMW = {"keep": {"average": 3}}
MUON = {"optimizer": {"kind": "muon"}, "ema_decay": 0.9, "loss": {"l1": 1e-4}}
LONG = {"until": {"updates": 4000}, "validate": {"every": "20 updates"}}
SHORT = {"until": {"updates": 40}, "validate": {"every": "20 updates"}}

Watch = Callable[[], None]


def launcher(toy: Path, out: Path, count: int, *changes: dict[str, Any]) -> Launcher:
    settings = TrainSettings.model_validate(
        {name: value for d in (COMMON, *changes) for name, value in d.items()}
    )
    out.parent.mkdir(exist_ok=True)
    arguments = [str(toy), str(out), settings.model_dump_json(by_alias=True, exclude_unset=True)]
    return Launcher(count, [sys.executable, "-c", textwrap.dedent(SCRIPT), *arguments])


def hashes(out: Path) -> dict[str, str]:
    """Of the final weights and of everything that training remembers."""
    newest = max(path for path in (out / "checkpoints").iterdir() if path.is_dir())
    files = {"model": out / "model" / "model.safetensors", "state": newest / "state.safetensors"}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


@pytest.fixture
def once_it_runs() -> Iterator[Callable[[Path, Watch], None]]:
    """Do something as soon as a training of two has validated for the first time."""
    threads: list[threading.Thread] = []

    def start(out: Path, act: Watch) -> None:
        def watch() -> None:
            until = time.monotonic() + 60
            while time.monotonic() < until:
                if any(event["event"] == "validation" for event in read_events(out / "events.jsonl")):
                    act()
                    return
                time.sleep(0.02)

        threads.append(threading.Thread(target=watch))
        threads[-1].start()

    yield start
    for thread in threads:
        thread.join()


def pid(out: Path, rank: int) -> int:
    return int((out.parent / f"{rank}.pid").read_text())


@pytest.mark.parametrize("changes", [ADAMW, MUON], ids=["mean of validations", "muon, average"])
def test_two_processes_are_one_with_accumulation_bit_for_bit(
    changes: dict[str, Any], toy: Path, tmp_path: Path
) -> None:
    for count in (1, 2):
        assert launcher(toy, tmp_path / str(count) / "out", count, changes).wait() == 0
    assert hashes(tmp_path / "1/out") == hashes(tmp_path / "2/out")
    one, two = (
        [
            event
            for event in read_events(tmp_path / count / "out/events.jsonl")
            if event["event"] == "validation"
        ]
        for count in "12"
    )
    for first, second in zip(one, two, strict=True):
        assert first["loss_nats_per_token"] == second["loss_nats_per_token"]
        assert first["chrf"] == second["chrf"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["adamw", "muon"])
def test_shared_out_weights_learn_as_whole_ones_do_and_one_process_goes_on(
    kind: str, toy: Path, tmp_path: Path, once_it_runs: Callable[[Path, Watch], None]
) -> None:
    changes = {"optimizer": {"kind": kind}, "loss": {"l1": 1e-4}, **SHORT}
    whole, shared = tmp_path / "whole/out", tmp_path / "shared/out"
    assert launcher(toy, whole, 1, changes).wait() == 0
    once_it_runs(shared, lambda: os.kill(pid(shared, 1), signal.SIGKILL))
    with pytest.raises(RunError, match="SIGKILL"):
        launcher(toy, shared, 2, changes, {"shard": True}).wait()
    assert launcher(toy, shared, 1, changes, {"shard": True}).wait() == 0
    assert launcher(toy, tmp_path / "again/out", 2, changes, {"shard": True}).wait() == 0
    for out in (shared, tmp_path / "again/out"):
        assert losses(out) == pytest.approx(losses(whole), abs=1e-4)  # measured: equal to 5 digits


def losses(out: Path) -> dict[int, float]:
    events = [event for event in read_events(out / "events.jsonl") if event["event"] == "validation"]
    return {event["update"]: event["loss_nats_per_token"] for event in events}


def test_a_killed_process_stops_all_in_seconds_with_one_message_and_one_alone_goes_on(
    toy: Path, tmp_path: Path, once_it_runs: Callable[[Path, Watch], None], capfd: pytest.CaptureFixture[str]
) -> None:
    assert launcher(toy, tmp_path / "whole/out", 1, SHORT).wait() == 0
    out, killed = tmp_path / "cut/out", []

    def kill() -> None:
        os.kill(pid(out, 1), signal.SIGKILL)
        killed.append(time.monotonic())

    once_it_runs(out, kill)
    with pytest.raises(RunError) as caught:
        launcher(toy, out, 2, SHORT).wait()
    assert time.monotonic() - killed[0] < 4.0  # measured 0.3
    assert caught.value.found == "rank 1 was ended by SIGKILL; the others were stopped"
    assert capfd.readouterr().err == ""
    assert launcher(toy, out, 1, SHORT).wait() == 0
    assert hashes(out) == hashes(tmp_path / "whole/out")


def test_ctrl_c_stops_all_at_one_update_with_a_checkpoint(
    toy: Path, tmp_path: Path, once_it_runs: Callable[[Path, Watch], None]
) -> None:
    out = tmp_path / "cut/out"
    once_it_runs(out, lambda: os.kill(os.getpid(), signal.SIGINT))
    assert launcher(toy, out, 2, LONG).wait() == INTERRUPTED
    checkpoint = [event for event in read_events(out / "events.jsonl") if event["event"] == "checkpoint"][-1]
    assert checkpoint["why"] == "interrupted"
    assert not list(out.rglob("*.new"))


@pytest.mark.slow
def test_a_process_that_stands_still_is_named_and_all_stop(
    toy: Path,
    tmp_path: Path,
    once_it_runs: Callable[[Path, Watch], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(ANSWER_SECONDS, "1")
    monkeypatch.setattr("mtkit.pipeline.launcher.GRACE_SECONDS", 1.0)
    monkeypatch.setattr("mtkit.pipeline.launcher.KILL_SECONDS", 0.2)
    out = tmp_path / "cut/out"
    once_it_runs(out, lambda: os.kill(pid(out, 1), signal.SIGSTOP))
    with pytest.raises(RunError, match="rank 1 stood still, and was ended with the others") as caught:
        launcher(toy, out, 2, LONG).wait()
    assert caught.value.where == f"process {pid(out, 1)}"
