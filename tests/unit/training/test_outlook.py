from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtkit.config.training import FixedTrainSettings
from mtkit.model.transformer import Transformer
from mtkit.training import outlook
from mtkit.training.fitting import Fitting, Work
from mtkit.training.outlook import look_ahead
from mtkit.training.tuning import Tuned

LENGTHS = np.full(500, 9)


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path))
    monkeypatch.setattr(outlook, "available_cores", lambda: 4)


def settings(**changes: Any) -> FixedTrainSettings:
    values = {"until": {"updates": 9000}, "max_tokens": 20, "batch_tokens": 100, "accumulate": 4, **changes}
    return FixedTrainSettings.model_validate(values)


def tuned(workers: int = 2, threads: int = 1, rate: float | None = 800.0) -> Tuned:
    way = Tuned(workers, threads, "float32", "measured").way
    return Tuned(workers, threads, "float32", "measured", measured={} if rate is None else {str(way): rate})


def test_without_a_training_before_the_speed_is_estimated_and_the_memory_foretold(model: Transformer) -> None:
    work = Work(model, LENGTHS, LENGTHS, workers=2, taken=10_000_000)
    found = look_ahead(settings(), work, tuned())
    assert (found.tokens_per_second, found.basis) == (800.0, "estimated")
    assert found.expected == Fitting(settings(), work, "float32").expected(100, 4)
    assert found.parameters == sum(weight.numel() for weight in model.parameters())


def test_an_estimate_knows_of_idle_workers_and_of_crowded_cores(model: Transformer) -> None:
    def rate(accumulate: int, processes: int) -> float | None:
        work = Work(model, LENGTHS, LENGTHS, workers=2, processes=processes, local_processes=processes)
        return look_ahead(settings(accumulate=accumulate), work, tuned()).tokens_per_second

    assert rate(1, 1) == 400.0  # one of two workers
    assert rate(4, 2) == 1600.0
    assert rate(16, 8) == 1600.0  # 16 threads on 4 cores
    work = Work(model, LENGTHS, LENGTHS)
    assert look_ahead(settings(), work, tuned(1, rate=None)).tokens_per_second is None


def test_what_was_measured_before_is_told_of_the_same_training_alone(
    model: Transformer, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = Work(model, LENGTHS, LENGTHS, workers=2, taken=10_000_000)
    first = look_ahead(settings(), work, tuned())
    first.keep(650.0)
    monkeypatch.setattr(outlook, "Fitting", None)  # nothing is foretold anew
    longer = {"until": {"updates": 20_000}, "schedule": {"kind": "inverse_sqrt", "warmup_updates": 9}}
    again = look_ahead(settings(**longer), work, tuned(rate=900.0))
    assert again.tokens_per_second == 650.0
    assert again.basis.startswith("measured before, on 20")
    assert again.expected == first.expected
    monkeypatch.undo()
    for other in (settings(batch_tokens=200), settings(optimizer={"kind": "muon"})):
        assert look_ahead(other, work, tuned()).basis != again.basis
