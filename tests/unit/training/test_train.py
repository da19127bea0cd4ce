import errno
import json
import math
import os
import shutil
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mtkit.batches.batch import Batch
from mtkit.batches.stream import BatchStream
from mtkit.config.model import ModelSettings
from mtkit.config.training import AdamW, InverseSqrt, Keep, Muon, TrainSettings, Until, Validate
from mtkit.errors import DataError, ModelError, RunError
from mtkit.log import EventWriter, RunContext, read_events
from mtkit.model.folder import ModelCard
from mtkit.model.transformer import Transformer
from mtkit.model.weights import load_model
from mtkit.model.workers import Workers
from mtkit.training import feasible, loop, tuning, update, validation
from mtkit.training.checkpoint import Checkpoints
from mtkit.training.display import Display
from mtkit.training.loss import gradients, measure
from mtkit.training.observer import Observer
from mtkit.training.optimizer import Optimizer
from mtkit.training.state import TrainState
from mtkit.training.train import TrainInputs, TrainSummary, Validation, Validator, train
from mtkit.training.tuning import Tuned

MODEL = ModelSettings(dim=16, ffn_dim=32, heads=2, encoder_layers=1, decoder_layers=1, dropout=0.1)
QUIET = RunContext(device="cpu", threads=1, quiet=True)


def settings(**changes: Any) -> TrainSettings:
    """Twelve updates, validated three times."""
    values: dict[str, Any] = {
        "batch_tokens": 128,
        "max_tokens": 16,
        "until": Until(updates=12),
        "validate_": Validate.model_validate({"every": "4 updates"}),
        "schedule": InverseSqrt(warmup_updates=4),
        "optimizer": AdamW(learning_rate=0.01),
        "model": MODEL,
    }
    values.update(changes)
    values["validate"] = values.pop("validate_")
    return TrainSettings(**values)


def card(summary: TrainSummary) -> ModelCard:
    return ModelCard(
        architecture=MODEL,
        source_language="x",
        target_language="y",
        normalize="nfc",
        source_size=summary.source_size,
        target_size=summary.target_size,
        provenance={"final": summary.final},
    )


def inputs(toy: Path, validate: Validator | None = None) -> TrainInputs:
    return TrainInputs(toy / "corpus", toy / "subword", validate, card)


def weights(path: Path) -> dict[str, torch.Tensor]:
    return safetensors.torch.load_file(path)


def test_a_training_leaves_what_the_plan_promises(toy: Path, tmp_path: Path) -> None:
    train(settings(), inputs(toy), tmp_path, QUIET)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"checkpoints", "chosen.json", "events.jsonl", "model", "train.json", "validations"}
    summary = json.loads((tmp_path / "train.json").read_text())
    assert summary["updates"] == 12
    assert summary["stopped_by"] == "updates"
    assert summary["parameters"] == sum(p.numel() for p in load_model(tmp_path / "model").parameters())
    assert 0 <= summary["padding_share"] < 0.2
    assert summary["tokens_per_second"] > 0
    assert summary["chosen"]["accumulate"]["value"] == 1
    kinds = [event["event"] for event in read_events(tmp_path / "events.jsonl")]
    assert kinds[0] == "begin"
    assert kinds[-1] == "end"
    assert kinds.count("validation") == 3
    assert (tmp_path / "validations" / "00000008.json").is_file()
    assert len([path for path in (tmp_path / "checkpoints").iterdir() if path.is_dir()]) == 1


@pytest.mark.parametrize("optimizer", [AdamW(learning_rate=0.01), Muon()], ids=lambda o: o.kind)
def test_the_loss_falls(toy: Path, tmp_path: Path, optimizer: AdamW | Muon) -> None:
    train(settings(optimizer=optimizer, until=Until(updates=40)), inputs(toy), tmp_path, QUIET)
    found = [e for e in read_events(tmp_path / "events.jsonl") if e["event"] == "validation"]
    assert found[-1]["loss_nats_per_token"] < 0.8 * found[0]["loss_nats_per_token"]


def test_events_go_to_the_runs_writer_once_if_it_writes_there(toy: Path, tmp_path: Path) -> None:
    events = EventWriter(tmp_path / "events.jsonl")
    train(settings(), inputs(toy), tmp_path, RunContext(device="cpu", threads=1, quiet=True, events=events))
    events.write("still open")
    events.close()
    kinds = [event["event"] for event in read_events(tmp_path / "events.jsonl")]
    assert kinds.count("end") == 1
    assert kinds[-1] == "still open"


