"""A training that diverges goes back, learns more slowly, and does so in the same way however it is cut."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.config.training import TrainSettings
from mtkit.errors import RunError
from mtkit.log import RunContext, read_events
from mtkit.model.folder import ModelCard
from mtkit.training import guard, loop
from mtkit.training.loss import LossSums
from mtkit.training.train import TrainInputs, TrainSummary, train
from mtkit.training.update import Updater

BASE: dict[str, Any] = {
    "batch_tokens": 128,
    "max_tokens": 16,
    "until": {"updates": 22},
    "validate": {"every": "6 updates"},
    "ema_decay": 0.9,
    "schedule": {"kind": "warmup_stable_decay", "warmup_updates": 5},
    "model": {"dim": 16, "ffn_dim": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1, "dropout": 0.2},
    "on_divergence": {"kind": "roll_back", "rate_factor": 0.5, "times": 2},
}


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings.model_validate({**BASE, **changes})


def card(summary: TrainSummary) -> ModelCard:
    return ModelCard(
        architecture=settings().model,
        source_language="x",
        target_language="y",
        normalize="nfc",
        source_size=summary.source_size,
        target_size=summary.target_size,
    )


def run(toy: Path, out: Path, given: TrainSettings, *, quiet: bool = True) -> None:
    context = RunContext(device="cpu", threads=1, quiet=quiet)
    train(given, TrainInputs(toy / "corpus", toy / "subword", None, card), out, context)


def hashes(out: Path) -> dict[str, str]:
    newest = max(path for path in (out / "checkpoints").iterdir() if path.is_dir())
    files = {"model": out / "model" / "model.safetensors", "state": newest / "state.safetensors"}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def told(out: Path, event: str, key: str) -> list[Any]:
    return [found[key] for found in read_events(out / "events.jsonl") if found["event"] == event]


def poison(patch: pytest.MonkeyPatch, update: int, times: int = 1) -> None:
    """Let one weight's gradient be NaN at an update, the first so many times that it is computed."""
    computed = Updater.gradients
    left = [times]

    def poisoned(self: Updater, batches: Any, number: int) -> LossSums:
        sums = computed(self, batches, number)
        if number == update and left[0]:
            left[0] -= 1
            parameter = next(self.model.parameters())
            assert parameter.grad is not None
            parameter.grad[5, 3] = math.nan
        return sums

    patch.setattr(Updater, "gradients", poisoned)


def test_after_a_bad_gradient_training_goes_back_to_the_last_validation_and_says_so(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    poison(monkeypatch, 16)
    run(toy, tmp_path, settings(), quiet=False)
    assert "update 16: the norm of the gradient is nan; going back to update 12" in capsys.readouterr().err
    summary = json.loads((tmp_path / "train.json").read_text())
    assert summary["roll_backs"] == [{"update": 16, "to": 12, "found": "the norm of the gradient is nan"}]
    assert summary["updates"] == 22
    assert told(tmp_path, "roll_back", "rate") == [0.5]
    # update 20 stands on the schedule's way down; an undisturbed training tells the rate it would have had
    run(toy, tmp_path / "undisturbed", settings())
    whole = told(tmp_path / "undisturbed", "update", "learning_rate")
    assert told(tmp_path, "update", "learning_rate") == [whole[0], pytest.approx(whole[1] / 2, rel=1e-4)]


def test_before_the_first_validation_it_goes_back_to_the_very_beginning(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 3)
    run(toy, tmp_path, settings())
    assert told(tmp_path, "roll_back", "to") == [0]


def test_what_goes_wrong_again_and_again_stops_after_so_many_times(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    poison(monkeypatch, 16, times=99)
    with pytest.raises(RunError, match=r"update 16, lines .* after going back 2 times") as caught:
        run(toy, tmp_path, settings())
    assert "00000012" in caught.value.advice
    assert "roll_back" not in caught.value.advice, "that has been tried"
    assert "of the corpus stage's train.source and train.target" in caught.value.where
    assert told(tmp_path, "roll_back", "rate") == [0.5, 0.25]
    assert told(tmp_path, "divergence", "update") == [16] * 3
    lines, *others = told(tmp_path, "divergence", "lines")
    assert others == [lines] * 2, "the same pairs come again"
    begun, more = (lines[:8], len(lines) - 8)
    shown = ", ".join(map(str, begun)) + (f" and {more} more (events.jsonl has all)" if more > 0 else "")
    assert f"lines {shown} of" in caught.value.where


@pytest.mark.parametrize("cuts", [(14, 15, 16), (12, 13, 17)])
def test_an_interrupted_training_goes_back_as_an_uninterrupted_one_does(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cuts: tuple[int, ...]
) -> None:
    class CutError(Exception):
        pass

    # the fault depends on what was learnt (its rate), not on how often it was tried
    computed = Updater.step

    def step(self: Updater, batches: Any, sums: LossSums, update: int, rate: float) -> Any:
        observed, objective = computed(self, batches, sums, update, rate)
        if update == 16 and rate > 0.5:
            observed = observed._replace(gradient_norm=torch.tensor(math.nan))
        return observed, objective

    monkeypatch.setattr(Updater, "step", step)
    given = settings(schedule={"kind": "inverse_sqrt", "warmup_updates": 15})
    run(toy, tmp_path / "whole", given)
    assert told(tmp_path / "whole", "roll_back", "to") == [12]
    update, left = loop.Loop._update, list(cuts)

    def cut(self: loop.Loop, *arguments: Any) -> None:
        update(self, *arguments)
        if left and self.state.update == left[0]:
            left.pop(0)
            raise CutError

    # checkpoints after every update, also between the anchor and the fault: none of those may be gone back to
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr(loop.Loop, "_update", cut)
    for _ in cuts:
        with pytest.raises(CutError):
            run(toy, tmp_path / "cut", given)
    run(toy, tmp_path / "cut", given)
    assert set(told(tmp_path / "cut", "roll_back", "to")) == {12}
    assert hashes(tmp_path / "cut") == hashes(tmp_path / "whole")


def test_a_rate_at_which_it_diverges_is_lowered_until_it_learns(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard, "PATIENCE_UPDATES", 15)
    wild = settings(
        until={"updates": 120},
        validate={"every": "20 updates"},
        optimizer={"kind": "adamw", "learning_rate": 30.0},
        schedule={"kind": "inverse_sqrt", "warmup_updates": 60},
        on_divergence={"kind": "roll_back", "rate_factor": 0.01, "times": 3},
        clip_norm=None,
    )
    run(toy, tmp_path, wild)
    summary = json.loads((tmp_path / "train.json").read_text())
    assert summary["roll_backs"]
    assert summary["updates"] == 120
    assert summary["final"]["loss_nats_per_token"] < 3.2
    names = sorted(path.stem for path in (tmp_path / "validations").iterdir())
    assert names == [f"{update:08d}" for update in range(20, 121, 20)]
