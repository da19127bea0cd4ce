"""Two processes and one: the same bits, or, with weights shared out, the same to rounding. What happens when
one of them is lost.
"""

import hashlib
import json
import math
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mtkit.config.training import TrainSettings
from mtkit.errors import RunError
from mtkit.files import read_json
from mtkit.log import RunContext, read_events
from mtkit.model.folder import ModelCard
from mtkit.pipeline.launcher import INTERRUPTED, Launcher
from mtkit.training.loss import LossSums
from mtkit.training.place import ANSWER_SECONDS
from mtkit.training.stretch import Stretch
from mtkit.training.trace import read_trace
from mtkit.training.train import TrainInputs, TrainSummary, Validation, train
from mtkit.training.update import Updater

# Trains one job after the other, with one meeting for all: loading torch is what takes the time.
SCRIPT = """
    import json, os, signal, sys, time, weakref
    from pathlib import Path
    import torch
    from mtkit.config.training import TrainSettings
    from mtkit.log import RunContext
    from mtkit.model import layers
    from mtkit.model.folder import ModelCard
    from mtkit.pipeline.together import together
    from mtkit.training import loop, reduction, sharding, update
    from mtkit.training.place import read_place
    from mtkit.training.processes import processes_of
    from mtkit.training.stretch import Stretch
    from mtkit.training.train import TrainInputs, Validation, train

    toy, folder = Path(sys.argv[1]), Path(sys.argv[2])
    reduction.BUCKET_ELEMENTS = 1000  # several buckets, which leave one by one
    alive, held = [], []

    begin = sharding.Sharded.__init__

    def noted(self, *arguments):
        begin(self, *arguments)
        held.append(self)

    sharding.Sharded.__init__ = noted

    def watched(make, which):
        # of the tensors that are whole, none but the last is there when the next comes
        def watch(*arguments):
            made = make(*arguments)
            tensor = made if which is None else arguments[which]
            alive[:] = [other for other in alive if other() is not None]
            assert len(alive) < 2, [other().shape for other in alive]
            if tensor.dim():
                alive.append(weakref.ref(tensor))
            return made
        return watch

    class Full(torch.autograd.Function):
        @staticmethod
        def forward(ctx, states):
            return states.clone()

        @staticmethod
        def backward(ctx, gradient):
            raise torch.OutOfMemoryError("made up, backward")

    def limited(layer, most, when):
        # a machine whose memory holds the pass of so many pairs
        forward = layer.forward
        def limit(self, states, *others):
            if self.training == (when == "validation") or len(states) <= most:
                return forward(self, states, *others)
            if when != "backward":
                raise torch.OutOfMemoryError("made up, forward")
            return Full.apply(forward(self, states, *others))
        layer.forward = limit
        return lambda: setattr(layer, "forward", forward)

    make = loop.Loop._update

    def dying(self, *arguments):
        # rank 1 is killed as by the system, once, when there is something to go on from
        make(self, *arguments)
        once = folder / "killed"
        if (rank, self.state.update) == (1, job["killed_at"]) and not once.exists():
            while not list(out.glob("checkpoints/0*/checkpoint.json")):
                time.sleep(0.01)
            once.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    loop.Loop._update = dying
    computed, poisonings = update.Updater.gradients, []

    def poisoned(self, batches, number):
        # what all have added up is no number, once
        sums = computed(self, batches, number)
        if number == job["poisoned_at"] and name not in poisonings:
            poisonings.append(name)
            next(self.model.parameters()).grad[5, 3] = float("nan")
        return sums

    update.Updater.gradients = poisoned

    with together(read_place(), RunContext(device="cpu", threads=1, quiet=True)) as run:
        group = processes_of(run)
        rank = group.share.rank
        (folder / f"{rank}.pid").write_text(str(os.getpid()))

        def validate(model, workers):
            weight = sum(float(one.double().sum()) for one in model.parameters())
            found = group.in_order([[line, weight] for line in group.mine(range(7))])
            assert found == [[line, weight] for line in range(7)], found
            return Validation({"chrf": group.told(lambda: weight)}, [("a", "b", "c")])

        for name, job in json.loads((folder / "jobs.json").read_text()).items():
            settings = TrainSettings.model_validate(job["settings"])

            def card(summary):
                sizes = {"source_size": summary.source_size, "target_size": summary.target_size}
                return ModelCard(
                    architecture=settings.model, source_language="x", target_language="y", normalize="nfc",
                    **sizes,
                )

            out, whole, part = folder / name, loop.whole, sharding.Sharded.part
            if settings.shard:
                loop.whole, sharding.Sharded.part = watched(whole, None), watched(part, 2)
            undo = [
                limited(getattr(layers, layer), most, when)
                for at, layer, most, when in job["limits"] if at == rank
            ]
            stretch = Stretch(job["stretch"], 100, out / "trace.jsonl") if job["stretch"] else None
            train(settings, TrainInputs(toy / "corpus", toy / "subword", validate, card), out, run, stretch)
            loop.whole, sharding.Sharded.part = whole, part
            for one in held:  # what validations gathered
                assert sum(weight.numel() for weight in one._whole[0].parameters()) == 0
            held.clear()
            for back in undo:
                back()
"""
FIRST_VALIDATION = 6
COMMON: dict[str, Any] = {
    "batch_tokens": 128,
    "max_tokens": 16,
    "until": {"updates": 22},
    "accumulate": 2,
    "validate": {"every": f"{FIRST_VALIDATION} updates", "by": "chrf"},
    "schedule": {"kind": "inverse_sqrt", "warmup_updates": 5},
    "model": {"dim": 16, "ffn_dim": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.2},
}
ADAMW: dict[str, Any] = {"keep": {"average": 3}}
MUON: dict[str, Any] = {"optimizer": {"kind": "muon"}, "ema_decay": 0.9, "loss": {"l1": 1e-4}}
SHARD: dict[str, Any] = {"shard": True}
# updates of few pairs, some of one, so that rank 1 has none
FEW: dict[str, Any] = {"batch_tokens": 20, "max_tokens": 10, "until": {"updates": 4000}}
LONG = {"until": {"updates": 4000}, "validate": {"every": "20 updates"}}
KILLED_AT = FIRST_VALIDATION + 2
BACK: dict[str, Any] = {"on_divergence": {"kind": "roll_back", "rate_factor": 0.5}}
POISONED_AT, ANCHOR = 15, 2 * FIRST_VALIDATION
HALF = 9  # updates of a training that is to be gone on with

