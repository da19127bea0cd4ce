import hashlib
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.training import TrainSettings
from mtkit.files import canonical_hash, read_json
from mtkit.log import RunContext, copy_talk, read_events
from mtkit.model.folder import ModelCard
from mtkit.training import loop
from mtkit.training.train import TrainInputs, TrainSummary, train

MODEL = {"dim": 16, "ffn_dim": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.2}
COMMON = {
    "batch_tokens": 128,
    "max_tokens": 16,
    "until": {"updates": 22},
    "validate": {"every": "6 updates"},
    "model": MODEL,
}
WAYS: dict[str, dict[str, Any]] = {
    "adamw, accumulation, sampled subwords, mean of validations": {
        "accumulate": 2,
        "subword_sampling": {"probability": 0.3},
        "schedule": {"kind": "inverse_sqrt", "warmup_updates": 5},
        "keep": {"average": 3},
    },
    "muon, exponential average": {
        "optimizer": {"kind": "muon"},
        "ema_decay": 0.9,
        "schedule": {"kind": "cosine", "warmup_updates": 5},
    },
    "decaying schedule, penalties, best of validations": {
        "loss": {"l1": 1e-4, "l2": 1e-3},
        "schedule": {"kind": "warmup_stable_decay", "warmup_updates": 5},
        "validate": {"every": "1 epochs"},
    },
}


def settings(way: str) -> TrainSettings:
    return TrainSettings.model_validate({**COMMON, **WAYS[way]})


def card(summary: TrainSummary) -> ModelCard:
    return ModelCard(
        architecture=TrainSettings.model_validate(COMMON).model,
        source_language="x",
        target_language="y",
        normalize="nfc",
        source_size=summary.source_size,
        target_size=summary.target_size,
    )


def run(way: str, toy: Path, out: Path, seed: int = 1) -> None:
    context = RunContext(seed=seed, device="cpu", threads=1, quiet=True)
    train(settings(way), TrainInputs(toy / "corpus", toy / "subword", None, card), out, context)


def hashes(out: Path) -> dict[str, str]:
    """Of the final weights and of everything that training remembers, but for how long it took."""
    newest = max(path for path in (out / "checkpoints").iterdir() if path.is_dir())
    files = {"model": out / "model" / "model.safetensors", "tensors": newest / "state.safetensors"}
    found = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    # padding, guard, patience, order of data, validations …
    state = read_json(newest / "checkpoint.json")["state"]
    assert state["positions"] > state["source_tokens"] + state["target_tokens"]
    del state["seconds"], state["update_seconds"]
    return {**found, "state": canonical_hash(state)}


class CutError(Exception):
    pass


@pytest.mark.parametrize("way", WAYS)
def test_resumed_is_uninterrupted_bit_for_bit(
    way: str, toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(way, toy, tmp_path / "whole")
    # A checkpoint after each of the first updates, none later: what follows is lost and made again.
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    update = loop.Loop._update
    cuts = [2, 9, 20]

    def cut(self: loop.Loop, *arguments: Any) -> None:
        update(self, *arguments)
        if cuts and self.state.update == cuts[0]:
            cuts.pop(0)
            raise CutError

    monkeypatch.setattr(loop.Loop, "_update", cut)
    for _ in range(3):
        with pytest.raises(CutError):
            run(way, toy, tmp_path / "cut")
        monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0 if len(cuts) > 1 else 1e9)
    run(way, toy, tmp_path / "cut")
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")


def test_one_seed_gives_the_same_bits_twice_and_another_seed_others(toy: Path, tmp_path: Path) -> None:
    way = "muon, exponential average"
    run(way, toy, tmp_path / "one")
    run(way, toy, tmp_path / "again")
    run(way, toy, tmp_path / "other", seed=2)
    assert hashes(tmp_path / "one") == hashes(tmp_path / "again")
    assert hashes(tmp_path / "one")["model"] != hashes(tmp_path / "other")["model"]


def cut_off(way: str, toy: Path, out: Path, at: int, patch: pytest.MonkeyPatch) -> None:
    """A training that dies after an update."""
    update = loop.Loop._update

    def cut(self: loop.Loop, *arguments: Any) -> None:
        update(self, *arguments)
        if self.state.update == at:
            raise CutError

    with patch.context() as patched, pytest.raises(CutError):
        patched.setattr(loop.Loop, "_update", cut)
        run(way, toy, out)


