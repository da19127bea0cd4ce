from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mtkit.batches.stream import Share
from mtkit.config.model import ModelSettings
from mtkit.config.training import FixedTrainSettings
from mtkit.log import EventWriter, read_events
from mtkit.model.transformer import Transformer
from mtkit.training.fitting import Work
from mtkit.training.observer import MEASURED_UPDATES, SETTLING_UPDATES, Observer
from mtkit.training.pieces import Split
from mtkit.training.processes import ONE_PROCESS, Processes
from mtkit.training.stall import Machine
from mtkit.training.state import TrainState

SPLIT = Split(line=7, pairs=5, source=6, target=4, pieces=2)


class Two(Processes):
    """The first of two processes, of which the other one ran out of memory at update 3."""

    share = Share(0, 2)

    def gather(self, value: Any) -> list[Any]:
        return [value, [(3, list(SPLIT))]]


@pytest.fixture
def events(tmp_path: Path) -> Iterator[EventWriter]:
    writer = EventWriter(tmp_path / "events.jsonl")
    yield writer
    writer.close()


def observer(events: EventWriter, processes: Processes = ONE_PROCESS, **settings: Any) -> Observer:
    shape = ModelSettings(dim=16, ffn_dim=32, heads=2, encoder_layers=1, decoder_layers=1)
    values = {"until": {"updates": 9000}, "max_tokens": 20, "batch_tokens": 100, "model": shape, **settings}
    made = FixedTrainSettings.model_validate(values)
    lengths = np.full(500, 9)
    work = Work(Transformer(shape, 23, 23), lengths, lengths)
    machine = Machine(1, 1, lambda: None, lambda: None)
    return Observer(made, work, processes, machine, events)


def recorded(events: EventWriter) -> list[dict[str, Any]]:
    assert events.path is not None
    return read_events(events.path)


def train(seen: Observer, updates: int, seconds: float, splits: list[Split] | None = None) -> list[str]:
    said: list[str] = []
    state = TrainState()
    for number in range(1, updates + 1):
        state.update = number
        seen.update(state, 0.0, seconds, 96, splits or [])
        seen.tell(state, 1000, said.append)
    return said


def test_memory_speed_and_time_are_told_once_after_the_first_updates(events: EventWriter) -> None:
    first = SETTLING_UPDATES + MEASURED_UPDATES
    seen = observer(events)
    assert train(seen, first - 1, 2.0) == []
    (said,) = train(seen, 30, 2.0)
    assert "weights · " in said
    assert "of memory expected" in said
    assert "48 target tokens/s" in said
    (event,) = recorded(events)
    assert (event["event"], event["tokens_per_second"]) == ("forecast", 48)
    assert event["seconds_to_the_end"] == pytest.approx(999 * 95.5 / 48, rel=0.01)


def test_patience_makes_it_at_most(events: EventWriter) -> None:
    seen = observer(events, until={"updates": 9000, "patience": "3 validations"})
    assert "at most" in train(seen, 20, 2.0)[0]


def test_short_updates_are_measured_for_some_seconds(events: EventWriter) -> None:
    assert train(observer(events), 200, 0.01) == []


def test_what_did_not_fit_is_counted_recorded_and_told_once(events: EventWriter) -> None:
    said = train(observer(events), 3, 0.1, [SPLIT])
    assert said == [
        "out of memory at update 1: computed 5 pairs of up to 6 and 4 tokens in 2 pieces, with the same"
        " result. Should this come often, raise `accumulate`, or set it to `auto`."
    ]
    assert [(event["event"], event["update"], event["line"]) for event in recorded(events)] == [
        ("out_of_memory", number, 7) for number in (1, 2, 3)
    ]


def test_what_did_not_fit_in_another_process_is_told_too(events: EventWriter) -> None:
    said = train(observer(events, Two()), 20, 0.01)
    assert said[0].startswith("out of memory at update 3")
    (event,) = recorded(events)
    assert (event["rank"], event["update"]) == (1, 3)