Watch = Callable[[], None]


def settings_of(*changes: dict[str, Any]) -> TrainSettings:
    return TrainSettings.model_validate(
        {name: value for d in (COMMON, *changes) for name, value in d.items()}
    )


def job(
    *changes: dict[str, Any],
    stretch: int = 0,
    limits: tuple[Any, ...] = (),
    killed_at: int = 0,
    poisoned_at: int = 0,
) -> dict[str, Any]:
    """What the processes train.

    Args:
        stretch: how many updates of it; 0: all.
        limits: (rank, layer, pairs that its memory holds, `forward`, `backward` or `validation`).
        killed_at: the update behind which rank 1 is killed for once; 0: never.
        poisoned_at: the update whose gradient is no number for once; 0: none.
    """
    settings = settings_of(*changes).model_dump(mode="json", by_alias=True, exclude_unset=True)
    when = {"killed_at": killed_at, "poisoned_at": poisoned_at}
    return {"settings": settings, "stretch": stretch, "limits": limits, **when}


def launcher(toy: Path, folder: Path, count: int, **jobs: dict[str, Any]) -> Launcher:
    folder.mkdir(exist_ok=True)
    (folder / "jobs.json").write_text(json.dumps(jobs))
    return Launcher(count, [sys.executable, "-c", textwrap.dedent(SCRIPT), str(toy), str(folder)])


