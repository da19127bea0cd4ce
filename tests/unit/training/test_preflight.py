from pathlib import Path
from typing import Any

import pytest

from mtkit.config.training import TrainSettings
from mtkit.files import write_json
from mtkit.log import RunContext
from mtkit.training import preflight
from mtkit.training.preflight import Forecast, assumed_lengths, probe_training, stored_lengths

SHAPE = {"dim": 16, "ffn_dim": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
RUN = RunContext(device="cpu", threads=1, quiet=True)


def settings(**changes: Any) -> TrainSettings:
    values = {"until": {"updates": 9000}, "max_tokens": 16, "batch_tokens": 128, "model": SHAPE, **changes}
    return TrainSettings.model_validate(values)


@pytest.fixture(autouse=True)
def _short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "PROBE_SECONDS", 0.05)


def test_a_forecast_reads_as_a_line() -> None:
    told = Forecast(1_234_567, 1_240_000_000, 20_000_000_000, 3456.7, 7500.0, at_most=True)
    assert str(told) == (
        "1,234,567 weights · 1.2 GB of memory expected, 20.0 GB available · 3,457 target tokens/s"
        " · at most 2 h 05 min to the end, validations not counted"
    )
    short = Forecast(1, 2_000_000_000, 1_000_000_000, 5.0, None, at_most=False)
    assert "1.0 GB available (it may not suffice)" in str(short)
    assert "to the end" not in str(short)
    assert "available" not in str(Forecast(1, 2, None, 5.0, None, at_most=False))


def test_lengths_of_a_stored_corpus_are_its_own(toy: Path, tmp_path: Path) -> None:
    for path in (toy / "corpus").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_json(tmp_path / "corpus.json", {"pairs": {"train": 200}})
    found = stored_lengths(tmp_path, toy / "subword", max_tokens=8)
    assert found.is_whole
    assert 0 < len(found.source) < 200  # longer ones are left out
    assert found.source.max() <= 8
    assert f"as long as {len(found.source)} pairs of the corpus" == found.basis


def test_a_probe_of_a_stored_corpus_tells_the_time_of_epochs(toy: Path, tmp_path: Path) -> None:
    for path in (toy / "corpus").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    write_json(tmp_path / "corpus.json", {"pairs": {"train": 200}})
    lengths = stored_lengths(tmp_path, toy / "subword", max_tokens=16)
    told = probe_training(settings(until={"epochs": 5}), lengths, RUN)
    assert "to the end" in told
    assert "measured on random ids, as long as 200 pairs of the corpus" in told
    assert "chosen: accumulate 1" in told


def test_without_a_corpus_what_is_assumed_is_said(tmp_path: Path) -> None:
    told = probe_training(settings(until={"epochs": 5}, accumulate=2), assumed_lengths(30, 16), RUN)
    assert "assuming 16 tokens a sentence and 30 pieces" in told
    assert "to the end" not in told  # nobody knows how long an epoch is
    assert "chosen" not in told
    assert "to the end" in probe_training(settings(), assumed_lengths(30, 16), RUN)
