import json
from pathlib import Path

import pytest

from benchmarks.quality.own_runs import AIMED, Pace, overrides_at, pace_of


def events(folder: Path, *made: tuple[int, float]) -> Path:
    lines = [{"event": "begin"}] + [
        {"event": "update", "update": update, "training_seconds": seconds} for update, seconds in made
    ]
    path = folder / "events.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return folder


def test_the_pace_is_that_of_the_steady_stretch_and_the_rest_is_start_and_end(tmp_path: Path) -> None:
    folder = events(tmp_path, (1, 3.0), (20, 13.0), (40, 23.0), (60, 33.0))
    pace = pace_of(folder, 60, 45.0)
    assert pace.seconds_per_update == pytest.approx(0.5)
    assert pace.other_seconds == pytest.approx(15.0)


def test_a_very_short_training_has_the_pace_of_all_its_updates(tmp_path: Path) -> None:
    assert pace_of(events(tmp_path, (1, 2.0)), 4, 10.0) == Pace(2.0, 2.0)


def test_updates_are_planned_to_end_a_little_before_the_time() -> None:
    pace = Pace(seconds_per_update=0.5, other_seconds=10.0)
    updates = pace.updates_in(5.0)
    assert updates == int((AIMED * 300 - 10) / 0.5)
    assert 10 + updates * 0.5 <= 300


def test_some_updates_are_made_however_short_the_time() -> None:
    assert Pace(1.0, 100.0).updates_in(0.5) == 4


def test_overrides_for_one_length_replace_those_for_all() -> None:
    given = ["20:a.b=1", "a.b=0", "a.c=0", "7.5:a.b=2"]
    assert overrides_at(given, 20.0) == ("a.b=1", "a.c=0")
    assert overrides_at(given, 7.5) == ("a.b=2", "a.c=0")
    assert overrides_at(given, 5.0) == overrides_at(given, None) == ("a.b=0", "a.c=0")