def here(toy: Path, out: Path, *changes: dict[str, Any], stretch: int = 0) -> None:
    """The same in this process alone."""
    settings = settings_of(*changes)

    def validate(model: Any, _: Any) -> Validation:
        weight = sum(float(one.double().sum()) for one in model.parameters())
        return Validation({"chrf": weight}, [("a", "b", "c")])

    def card(summary: TrainSummary) -> ModelCard:
        return ModelCard(
            architecture=settings.model, source_language="x", target_language="y", normalize="nfc",
            source_size=summary.source_size, target_size=summary.target_size,
        )  # fmt: skip

    watched = Stretch(stretch, 100, out / "trace.jsonl") if stretch else None
    context = RunContext(device="cpu", threads=1, quiet=True)
    train(settings, TrainInputs(toy / "corpus", toy / "subword", validate, card), out, context, watched)


def hashes(out: Path) -> dict[str, str]:
    """Of the final weights, and of everything that training remembers."""
    model = (out / "model" / "model.safetensors").read_bytes()
    return {"model": hashlib.sha256(model).hexdigest(), "state": remembered(out)}


def remembered(out: Path) -> str:
    newest = max(path for path in (out / "checkpoints").iterdir() if path.is_dir())
    return hashlib.sha256((newest / "state.safetensors").read_bytes()).hexdigest()


def events(out: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in read_events(out / "events.jsonl") if event["event"] == kind]


def losses(out: Path) -> dict[int, float]:
    return {event["update"]: event["loss_nats_per_token"] for event in events(out, "validation")}


def assert_alike(out: Path, other: Path) -> None:
    """The same numbers to rounding: losses of the validations, and final weights."""
    assert losses(out) == pytest.approx(losses(other), abs=1e-4)  # measured: equal to 5 digits
    ours, theirs = (load_file(path / "model/model.safetensors") for path in (out, other))
    assert ours.keys() == theirs.keys()
    for name in ours:
        if not name.endswith("key_value.bias"):  # that of keys changes no attention: its gradient is rounding
            # measured 4e-7
            torch.testing.assert_close(ours[name], theirs[name], atol=4e-6, rtol=0, msg=name)


def assert_in_pieces(out: Path) -> None:
    """Both processes computed micro-batches in pieces."""
    found = events(out, "out_of_memory")
    assert {event["rank"] for event in found} == {0, 1}
    assert all(event["pieces"] > 1 for event in found)


@pytest.fixture
def once_it_runs() -> Iterator[Callable[[Path, Watch], None]]:
    """Do something as soon as a training of two has validated for the first time."""
    threads: list[threading.Thread] = []
    is_over = threading.Event()

    def start(out: Path, act: Watch) -> None:
        def watch() -> None:
            while not is_over.wait(0.02):
                if events(out, "validation"):
                    act()
                    return

        threads.append(threading.Thread(target=watch))
        threads[-1].start()

    yield start
    is_over.set()
    for thread in threads:
        thread.join()


def pid(folder: Path, rank: int) -> int:
    return int((folder / f"{rank}.pid").read_text())


def poison(patch: pytest.MonkeyPatch) -> None:
    """Let a gradient here be no number, for once."""
    computed, poisonings = Updater.gradients, list[int]()

    def poisoned(self: Updater, batches: Any, number: int) -> LossSums:
        sums = computed(self, batches, number)
        if number == POISONED_AT and not poisonings:
            poisonings.append(number)
            parameter = next(self.model.parameters())
            assert parameter.grad is not None
            parameter.grad[5, 3] = math.nan
        return sums

    patch.setattr(Updater, "gradients", poisoned)


