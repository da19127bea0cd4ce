from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.batches.batch import Batch
from mtkit.config.training import TrainSettings
from mtkit.errors import RunError
from mtkit.model.transformer import Transformer
from mtkit.training import trial, tuning
from mtkit.training.trial import Way, Workload, workload
from mtkit.training.tuning import Tuned, keep_threads, tune

Seconds = Callable[[Way], float]


def work(model: Transformer, micro_batches: int = 2, precision: str = "float32") -> Workload:
    return Workload(model, 60, (7, 9), micro_batches, precision)


@pytest.fixture(autouse=True)
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Way]]:
    """Makes a machine on which a task of each way takes so many seconds, and notes what is measured."""

    def made(seconds: Seconds, *, share: float = 1.0, bfloat16: bool = True) -> list[Way]:
        asked: list[Way] = []

        def once(_: object, way: Way) -> tuple[float, list[float]]:
            asked.append(way)
            return seconds(way), [share] * way.workers

        monkeypatch.setattr(trial.Trial, "_once", once)
        monkeypatch.setattr(tuning, "has_bfloat16", lambda _device: bfloat16)
        monkeypatch.setattr(trial, "MOST_ROUNDS", 2)
        return asked

    return made


def test_real_measuring_leaves_the_model_as_it_was(model: Transformer) -> None:
    model.eval()
    before, threads = [value.clone() for value in model.parameters()], torch.get_num_threads()
    found = tune(work(model), cores=2)
    assert set(found.measured) == {"1 thread in float32", "2 threads side by side in float32"}
    assert all(rate > 0 for rate in found.measured.values())
    assert found.tokens_per_second == found.measured[str(found.way)]
    assert not model.training
    assert torch.get_num_threads() == threads
    assert all(value.grad is None for value in model.parameters())
    assert all(map(torch.equal, before, model.parameters()))


def test_one_core_and_asked_threads_need_no_measuring(
    model: Transformer, machine: Callable[..., list[Way]]
) -> None:
    asked = machine(lambda _: 1.0)
    alone = tune(work(model), cores=1)
    assert (alone.workers, alone.torch_threads, alone.precision) == (1, 1, "float32")
    assert alone.line() == "1 thread: one core; float32: as the recipe says"
    three = tune(work(model, 8, "bfloat16"), cores=16, threads=3)
    assert three.line() == "3 threads side by side: as asked for; bfloat16: as the recipe says"
    one_piece = tune(work(model, 1), cores=16, threads=3)
    assert (one_piece.workers, one_piece.torch_threads) == (1, 3)
    assert not asked


@pytest.mark.parametrize(("slower", "workers"), [(1.7, 2), (1.9, 1)])
def test_more_threads_must_be_clearly_faster(
    model: Transformer, machine: Callable[..., list[Way]], slower: float, workers: int
) -> None:
    machine(lambda way: slower if way.workers == 2 else 1.0)  # of two side by side, each takes longer
    assert tune(work(model), cores=2).workers == workers


def test_what_is_slow_beyond_doubt_is_looked_at_once(
    model: Transformer, machine: Callable[..., list[Way]]
) -> None:
    asked = machine(lambda way: 1.0 if way == Way(1) else 3.5)
    found = tune(work(model, 1), cores=4)
    assert asked.count(Way(1, 4)) == 1
    assert asked.count(Way(1)) == 3
    assert found.way == Way(1)
    assert found.reason == "3.5 times the speed of 4 threads"


def test_halves_of_cores_may_be_left_alone(model: Transformer, machine: Callable[..., list[Way]]) -> None:
    machine(lambda way: {1: 1.0, 4: 1.0, 8: 1.9}[way.workers])
    assert tune(work(model, 100), cores=8).way == Way(4)


@pytest.mark.parametrize(
    ("faster", "precision"), [(0.5, "float32"), (1.1, "float32"), (1.4, "bfloat16")], ids=str
)
def test_bfloat16_must_earn_its_rounding(
    model: Transformer, machine: Callable[..., list[Way]], faster: float, precision: str
) -> None:
    machine(lambda way: 1.0 / faster if way.precision == "bfloat16" else 1.0)
    found = tune(work(model, precision="auto"), cores=2)
    assert found.way == Way(2, 1, precision)  # type: ignore[arg-type]
    assert found.precision_reason == f"bfloat16 has {faster:.2g} times the speed of float32"


