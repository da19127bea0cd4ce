from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mtkit.config.training import TrainSettings
from mtkit.errors import RecipeError, RunError
from mtkit.training import feasible
from mtkit.training.feasible import check_parts, check_precision, check_warm_up


def settings(**changes: Any) -> TrainSettings:
    return TrainSettings.model_validate({"until": {"epochs": 2}, **changes})


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """Stands in for a GPU that may compute in bfloat16, or emulate it, as torch offers."""
    gpu = SimpleNamespace(has_bfloat16=False)

    def supported(including_emulation: bool = True) -> bool:
        return gpu.has_bfloat16 or including_emulation

    monkeypatch.setattr(torch.cuda, "device", lambda _device: memoryview(b""))  # enters and leaves
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", supported)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "Old Card")
    return gpu


def test_a_gpu_that_only_emulates_bfloat16_is_told_of(gpu: SimpleNamespace) -> None:
    with pytest.raises(RunError, match=r"bfloat16.*Old Card") as caught:
        check_precision("bfloat16", torch.device("cuda", 1))
    assert caught.value.where == "cuda:1"
    assert "float32" in caught.value.expected
    assert "stages.train.precision: auto" in caught.value.advice
    gpu.has_bfloat16 = True
    check_precision("bfloat16", torch.device("cuda", 1))


def test_a_cpu_that_only_emulates_bfloat16_is_told_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feasible, "cpu_name", lambda: "Old CPU")
    monkeypatch.setattr(feasible, "has_bfloat16", lambda _device: False)
    with pytest.raises(RunError, match=r"bfloat16.*this CPU \(Old CPU\)") as caught:
        check_precision("bfloat16", torch.device("cpu"))
    assert caught.value.where == "cpu"
    assert "AVX512-BF16" in caught.value.expected
    monkeypatch.setattr(feasible, "has_bfloat16", lambda _device: True)
    check_precision("bfloat16", torch.device("cpu"))


def test_what_was_chosen_elsewhere_is_told_with_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feasible, "cpu_name", lambda: "Old CPU")
    monkeypatch.setattr(feasible, "has_bfloat16", lambda _device: False)
    record = Path("runs/store/train.partial/chosen.json")
    with pytest.raises(RunError, match=r"as was chosen when it began, and this CPU \(Old CPU\)") as caught:
        check_precision("bfloat16", torch.device("cpu"), record)
    assert caught.value.where == str(record)
    assert "precision: auto" not in caught.value.advice, "that is what the recipe has"
    check_precision("float32", torch.device("cpu"), record)


@pytest.mark.parametrize(("precision", "device"), [("float32", "cuda"), ("auto", "cuda"), ("float32", "cpu")])
def test_what_every_device_can_do_is_not_asked_about(
    precision: str, device: str, gpu: SimpleNamespace
) -> None:
    assert not gpu.has_bfloat16
    check_precision(precision, torch.device(device))


def test_there_may_be_a_micro_batch_for_each_pair_and_no_more() -> None:
    check_parts(settings(accumulate=7), 7)
    check_parts(settings(accumulate="auto"), 1)
    with pytest.raises(RecipeError, match="8 micro-batches: the corpus has 7 training pairs") as caught:
        check_parts(settings(accumulate=8), 7)
    assert caught.value.where == "stages.train.accumulate"


def test_warm_up_ends_before_the_last_epoch_does() -> None:
    warm_up = {"kind": "inverse_sqrt", "warmup_updates": 20}
    check_warm_up(settings(schedule=warm_up), 11)
    check_warm_up(settings(schedule=warm_up, until={"updates": 30}), 1)
    with pytest.raises(RecipeError, match=r"2 epochs, which are 20 updates.*warm-up does \(20\)") as caught:
        check_warm_up(settings(schedule=warm_up), 10)
    assert "warmup_updates: 2`" in caught.value.advice
    with pytest.raises(RecipeError) as caught:
        check_warm_up(settings(schedule=warm_up, until={"epochs": 1}), 1)
    assert caught.value.advice.startswith("Raise `stages.train.until.epochs`")