def test_the_best_validation_becomes_the_model_and_patience_ends_training(toy: Path, tmp_path: Path) -> None:
    scores = iter([1.0, 5.0, 3.0, 4.0, 9.0])

    def validate(model: Transformer, _workers: Workers) -> Validation:
        assert not model.training
        assert not torch.is_grad_enabled()
        return Validation({"bleu": next(scores)}, [("a", "b", "c")])

    changed = settings(
        until=Until(updates=100, patience="2 validations"),
        validate_=Validate.model_validate({"every": "2 updates", "by": "bleu"}),
    )
    train(changed, inputs(toy, validate), tmp_path, QUIET)
    summary = json.loads((tmp_path / "train.json").read_text())
    assert summary["stopped_by"] == "patience"
    assert summary["updates"] == 8
    assert summary["best"]["update"] == summary["final"]["update"] == 4
    kept = weights(tmp_path / "checkpoints" / "weights-00000004.safetensors")
    final = weights(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(final[name], value) for name, value in kept.items())
    samples = json.loads((tmp_path / "validations" / "00000002.json").read_text())["samples"]
    assert samples == [["a", "b", "c"]]


def test_the_average_of_the_last_validations_is_the_model_and_is_measured(toy: Path, tmp_path: Path) -> None:
    train(settings(keep=Keep(best=0, average=2)), inputs(toy), tmp_path, QUIET)
    parts = [weights(tmp_path / "checkpoints" / f"weights-{u:08d}.safetensors") for u in (8, 12)]
    final = weights(tmp_path / "model" / "model.safetensors")
    for name, value in final.items():
        torch.testing.assert_close(value, (parts[0][name] + parts[1][name]) / 2)
    summary = json.loads((tmp_path / "train.json").read_text())
    assert summary["final_is"] == "average of the validations at updates 8, 12"
    validations = [e for e in read_events(tmp_path / "events.jsonl") if e["event"] == "validation"]
    assert summary["final"]["loss_nats_per_token"] not in [e["loss_nats_per_token"] for e in validations]


def test_the_exponential_average_is_what_is_validated_and_kept(toy: Path, tmp_path: Path) -> None:
    train(settings(ema_decay=0.9), inputs(toy), tmp_path, QUIET)
    state = weights(next((tmp_path / "checkpoints").glob("00*")) / "state.safetensors")
    final = weights(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(value, state[f"average/{name}"]) for name, value in final.items())
    assert not torch.equal(state["model/target_embedding.weight"], state["average/target_embedding.weight"])


def test_epochs_end_training_and_space_validations(toy: Path, tmp_path: Path) -> None:
    changed = settings(
        until=Until(epochs=2),
        validate_=Validate.model_validate({"every": "1 epochs"}),
        batch_tokens=512,
    )
    train(changed, inputs(toy), tmp_path, QUIET)
    summary = json.loads((tmp_path / "train.json").read_text())
    assert (summary["stopped_by"], summary["epochs"]) == ("epochs", 2)
    begin = read_events(tmp_path / "events.jsonl")[0]
    assert summary["target_tokens"] == 2 * begin["target_tokens_per_epoch"]
    assert len(list((tmp_path / "validations").iterdir())) == 2


@pytest.mark.parametrize(("until", "epochs"), [(Until(epochs=2), 2), (Until(epochs=9, updates=3), None)])
def test_one_sees_how_far_the_end_is_even_if_it_is_told_in_epochs(
    toy: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    until: Until,
    epochs: int | None,
) -> None:
    totals = []

    class Watched(Display):
        def __init__(self, run: RunContext, state: TrainState, total: int | None) -> None:
            totals.append(total)
            super().__init__(run, state, total)

    monkeypatch.setattr(loop, "Display", Watched)
    changed = settings(
        until=until,
        validate_=Validate.model_validate({"every": "1 epochs"}),
        batch_tokens=512,
    )
    train(changed, inputs(toy), tmp_path, QUIET)
    begin = read_events(tmp_path / "events.jsonl")[0]
    assert totals == [epochs * begin["updates_per_epoch"] if epochs else 3]


