from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mtkit.batches.stream import Share
from mtkit.config.model import ModelSettings
from mtkit.config.training import FixedTrainSettings
from mtkit.log import EventWriter, read_events
from mtkit.model.remembering import recall
from mtkit.training.memory import Expected
from mtkit.training.observer import MEASURED_UPDATES, SETTLING_UPDATES, Observer
from mtkit.training.outlook import Outlook
from mtkit.training.pieces import Split
from mtkit.training.processes import ONE_PROCESS, Processes
from mtkit.training.stall import Machine
from mtkit.training.state import TrainState

SPLIT = Split(line=7, pairs=5, source=6, target=4, pieces=2)


class Two(Processes):
    """The first of two processes, of which the other one ran out of memory at update 3."""

    share = Share(0, 2)

    def gather(self, value: Any) -> list[Any]:
        return [value, [["update", 3, f"computed {SPLIT}", SPLIT._asdict()]]]


@pytest.fixture
def events(tmp_path: Path) -> Iterator[EventWriter]:
    writer = EventWriter(tmp_path / "events.jsonl")
    yield writer
    writer.close()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is remembered of other tests."""
    monkeypatch.setenv("MTKIT_CACHE", str(tmp_path / "cache"))


def observer(
    events: EventWriter,
    processes: Processes = ONE_PROCESS,
    rate: float | None = None,
    **settings: Any,
) -> Observer:
    shape = ModelSettings(dim=16, ffn_dim=32, heads=2, encoder_layers=1, decoder_layers=1)
    values = {"until": {"updates": 9000}, "max_tokens": 20, "batch_tokens": 100, "model": shape, **settings}
    made = FixedTrainSettings.model_validate(values)
    expected = Expected(1_000_000, 1_000_000, 2_000_000, 0, 500_000_000, 0)
    outlook = Outlook(250_000, expected, 20_000_000_000, rate, "estimated" if rate else "", {"kind": "test"})
    machine = Machine(1, 1, lambda: None, lambda: None)
    return Observer(made, outlook, processes, machine, events)


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


LATER = SETTLING_UPDATES + MEASURED_UPDATES


@pytest.mark.usefixtures("cache")
def test_what_is_known_is_told_before_the_first_update_and_not_again(events: EventWriter) -> None:
    seen, said = observer(events, rate=40.0), list[str]()
    seen.begin(1000, said.append)
    assert said == [
        "250,000 weights · 504 MB of memory expected, 20.0 GB available · 40 target tokens/s (estimated)"
        " · 39 min 48 s to the end, validations not counted"
    ]
    assert train(seen, 30, 2.0) == []  # 48 a second are near enough
    first, second = recorded(events)
    assert (first["event"], first["basis"], first["tokens_per_second"]) == ("forecast", "estimated", 40)
    assert (second["event"], second["basis"], second["tokens_per_second"]) == ("forecast", "measured", 48)
    assert second["seconds_to_the_end"] == pytest.approx((1000 - LATER) * 95.5 / 48, rel=0.01)
    assert recall("outlooks", {"kind": "test"})["tokens_per_second"] == 48.0  # type: ignore[index]


@pytest.mark.usefixtures("cache")
@pytest.mark.parametrize("rate", [30.0, 70.0])
def test_a_speed_that_turns_out_otherwise_is_corrected_once(events: EventWriter, rate: float) -> None:
    seen = observer(events, rate=rate, until={"updates": 9000, "patience": "3 validations"})
    assert train(seen, LATER - 1, 2.0) == []
    (said,) = train(seen, 30, 2.0)
    assert said.startswith(f"measured: 48 target tokens/s (not {rate:g}) · at most 33 min")


@pytest.mark.usefixtures("cache")
def test_a_speed_of_which_nothing_is_known_is_told_when_it_is_measured(events: EventWriter) -> None:
    seen, said = observer(events), list[str]()
    seen.begin(1000, said.append)
    assert said[0].endswith("available · speed and time follow when the first updates are measured")
    (measured,) = train(seen, 30, 2.0)
    assert measured.startswith("measured: 48 target tokens/s · 3")


@pytest.mark.usefixtures("cache")
def test_an_estimate_is_not_held_against_the_machine_but_what_was_measured_is(events: EventWriter) -> None:
    seen = observer(events, rate=1000.0)  # of forward and backward alone
    (said,) = train(seen, 31, 2.0)
    assert said.startswith("measured: 48 target tokens/s (not 1,000)")
    (said,) = train(seen, 19, 10.0)
    assert said.startswith("training makes 10 target tokens/s, 21% of what this machine was measured to make")


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


def test_what_did_not_fit_in_a_validation_is_told_apart(events: EventWriter) -> None:
    seen, state, said = observer(events), TrainState(update=40), list[str]()
    seen.in_pieces("validation", 40, SPLIT)
    seen.in_smaller_batches(40, 500)
    seen.tell_shortages(state, said.append)
    seen.tell_shortages(state, said.append)
    assert state.in_pieces == 2
    assert said == [
        "out of memory in the validation at update 40: computed 5 pairs of up to 6 and 4 tokens in 2 pieces,"
        " with the same result. Nothing need be done: it takes a little longer.",
        "out of memory translating at update 40: translated in batches of 500 tokens, with the same result."
        " Nothing need be done: it takes a little longer.",
    ]
    assert [event["task"] for event in recorded(events)] == ["validation", "translation"]


def test_kernels_that_the_memory_does_not_hold_are_told_once_and_are_no_pieces(
    events: EventWriter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtkit.training.observer.is_short_of_kernels", lambda: True)
    seen, state, said = observer(events), TrainState(update=1), list[str]()
    for _ in range(2):
        seen.update(state, 0.0, 0.1, 96, [])
        seen.tell(state, 1, said.append)
    assert said == [
        "out of memory at update 1: oneDNN had no room for its kernels, so MKL multiplies from now on, with"
        " the same result. Other programs take the memory, or a limit does; MKL is the slower here."
    ]
    assert [event["task"] for event in recorded(events)] == ["kernels"]
    assert state.in_pieces == 0


def test_what_did_not_fit_in_another_process_is_told_too(events: EventWriter) -> None:
    said = train(observer(events, Two()), 20, 0.01)
    assert said[0].startswith("out of memory at update 3 (rank 1): computed 5 pairs")
    (event,) = recorded(events)
    assert (event["rank"], event["update"]) == (1, 3)
