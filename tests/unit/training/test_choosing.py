import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtkit.config.model import ModelSettings
from mtkit.config.training import FixedTrainSettings, TrainSettings
from mtkit.errors import RunError
from mtkit.model.transformer import Transformer
from mtkit.training import choosing
from mtkit.training.choosing import CHOSEN, Chosen, choose, decide
from mtkit.training.fitting import Work


@pytest.fixture(autouse=True)
def _empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))


def work(workers: int = 2) -> Work:
    model = Transformer(
        ModelSettings(dim=16, ffn_dim=32, heads=2, encoder_layers=1, decoder_layers=1), 23, 23
    )
    source, target = np.random.default_rng(1).integers(3, 21, (2, 4000))
    return Work(model, source, target, workers=workers)


def settings(**changes: Any) -> TrainSettings:
    values = {"until": {"updates": 9000}, "max_tokens": 20, "validate": {"every": "7 updates"}, **changes}
    return TrainSettings.model_validate(values)


AUTO = {"batch_tokens": "auto", "accumulate": "auto", "precision": "auto"}


def never(*_: object) -> None:
    pytest.fail("nothing was to be found out")


def test_without_auto_nothing_is_looked_at_recorded_or_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(choosing, "decide", never)
    chosen = choose(settings(accumulate=3), work(), tmp_path, never)
    assert chosen.settings == FixedTrainSettings.model_validate(
        settings(accumulate=3).model_dump(by_alias=True)
    )
    assert chosen.facts() == {}
    assert not (tmp_path / CHOSEN).exists()


def test_every_auto_gets_a_value_and_a_reason_and_the_rest_stays(tmp_path: Path) -> None:
    said: list[str] = []
    chosen = choose(settings(**AUTO), work(), tmp_path, said.append)
    assert set(chosen.reasons) == set(AUTO)
    assert chosen.settings.accumulate == 2
    assert chosen.settings.precision in ("float32", "bfloat16")
    assert chosen.settings.validate_.every == "7 updates"
    assert len(said) == 1
    for name, reason in chosen.reasons.items():
        assert name in said[0]
        assert reason in said[0]
    assert json.loads((tmp_path / CHOSEN).read_text())["chosen"] == chosen.facts()


def test_a_resumed_training_reads_the_record_and_chooses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = choose(settings(accumulate="auto"), work(2), tmp_path, lambda _: None)
    monkeypatch.setattr(choosing, "decide", never)
    monkeypatch.setattr(choosing, "recall", never)
    assert choose(settings(accumulate="auto"), work(4), tmp_path, lambda _: None) == first


def test_a_second_run_on_this_machine_takes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = choose(settings(**AUTO), work(), tmp_path / "one", lambda _: None)
    monkeypatch.setattr(choosing, "decide", never)
    assert choose(settings(**AUTO), work(), tmp_path / "two", lambda _: None) == first
    assert (tmp_path / "two" / CHOSEN).read_bytes() == (tmp_path / "one" / CHOSEN).read_bytes()


@pytest.mark.parametrize("change", ["workers", "settings", "processor"])
def test_what_the_choice_depends_on_makes_it_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    choose(settings(**AUTO), work(), tmp_path / "one", lambda _: None)
    made: list[TrainSettings] = []

    def noted(given: TrainSettings, of: Work) -> Chosen:
        made.append(given)
        return decide(given, of)

    monkeypatch.setattr(choosing, "decide", noted)
    if change == "processor":  # that shares the cache, by a home on the network
        monkeypatch.setattr(choosing, "cpu_name", lambda: "another one")
    changed = settings(**AUTO, ema_decay=0.5) if change == "settings" else settings(**AUTO)
    choose(changed, work(3 if change == "workers" else 2), tmp_path / "two", lambda _: None)
    assert made == [changed]


@pytest.mark.parametrize("damage", ["not json", "[]", '{"key": 1}'])
def test_a_damaged_memory_of_earlier_runs_is_made_anew(tmp_path: Path, damage: str) -> None:
    first = choose(settings(**AUTO), work(), tmp_path / "one", lambda _: None)
    (kept,) = (tmp_path / "cache").rglob("*.json")
    kept.write_text(damage)
    assert choose(settings(**AUTO), work(), tmp_path / "two", lambda _: None) == first
    assert json.loads(kept.read_text())["found"]["chosen"] == first.facts()


def test_a_cache_that_cannot_be_written_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "file"))
    assert (
        choose(settings(accumulate="auto"), work(), tmp_path / "one", lambda _: None).settings.accumulate == 2
    )


def test_a_damaged_record_is_told_of(tmp_path: Path) -> None:
    (tmp_path / CHOSEN).write_text("{")
    with pytest.raises(RunError, match="not valid JSON"):
        choose(settings(**AUTO), work(), tmp_path, lambda _: None)


def test_a_record_of_other_questions_is_not_taken(tmp_path: Path) -> None:
    choose(settings(accumulate="auto"), work(), tmp_path, lambda _: None)
    chosen = choose(settings(**AUTO), work(), tmp_path, lambda _: None)
    assert set(chosen.reasons) == set(AUTO)