def test_precisions_are_compared_on_larger_micro_batches(
    model: Transformer, machine: Callable[..., list[Way]], monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(lambda _: 0.05)
    made: list[int] = []
    make = trial.Trial._make

    def noted(one: trial.Trial, tokens: int) -> Batch:
        made.append(tokens)
        return make(one, tokens)

    monkeypatch.setattr(trial.Trial, "_make", noted)
    monkeypatch.setattr(trial, "TASK_SECONDS", 0.0)  # so that threads are measured on the fewest
    tune(work(model, precision="auto"), cores=2)
    assert made == [trial.LEAST_TOKENS, trial.LEAST_TOKENS, 60]
    machine(lambda _: 0.4)
    tune(work(model, precision="auto"), cores=1)
    assert made[3:] == [trial.LEAST_TOKENS, trial.LEAST_TOKENS], "larger ones would take too long"


def test_bfloat16_is_not_tried_where_the_processor_lacks_it(
    model: Transformer, machine: Callable[..., list[Way]]
) -> None:
    asked = machine(lambda _: 1.0, bfloat16=False)
    found = tune(work(model, precision="auto"), cores=2)
    assert found.precision == "float32"
    assert found.precision_reason == "this processor does not compute in bfloat16"
    assert {way.precision for way in asked} == {"float32"}


def test_a_finding_is_remembered_with_its_day(model: Transformer, machine: Callable[..., list[Way]]) -> None:
    asked = machine(lambda _: 1.0)
    first = tune(work(model), cores=2)
    assert asked
    asked.clear()
    again = tune(work(model), cores=2)
    assert not asked
    assert again.measured_on is not None
    assert first.measured_on is None
    assert again.way == first.way
    assert again.line() == f"{first.line()} (measured on {again.measured_on})"
    tune(work(model), cores=3)
    assert asked, "on another number of cores it is measured anew"


def test_a_finding_beside_busy_programs_is_said_and_not_remembered(
    model: Transformer, machine: Callable[..., list[Way]]
) -> None:
    asked = machine(lambda _: 1.0, share=0.6)
    found = tune(work(model), cores=2)
    assert found.cores_taken == pytest.approx(0.8)
    assert found.line().endswith("other programs took 0.8 cores, so it will be measured anew next time")
    asked.clear()
    tune(work(model), cores=2)
    assert asked


def test_what_was_remembered_in_another_format_is_measured_anew(
    model: Transformer, machine: Callable[..., list[Way]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = machine(lambda _: 1.0)
    monkeypatch.setattr(tuning, "recall", lambda *_: {"threads": 7})
    assert isinstance(tune(work(model), cores=2), Tuned)
    assert asked


@pytest.mark.parametrize(
    ("settings", "tokens", "micro_batches"),
    [
        ({"batch_tokens": 600, "accumulate": 3}, 200, 3),
        ({"batch_tokens": 600, "accumulate": "auto"}, 150, 12),
        ({"batch_tokens": "auto", "accumulate": "auto"}, 1024, 81),
    ],
    ids=str,
)
def test_what_is_measured_is_as_large_as_what_is_trained(
    model: Transformer, settings: dict[str, Any], tokens: int, micro_batches: int
) -> None:
    given = TrainSettings.model_validate({"until": {"updates": 9000}, "max_tokens": 50, **settings})
    made = workload(given, model, pairs=100, tokens=(1000, 2040), longest=50, cores=4)
    assert made == Workload(model, tokens, (10, 20), micro_batches, "float32")


def test_each_process_measures_its_own_share(model: Transformer) -> None:
    for accumulate, tokens, micro_batches in ((3, 200, 2), ("auto", 75, 6)):
        given = TrainSettings.model_validate(
            {"until": {"updates": 9}, "max_tokens": 50, "batch_tokens": 600, "accumulate": accumulate}
        )
        made = workload(given, model, 100, (1000, 2040), longest=50, cores=4, processes=2)
        assert made == Workload(model, tokens, (10, 20), micro_batches, "float32")


def test_a_resumed_training_keeps_the_threads_of_torch_that_it_began_with(tmp_path: Path) -> None:
    record = tmp_path / "checkpoints/threads.json"
    first, later = Tuned(1, 2, "float32", "measured"), Tuned(4, 1, "float32", "measured otherwise")
    assert keep_threads(first, record, asked=False) == first
    assert keep_threads(later, record, asked=False) == replace(later, torch_threads=2)
    assert keep_threads(later, record, asked=True) == later  # who asks for threads has them, from now on
    assert keep_threads(first, record, asked=False) == replace(first, torch_threads=1)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"torch_threads": 0}', '{"torch_threads": "2"}', "\x00"])
def test_threads_that_cannot_be_read_cost_no_checkpoint(tmp_path: Path, text: str) -> None:
    record = tmp_path / "checkpoints/threads.json"
    record.parent.mkdir()
    record.write_text(text)
    with pytest.raises(RunError, match="Delete this file alone"):
        keep_threads(Tuned(1, 2, "float32", "measured"), record, asked=False)
    assert keep_threads(Tuned(1, 2, "float32", "asked"), record, asked=True).torch_threads == 2


def test_threads_that_wait_for_each_other_are_not_tried_among_busy_programs(
    model: Transformer, machine: Callable[..., list[Way]]
) -> None:
    asked = machine(lambda _: 1.0, share=0.5)
    found = tune(work(model, 1), cores=4)
    assert found.way == Way(1)
    assert found.reason == tuning.CROWDED
    assert Way(1, 4) not in asked
