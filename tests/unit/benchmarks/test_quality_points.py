from pathlib import Path

import pytest

from benchmarks.quality.points import Point, Record, open_record, read_record
from mtkit.errors import DataError, RunError

CONDITIONS = {"languages": "en-de", "cores": 2}
ABOUT = {"machine": {"processor": "slow"}}


def point(system: str = "mtkit", asked: float = 5.0, bleu: float = 20.0, settings: str = "a") -> Point:
    return Point(
        system=system,
        peer=system != "mtkit",
        asked_minutes=asked,
        minutes=asked * 1.01,
        updates=100,
        scores={"bleu": bleu, "chrf": bleu + 20},
        signatures={"bleu": "BLEU|…", "chrf": "chrF2|…"},
        how="a training",
        settings=settings,
        date="2026-11-23T18:00:00+00:00",
    )


def test_a_record_comes_back_from_its_file_as_it_was(tmp_path: Path) -> None:
    record = Record(tmp_path / "curves.json", CONDITIONS, ABOUT)
    record.add(point())
    record.add(point("fairseq", 20.0))
    assert read_record(record.path) == record


def test_every_point_is_in_the_file_as_soon_as_it_is_added(tmp_path: Path) -> None:
    record = Record(tmp_path / "curves.json", CONDITIONS, ABOUT)
    for asked in (5.0, 10.0):
        record.add(point(asked=asked))
        assert read_record(record.path).points[-1].asked_minutes == asked


def test_a_point_takes_the_place_of_an_earlier_one_of_the_same_system_and_time(tmp_path: Path) -> None:
    record = Record(tmp_path / "curves.json", CONDITIONS, ABOUT)
    for item in (point(bleu=20.0), point("fairseq", bleu=19.0), point(bleu=21.0)):
        record.add(item)
    assert [(item.system, item.scores["bleu"]) for item in record.points] == [
        ("fairseq", 19.0),
        ("mtkit", 21.0),
    ]


def test_only_times_not_measured_with_these_settings_are_missing(tmp_path: Path) -> None:
    record = Record(tmp_path / "curves.json", CONDITIONS, ABOUT, [point(asked=5.0), point(asked=20.0)])
    unchanged, changed = {5.0: "a", 10.0: "a", 20.0: "a"}, {5.0: "a", 20.0: "b"}
    assert record.missing("mtkit", unchanged.__getitem__, [5.0, 10.0, 20.0]) == [10.0]
    assert record.missing("mtkit", changed.__getitem__, [5.0, 20.0]) == [20.0]
    assert record.missing("fairseq", unchanged.__getitem__, [5.0]) == [5.0]


def test_resuming_goes_on_with_the_points_that_are_there(tmp_path: Path) -> None:
    Record(tmp_path / "curves.json", CONDITIONS, ABOUT).add(point())
    resumed = open_record(tmp_path / "curves.json", CONDITIONS, {}, resume=True)
    assert resumed.points == [point()]
    assert resumed.about == ABOUT


def test_measured_points_are_not_overwritten_without_being_asked(tmp_path: Path) -> None:
    Record(tmp_path / "curves.json", CONDITIONS, ABOUT).add(point())
    with pytest.raises(RunError, match="measured points already") as caught:
        open_record(tmp_path / "curves.json", CONDITIONS, ABOUT, resume=False)
    assert "--resume" in caught.value.advice


def test_points_of_other_conditions_are_refused(tmp_path: Path) -> None:
    Record(tmp_path / "curves.json", CONDITIONS, ABOUT).add(point())
    with pytest.raises(RunError, match="cores 2"):
        open_record(tmp_path / "curves.json", {**CONDITIONS, "cores": 1}, ABOUT, resume=True)


def test_points_of_another_processor_are_not_gone_on_with(tmp_path: Path) -> None:
    record = Record(tmp_path / "curves.json", CONDITIONS, ABOUT)
    record.check_processor({**ABOUT, "versions": {"mtkit": "2"}})
    with pytest.raises(RunError, match='processor "slow"') as caught:
        record.check_processor({"machine": {"processor": "fast"}})
    assert "on that machine" in caught.value.advice


@pytest.mark.parametrize(
    "content", ["{}", "[]", '{"format": 2}', '{"format": 1, "points": [{"system": "a"}]}']
)
def test_a_file_that_is_no_record_is_told(content: str, tmp_path: Path) -> None:
    path = tmp_path / "curves.json"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(DataError, match="no record"):
        read_record(path)