def test_what_is_left_is_never_less_than_nothing_and_nothing_of_a_training_that_is_over(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class CutError(Exception):
        pass

    left: list[int] = []
    planned, make = BatchStream.batches_per_epoch, loop.Loop._update

    def cut(self: loop.Loop, *arguments: Any) -> None:
        make(self, *arguments)
        if self.state.epoch == 2:  # the last one: the checkpoint is of the one before
            raise CutError

    monkeypatch.setattr(Observer, "begin", lambda _self, updates, _note: left.append(updates))
    # by the first epoch fewer updates are expected than there will be
    monkeypatch.setattr(BatchStream, "batches_per_epoch", lambda self, epoch: planned(self, epoch) - 1)
    changed = settings(until=Until(epochs=2), schedule=InverseSqrt(warmup_updates=1))
    with monkeypatch.context() as patch, pytest.raises(CutError):
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(loop.Loop, "_update", cut)
        train(changed, inputs(toy), tmp_path, QUIET)
    for _ in range(2):
        train(changed, inputs(toy), tmp_path, QUIET)
    assert left[0] > 0
    assert left[1:] == [0, 0]


def test_training_ends_with_a_validation_even_between_two(toy: Path, tmp_path: Path) -> None:
    train(settings(until=Until(updates=6)), inputs(toy), tmp_path, QUIET)
    assert sorted(path.stem for path in (tmp_path / "validations").iterdir()) == ["00000004", "00000006"]


def test_a_validator_is_not_asked_when_nothing_needs_it(toy: Path, tmp_path: Path) -> None:
    def validate(model: Transformer, _workers: Workers) -> Validation:
        pytest.fail("nobody wanted translations")

    changed = settings(validate_=Validate.model_validate({"every": "6 updates", "samples": 0}))
    train(changed, inputs(toy, validate), tmp_path, QUIET)
    assert (tmp_path / "model" / "model.json").is_file()


def test_a_rate_that_explodes_stops_with_the_lines_it_happened_at(toy: Path, tmp_path: Path) -> None:
    wild = settings(
        optimizer=AdamW(learning_rate=1e30), schedule=InverseSqrt(warmup_updates=1), clip_norm=None
    )
    with pytest.raises(RunError, match=r"update \d+, lines \d+") as caught:
        train(wild, inputs(toy), tmp_path, QUIET)
    assert "optimizer.learning_rate" in caught.value.advice
    assert not (tmp_path / "model").exists()


def test_other_settings_in_the_same_folder_are_refused(toy: Path, tmp_path: Path) -> None:
    train(settings(until=Until(updates=5)), inputs(toy), tmp_path, QUIET)
    with pytest.raises(ModelError, match=r"settings\.loss\.label_smoothing was 0\.1 and is 0\.2"):
        changed = settings(until=Until(updates=5)).model_dump(by_alias=True)
        changed["loss"]["label_smoothing"] = 0.2
        train(TrainSettings(**changed), inputs(toy), tmp_path, QUIET)


def test_checkpoints_of_another_model_size_are_refused(toy: Path, tmp_path: Path) -> None:
    train(settings(until=Until(updates=5)), inputs(toy), tmp_path, QUIET)
    wider = settings(until=Until(updates=5), model=MODEL.model_copy(update={"dim": 32}))
    with pytest.raises(
        ModelError, match=r"another training: settings\.model\.dim was 16 and is 32"
    ) as caught:
        train(wider, inputs(toy), tmp_path, QUIET)
    assert caught.value.where == str(tmp_path / "checkpoints" / "00000005")
    assert caught.value.expected
    assert caught.value.advice


def test_checkpoints_of_another_corpus_are_refused(toy: Path, tmp_path: Path) -> None:
    train(settings(until=Until(updates=5)), inputs(toy), tmp_path / "out", QUIET)
    shutil.copytree(toy / "corpus", tmp_path / "corpus")
    for side in ("source", "target"):
        path = tmp_path / f"corpus/train.{side}"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    other = TrainInputs(tmp_path / "corpus", toy / "subword", None, card)
    shutil.rmtree(tmp_path / "out" / "batches", ignore_errors=True)
    with pytest.raises(ModelError, match=r"another training: train\.pairs was \d+ and is \d+"):
        train(settings(until=Until(updates=5)), other, tmp_path / "out", QUIET)


def test_a_training_that_began_in_a_precision_that_this_machine_lacks_does_not_go_on_in_silence(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (feasible, tuning):
        monkeypatch.setattr(module, "has_bfloat16", lambda _device: False)
    train(settings(precision="auto", until=Until(updates=5)), inputs(toy), tmp_path, QUIET)
    record = tmp_path / "chosen.json"
    record.write_text(record.read_text().replace('"float32"', '"bfloat16"'))  # another machine's choice
    with pytest.raises(RunError, match="as was chosen when it began") as caught:
        train(settings(precision="auto", until=Until(updates=5)), inputs(toy), tmp_path, QUIET)
    assert caught.value.where == str(record)


def test_a_second_training_in_the_same_folder_is_refused(toy: Path, tmp_path: Path) -> None:
    def second(model: Transformer, workers: Workers) -> Validation:
        with pytest.raises(RunError, match="another training is writing to this folder"):
            train(settings(), inputs(toy), tmp_path, QUIET)
        return Validation()

    train(settings(), inputs(toy, second), tmp_path, QUIET)
    assert (tmp_path / "model").exists()


@pytest.mark.parametrize("update", [4, 5])
def test_a_disk_that_fills_up_stops_training_and_the_same_call_goes_on(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: int
) -> None:
    """While a validation's checkpoint is written, or one in between."""
    save, fsync = Checkpoints.save, os.fsync

    def full(handle: int) -> None:
        if threading.current_thread() is not threading.main_thread():
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(handle)

    def saving(self: Checkpoints, state: TrainState, *tensors: Any) -> Path:
        patch.setattr(os, "fsync", full if state.update >= update else fsync)
        return save(self, state, *tensors)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
        patch.setattr(Checkpoints, "save", saving)
        with pytest.raises(RunError, match="no space left") as caught:
            train(settings(), inputs(toy), tmp_path, QUIET)
    assert (
        f"The last good checkpoint is {tmp_path / 'checkpoints' / f'{update - 1:08d}'}" in caught.value.advice
    )
    assert not list(tmp_path.rglob("*.new"))
    train(settings(), inputs(toy), tmp_path, QUIET)
    assert [e["update"] for e in read_events(tmp_path / "events.jsonl") if e["event"] == "resume"] == [
        update - 1
    ]


def test_a_signal_while_the_last_checkpoint_is_written_stops_what_would_follow(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(settings(), inputs(toy), tmp_path / "whole", QUIET)
    save = Checkpoints.save
    sent: list[int] = []

    def signalled(self: Checkpoints, state: TrainState, *tensors: Any) -> Path:
        if state.stopped_by and not sent:
            sent.append(state.update)
            os.kill(os.getpid(), signal.SIGINT)
        return save(self, state, *tensors)

    monkeypatch.setattr(Checkpoints, "save", signalled)
    with pytest.raises(KeyboardInterrupt):
        train(settings(), inputs(toy), tmp_path / "cut", QUIET)
    assert sent == [12]
    assert not (tmp_path / "cut" / "model").exists()
    train(settings(), inputs(toy), tmp_path / "cut", QUIET)
    one, other = (weights(tmp_path / name / "model/model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_finishing_again_makes_the_same_model_without_training(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(settings(), inputs(toy), tmp_path, QUIET)
    before = (tmp_path / "model" / "model.safetensors").read_bytes()
    monkeypatch.setattr(loop.Loop, "_update", lambda *_: pytest.fail("an update was made"))
    train(settings(), inputs(toy), tmp_path, QUIET)
    assert (tmp_path / "model" / "model.safetensors").read_bytes() == before


def test_damaged_weights_of_a_validation_are_left_out_of_the_model_and_told_of(
    toy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train(settings(keep=Keep(average=3)), inputs(toy), tmp_path, QUIET)
    (tmp_path / "checkpoints" / "weights-00000008.safetensors").write_bytes(b"")
    train(settings(keep=Keep(average=3)), inputs(toy), tmp_path, RunContext(device="cpu", threads=1))
    assert "weights-00000008.safetensors" in capsys.readouterr().err
    summary = json.loads((tmp_path / "train.json").read_text())
    assert summary["final_is"] == "average of the validations at updates 4, 12"


def test_an_average_is_measured_by_workers_that_are_still_there(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tuned = Tuned(workers=2, torch_threads=1, precision="float32", reason="a test's")
    monkeypatch.setattr("mtkit.training.train.tune", lambda *_, **__: tuned)
    averaged = settings(keep=Keep(average=3), accumulate=2)
    train(averaged, inputs(toy), tmp_path, RunContext(device="cpu", threads=2, quiet=True))
    assert next(e["workers"] for e in read_events(tmp_path / "events.jsonl") if "workers" in e) == 2
    summary = json.loads((tmp_path / "train.json").read_text())
    assert summary["final_is"].startswith("average of the validations")


def test_an_empty_validation_set_is_an_error_that_names_the_file(toy: Path, tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for path in (toy / "corpus").iterdir():
        (corpus / path.name).write_bytes(b"" if path.name.startswith("valid") else path.read_bytes())
    with pytest.raises(DataError, match=r"valid\.source"):
        train(settings(), TrainInputs(corpus, toy / "subword", None, card), tmp_path / "out", QUIET)


def test_a_first_loss_is_about_that_of_guessing(toy: Path, tmp_path: Path) -> None:
    train(settings(until=Until(updates=5)), inputs(toy), tmp_path, QUIET)
    first = next(e for e in read_events(tmp_path / "events.jsonl") if e["event"] == "update")
    vocabulary = json.loads((tmp_path / "train.json").read_text())["target_size"]
    assert first["loss_nats_per_token"] == pytest.approx(math.log(vocabulary), abs=1.5)


def test_a_finished_training_that_is_called_again_gives_the_same_model(toy: Path, tmp_path: Path) -> None:
    train(settings(), inputs(toy), tmp_path, QUIET)
    before = weights(tmp_path / "model" / "model.safetensors")
    train(settings(), inputs(toy), tmp_path, QUIET)
    after = weights(tmp_path / "model" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    events = read_events(tmp_path / "events.jsonl")
    updates = [event["update"] for event in events if event["event"] in ("update", "validation")]
    assert updates == sorted(updates)
    assert not (tmp_path / "batches").exists()


def test_running_out_of_memory_is_told_once_counted_and_changes_nothing_but_rounding(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    talking = RunContext(device="cpu", threads=1)
    train(settings(), inputs(toy), tmp_path / "whole", talking)
    capsys.readouterr()

    def limited(model: Transformer, batch: Batch, tokens: int, smoothing: float) -> Any:
        if len(batch) > 12:
            raise torch.OutOfMemoryError("made up")
        return gradients(model, batch, tokens, smoothing)

    monkeypatch.setattr(update, "gradients", limited)
    train(settings(), inputs(toy), tmp_path / "pieces", talking)
    assert capsys.readouterr().err.count("out of memory at update") == 1
    summary = json.loads((tmp_path / "pieces" / "train.json").read_text())
    events = [e for e in read_events(tmp_path / "pieces" / "events.jsonl") if e["event"] == "out_of_memory"]
    assert summary["in_pieces"] == len(events) > 2
    assert all(event["pairs"] > 12 and event["pieces"] > 1 for event in events)
    whole = json.loads((tmp_path / "whole" / "train.json").read_text())
    assert whole["in_pieces"] == 0
    # rounding alone differs, which Adam makes larger: 2e-5 nats when this was written
    assert summary["final"]["loss_nats_per_token"] == pytest.approx(
        whole["final"]["loss_nats_per_token"], abs=1e-3
    )


def test_a_validation_that_does_not_fit_is_made_in_pieces_and_recorded(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(settings(), inputs(toy), tmp_path / "whole", QUIET)

    def limited(model: Transformer, batch: Batch) -> Any:
        if len(batch) > 12:
            raise torch.OutOfMemoryError("made up")
        return measure(model, batch)

    monkeypatch.setattr(validation, "measure", limited)
    train(settings(), inputs(toy), tmp_path / "pieces", QUIET)
    events = [e for e in read_events(tmp_path / "pieces" / "events.jsonl") if e["event"] == "out_of_memory"]
    summary = json.loads((tmp_path / "pieces" / "train.json").read_text())
    assert {(event["task"], event["update"]) for event in events} == {("validation", n) for n in (4, 8, 12)}
    assert summary["in_pieces"] == len(events)
    whole = json.loads((tmp_path / "whole" / "train.json").read_text())
    assert summary["final"]["loss_nats_per_token"] == pytest.approx(whole["final"]["loss_nats_per_token"])


def test_a_step_that_does_not_fit_is_told_and_the_last_checkpoint_is_that_before_it(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train(settings(), inputs(toy), tmp_path / "whole", QUIET)
    step = Optimizer.step

    def full(optimizer: Optimizer, rate: float, number: int) -> None:
        if number == 7:
            next(iter(optimizer._named.values())).data.zero_()  # it was half done
            raise torch.OutOfMemoryError("made up")
        step(optimizer, rate, number)

    with monkeypatch.context() as patch:
        patch.setattr(Optimizer, "step", full)
        with pytest.raises(RunError, match="what AdamW remembers") as caught:
            train(settings(), inputs(toy), tmp_path / "cut", QUIET)
    assert caught.value.where == "update 7, the optimiser's step on cpu"
    assert str(tmp_path / "cut/checkpoints/00000004") in caught.value.advice
    train(settings(), inputs(toy), tmp_path / "cut", QUIET)
    one, other = (weights(tmp_path / name / "model/model.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_memory_that_runs_out_anywhere_else_is_told_too(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    monkeypatch.setattr(update.Updater, "gradients", full)
    with pytest.raises(RunError, match=r"the memory is full: 2\.00 GiB more were asked for"):
        train(settings(), inputs(toy), tmp_path, QUIET)
