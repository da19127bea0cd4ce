from pathlib import Path
from typing import Any

import pytest
import torch

from mtkit.config.training import FixedTrainSettings, TrainSettings
from mtkit.errors import DataError, RecipeError
from mtkit.files import write_json
from mtkit.log import RunContext
from mtkit.model.transformer import Transformer
from mtkit.training import preflight
from mtkit.training.fitting import Work
from mtkit.training.memory import Expected
from mtkit.training.outlook import Outlook
from mtkit.training.preflight import Forecast, assumed_lengths, probe_training, stored_lengths

SHAPE = {"dim": 16, "ffn_dim": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 1}
RUN = RunContext(device="cpu", threads=1, quiet=True)


def settings(**changes: Any) -> TrainSettings:
    early = {"kind": "inverse_sqrt", "warmup_updates": 5}
    values = {"until": {"updates": 9000}, "max_tokens": 16, "batch_tokens": 128, "schedule": early, **changes}
    values["model"] = SHAPE
    return TrainSettings.model_validate(values)


@pytest.fixture(autouse=True)
def _short_probe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "PROBE_SECONDS", 0.05)


def test_a_forecast_reads_as_a_line() -> None:
    needed = Expected(4, 0, 0, 0, 1_240_000_000, 0)
    plenty = Outlook(1_234_567, needed, 20_000_000_000, basis="measured before, on 2026-11-20")
    told = Forecast(plenty, 3456.7, 7500.0, at_most=True)
    assert str(told) == (
        "1,234,567 weights · 1.2 GB of memory expected, 20.0 GB available · 3,457 target tokens/s"
        " (measured before, on 2026-11-20) · at most 2 h 05 min to the end, validations not counted"
    )
    short = Forecast(Outlook(1, needed, 1_000_000_000), 5.0, None, at_most=False)
    assert "1.0 GB available (it may not suffice)" in str(short)
    assert "to the end" not in str(short)
    assert "available" not in str(Forecast(Outlook(1, needed, None), 5.0, None, at_most=False))


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


def stored(toy: Path, folder: Path) -> Path:
    """The toy corpus with what is known of it."""
    for path in (toy / "corpus").iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    write_json(folder / "corpus.json", {"pairs": {"train": 200}})
    return folder


def test_what_training_refuses_is_refused_here_too(toy: Path, tmp_path: Path) -> None:
    corpus = stored(toy, tmp_path)
    lengths = stored_lengths(corpus, toy / "subword", max_tokens=16)
    with pytest.raises(RecipeError, match="201 micro-batches: the corpus has 200 training pairs"):
        probe_training(settings(batch_tokens=4000, accumulate=201), lengths, RUN)
    late = {"kind": "inverse_sqrt", "warmup_updates": 500}
    with pytest.raises(RecipeError, match="before warm-up"):
        probe_training(settings(until={"epochs": 1}, schedule=late), lengths, RUN)
    with pytest.raises(DataError, match="none of 200 pairs has sides of at most 1 tokens"):
        stored_lengths(corpus, toy / "subword", max_tokens=1)
    for side in ("source", "target"):
        (corpus / f"valid.{side}").write_text("")
    with pytest.raises(DataError, match="no sentence pairs"):
        stored_lengths(corpus, toy / "subword", max_tokens=16)


def test_layers_are_compiled_with_the_threads_that_they_are_measured_with(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    threads: list[int] = []
    monkeypatch.setattr(preflight, "speed_up", lambda *_: threads.append(torch.get_num_threads()))

    def rate(*_: object) -> float:
        threads.append(torch.get_num_threads())
        return 1.0

    monkeypatch.setattr(preflight, "_rate", rate)
    run = RunContext(device="cpu", threads=3, quiet=True)
    probe_training(settings(accumulate=3), assumed_lengths(30, 16), run)
    assert len(threads) == 2 and threads[0] == threads[1]


def test_several_processes_share_an_update_and_make_more_together(toy: Path, tmp_path: Path) -> None:
    lengths = stored_lengths(stored(toy, tmp_path), toy / "subword", max_tokens=16)
    told = probe_training(settings(), lengths, RUN, processes=3)
    assert "memory of each of 3 processes, speed of all" in told
    assert "chosen: accumulate 3 (one for each of 3 workers)" in told


def test_a_probe_computes_the_share_of_one_process_however_few_micro_batches_are_asked_for() -> None:
    made = FixedTrainSettings.model_validate(settings(accumulate=1).model_dump(by_alias=True))
    lengths = assumed_lengths(30, 16)
    model = Transformer(made.model, 30, 30)
    alone, four = (
        next(preflight._random_updates(made, Work(model, lengths.source, lengths.target, processes=count)))
        for count in (1, 4)
    )
    assert four.target_tokens < alone.target_tokens / 2


def test_without_a_corpus_what_is_assumed_is_said(tmp_path: Path) -> None:
    told = probe_training(settings(until={"epochs": 5}, accumulate=2), assumed_lengths(30, 16), RUN)
    assert "assuming 16 tokens a sentence and 30 pieces" in told
    assert "to the end" not in told  # nobody knows how long an epoch is
    assert "chosen" not in told
    assert "to the end" in probe_training(settings(), assumed_lengths(30, 16), RUN)
    largest = probe_training(settings(batch_tokens="auto"), assumed_lengths(30, 16), RUN)
    assert "fewer if an epoch had less than 100 updates" in largest