@pytest.fixture(scope="module")
def one(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one process makes of it."""
    folder = tmp_path_factory.mktemp("one")
    for name, changes in {"adamw": ADAMW, "muon": MUON}.items():
        here(toy, folder / name, changes)
    here(toy, folder / "few", FEW, stretch=70)
    with pytest.MonkeyPatch.context() as patch:
        poison(patch)
        here(toy, folder / "back", ADAMW, BACK)
    return folder


@pytest.fixture(scope="module")
def two(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What two processes make of it, whole and shared out; `half` is but begun, `rest` was begun by one."""
    folder = tmp_path_factory.mktemp("two")
    here(toy, folder / "rest", MUON, stretch=HALF)
    limits = ((0, "EncoderLayer", 7, "backward"), (1, "DecoderLayer", 6, "forward"))
    tight = ((1, "DecoderLayer", 4, "forward"), *((rank, "EncoderLayer", 3, "validation") for rank in (0, 1)))
    jobs = {
        "adamw": job(ADAMW),
        "muon": job(MUON),
        "back": job(ADAMW, BACK, poisoned_at=POISONED_AT),
        "few": job(FEW, stretch=70, limits=((1, "EncoderLayer", 1, "validation"),)),
        "pieces": job(MUON, limits=limits),
        "tight": job(ADAMW, limits=tight),
        "half": job(MUON, SHARD, stretch=HALF, limits=limits),
        "rest": job(MUON, SHARD),
    }
    assert launcher(toy, folder, 2, **jobs).wait() == 0
    return folder


@pytest.mark.parametrize("way", ["adamw", "muon"])
def test_two_processes_are_one_with_accumulation_bit_for_bit(way: str, one: Path, two: Path) -> None:
    assert hashes(one / way) == hashes(two / way)
    for first, second in zip(events(one / way, "validation"), events(two / way, "validation"), strict=True):
        assert first["loss_nats_per_token"] == second["loss_nats_per_token"]
        assert first["chrf"] == second["chrf"]


def test_two_processes_that_diverge_go_back_together_and_are_one_bit_for_bit(one: Path, two: Path) -> None:
    for folder in (one, two):
        assert [event["to"] for event in events(folder / "back", "roll_back")] == [ANCHOR]
    assert hashes(one / "back") == hashes(two / "back")
    assert hashes(one / "back") != hashes(one / "adamw")


@pytest.mark.slow
def test_shared_out_weights_and_their_average_learn_as_whole_ones_do(
    toy: Path, one: Path, tmp_path: Path
) -> None:
    jobs = {"adamw": job(ADAMW, SHARD), "muon": job(MUON, SHARD)}
    assert launcher(toy, tmp_path, 2, **jobs).wait() == 0
    for name in jobs:
        assert_alike(tmp_path / name, one / name)


def test_processes_of_which_some_have_no_micro_batch_are_one_bit_for_bit(one: Path, two: Path) -> None:
    pairs = [len(note["rows"]) for note in read_trace(one / "few/trace.jsonl")]
    assert pairs.count(1) > 1
    assert remembered(one / "few") == remembered(two / "few")


def test_processes_learn_the_same_where_micro_batches_are_computed_in_pieces(one: Path, two: Path) -> None:
    assert_in_pieces(two / "pieces")
    assert_alike(two / "pieces", one / "muon")


def test_memory_that_runs_out_in_one_process_is_recorded_and_changes_nothing_but_rounding(two: Path) -> None:
    found = events(two / "tight", "out_of_memory")
    assert {(event["rank"], event["update"]) for event in found if event["task"] == "update"} == {
        (1, update) for update in range(1, 23)
    }
    assert {event["update"] for event in found if event["task"] == "validation"} == {6, 12, 18, 22}
    summaries = [read_json(two / name / "train.json") for name in ("tight", "adamw")]
    assert [summary["in_pieces"] for summary in summaries] == [len(found), 0]
    # rounding alone differs, which Adam makes larger: 1e-5 nats when this was written
    assert losses(two / "tight") == pytest.approx(losses(two / "adamw"), abs=1e-3)


def test_memory_that_runs_out_in_the_validation_of_another_than_the_first_is_recorded(
    one: Path, two: Path
) -> None:
    found = events(two / "few", "out_of_memory")
    assert {(event["task"], event["rank"], event["update"]) for event in found} == {
        ("validation", 1, update) for update in range(FIRST_VALIDATION, 70, FIRST_VALIDATION)
    }
    assert all(event["pairs"] > 1 and event["pieces"] > 1 for event in found)
    assert losses(two / "few") == pytest.approx(losses(one / "few"), abs=1e-5)


def test_what_two_with_shared_out_weights_began_in_pieces_is_gone_on_with_by_one(
    toy: Path, one: Path, two: Path
) -> None:
    here(toy, two / "half", MUON)
    assert_in_pieces(two / "half")
    assert [event["update"] for event in events(two / "half", "resume")] == [HALF]
    assert_alike(two / "half", one / "muon")


def test_what_one_began_is_gone_on_with_by_two_with_shared_out_weights(one: Path, two: Path) -> None:
    assert [event["update"] for event in events(two / "rest", "resume")] == [HALF]
    assert_alike(two / "rest", one / "muon")


@pytest.mark.slow
def test_three_with_shared_out_weights_go_on_from_two_and_two_from_three(
    toy: Path, one: Path, tmp_path: Path
) -> None:
    six = {"accumulate": 6}
    here(toy, tmp_path / "one", MUON, six)
    assert launcher(toy, tmp_path, 2, rest=job(MUON, six, SHARD, stretch=HALF)).wait() == 0
    three = {"rest": job(MUON, six, SHARD), "half": job(MUON, six, SHARD, stretch=HALF)}
    assert launcher(toy, tmp_path, 3, **three).wait() == 0
    assert launcher(toy, tmp_path, 2, half=job(MUON, six, SHARD)).wait() == 0
    for name in ("rest", "half"):
        assert [event["update"] for event in events(tmp_path / name, "resume")] == [HALF]
        assert_alike(tmp_path / name, tmp_path / "one")


def test_a_killed_process_stops_all_with_one_message_and_one_alone_goes_on(
    toy: Path, one: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The other one finds out by itself, in 0.3 s when this was written: the launcher need not end it."""
    monkeypatch.setattr("mtkit.pipeline.launcher.GRACE_SECONDS", 300.0)
    with pytest.raises(RunError) as caught:
        launcher(toy, tmp_path, 2, cut=job(ADAMW, killed_at=KILLED_AT)).wait()
    assert caught.value.found == "rank 1 was ended by SIGKILL; the others were stopped"
    assert capfd.readouterr().err == ""
    here(toy, tmp_path / "cut", ADAMW)
    assert [event["update"] for event in events(tmp_path / "cut", "resume")] == [FIRST_VALIDATION]
    assert hashes(tmp_path / "cut") == hashes(one / "adamw")


def test_torchrun_restarts_after_a_kill_and_ends_with_the_weights_of_an_undisturbed_training(
    toy: Path, one: Path, tmp_path: Path
) -> None:
    (tmp_path / "jobs.json").write_text(json.dumps({"cut": job(ADAMW, killed_at=KILLED_AT)}))
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [
        *torchrun,
        "--max-restarts",
        "1",
        "--monitor-interval",
        "0.1",
        str(script),
        str(toy),
        str(tmp_path),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [event["update"] for event in events(tmp_path / "cut", "resume")] == [FIRST_VALIDATION]
    assert hashes(tmp_path / "cut") == hashes(one / "adamw")


def test_ctrl_c_stops_all_at_one_update_with_a_checkpoint(
    toy: Path, tmp_path: Path, once_it_runs: Callable[[Path, Watch], None]
) -> None:
    once_it_runs(tmp_path / "cut", lambda: os.kill(os.getpid(), signal.SIGINT))
    assert launcher(toy, tmp_path, 2, cut=job(LONG)).wait() == INTERRUPTED
    assert events(tmp_path / "cut", "checkpoint")[-1]["why"] == "interrupted"
    assert not list(tmp_path.rglob("*.new"))


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
    once_it_runs(tmp_path / "cut", lambda: os.kill(pid(tmp_path, 1), signal.SIGSTOP))
    with pytest.raises(RunError, match="rank 1 stood still, and was ended with the others") as caught:
        launcher(toy, tmp_path, 2, cut=job(LONG)).wait()
    assert caught.value.where == f"process {pid(tmp_path, 1)}"