def test_a_damaged_newest_checkpoint_costs_updates_and_no_bits(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    way = "adamw, accumulation, sampled subwords, mean of validations"
    run(way, toy, tmp_path / "whole")
    cut_off(way, toy, tmp_path / "cut", 20, monkeypatch)
    newest = max(path for path in (tmp_path / "cut" / "checkpoints").iterdir() if path.is_dir())
    os.truncate(newest / "state.safetensors", 1000)
    run(way, toy, tmp_path / "cut")
    resumed = [
        event for event in read_events(tmp_path / "cut" / "events.jsonl") if event["event"] == "resume"
    ]
    assert [event["update"] for event in resumed] == [12]
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")


@pytest.mark.parametrize("name", ["target.ids", "rows"])
def test_a_damaged_store_of_ids_is_written_anew_and_costs_no_bits(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    way = "muon, exponential average"
    run(way, toy, tmp_path / "whole")
    cut_off(way, toy, tmp_path / "cut", 20, monkeypatch)
    path = tmp_path / "cut" / "batches" / "train" / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2 // 8 * 8] ^= 1
    path.write_bytes(content)
    with copy_talk(tmp_path / "log.txt"):
        run(way, toy, tmp_path / "cut")
    said = (tmp_path / "log.txt").read_text("utf-8")
    assert f"train: the ids are written anew, for the id store is damaged: {name}" in said
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")


SCRIPT = """
    import json, sys, time
    from pathlib import Path
    from mtkit.config.training import TrainSettings
    from mtkit.log import RunContext
    from mtkit.model.folder import ModelCard
    from mtkit.training import loop
    from mtkit.training.train import TrainInputs, train

    toy, out = Path(sys.argv[1]), Path(sys.argv[2])
    settings = TrainSettings.model_validate(json.loads(sys.argv[3]))
    loop.CHECKPOINT_SECONDS = float(sys.argv[4])
    update = loop.Loop._update

    def held(self, *arguments):
        update(self, *arguments)
        if self.state.update == int(sys.argv[5]):
            (out / "held").touch()
            while not (out / "go").exists():
                time.sleep(0.01)

    loop.Loop._update = held

    def card(summary):
        sizes = {"source_size": summary.source_size, "target_size": summary.target_size}
        return ModelCard(
            architecture=settings.model, source_language="x", target_language="y", normalize="nfc", **sizes
        )

    train(settings, TrainInputs(toy / "corpus", toy / "subword", None, card), out,
          RunContext(device="cpu", threads=1, quiet=True))
"""
LONG = TrainSettings.model_validate(
    {
        **COMMON,
        **WAYS["muon, exponential average"],
        "until": {"updates": 150},
        "validate": {"every": "20 updates"},
    }
)
HELD = 13  # the update at which a training waits for its signal


def start(
    toy: Path, out: Path, made: TrainSettings, checkpoint_seconds: float, held: int = 0
) -> "subprocess.Popen[bytes]":
    told = json.dumps(made.model_dump(mode="json", by_alias=True))
    arguments = [str(toy), str(out), told, str(checkpoint_seconds), str(held)]
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(SCRIPT), *arguments], stderr=subprocess.PIPE
    )


def wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    while not is_so():
        assert process.poll() is None, process.communicate()[1].decode()
        time.sleep(0.02)


def finish(toy: Path, out: Path) -> dict[str, str]:
    with start(toy, out, LONG, 60.0) as process:
        _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    return hashes(out)


def test_ctrl_c_stops_at_the_update_in_hand_with_a_checkpoint_and_the_same_call_goes_on(
    toy: Path, tmp_path: Path
) -> None:
    way, out = "muon, exponential average", tmp_path / "out"
    with start(toy, out, settings(way), 1e9, HELD) as process:
        wait_until((out / "held").exists, process)
        process.send_signal(signal.SIGINT)
        (out / "go").touch()
        _, errors = process.communicate()
    assert b"KeyboardInterrupt" in errors
    checkpoint = [event for event in read_events(out / "events.jsonl") if event["event"] == "checkpoint"][-1]
    assert (checkpoint["why"], checkpoint["update"]) == ("interrupted", HELD)
    assert not list(out.rglob("*.new"))
    run(way, toy, out)
    resumed = [event for event in read_events(out / "events.jsonl") if event["event"] == "resume"]
    assert [event["update"] for event in resumed] == [HELD]


def saved(out: Path) -> int:
    """Checkpoints that were written so far."""
    return sum(event["event"] == "checkpoint" for event in read_events(out / "events.jsonl"))


def test_a_second_ctrl_c_saves_nothing(toy: Path, tmp_path: Path) -> None:
    way, out = "muon, exponential average", tmp_path / "out"
    with start(toy, out, settings(way), 1e9, HELD) as process:
        wait_until((out / "held").exists, process)
        while process.poll() is None:  # two signals that wait together are one
            process.send_signal(signal.SIGINT)
            time.sleep(0.2)
        _, errors = process.communicate()
    assert b"KeyboardInterrupt" in errors
    checkpoints = [event for event in read_events(out / "events.jsonl") if event["event"] == "checkpoint"]
    assert "interrupted" not in [event["why"] for event in checkpoints]


@pytest.mark.slow
def test_kill_9_at_any_moment_leaves_a_folder_that_goes_on_to_the_same_bits(
    toy: Path, tmp_path: Path
) -> None:
    expected = finish(toy, tmp_path / "whole")
    out = tmp_path / "out"
    for checkpoints in (3, 10, 21):
        wanted = saved(out) + checkpoints
        # a checkpoint after every update: often killed while writing one
        with start(toy, out, LONG, 0.0) as process:
            wait_until(lambda: saved(out) >= wanted, process)  # noqa: B023  waited for here
            process.kill()
    assert finish(toy, out) == expected
