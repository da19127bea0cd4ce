import os
import sys
from pathlib import Path

import pytest

from mtkit.errors import RunError
from mtkit.log import EventWriter, Progress, RunContext, copy_talk, duration, read_events, say


def test_talk_goes_to_stderr_and_into_the_file_that_is_open(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with copy_talk(tmp_path / "log.txt"):
        say("heard")
        RunContext(quiet=True).say("only kept")
    say("after")
    captured = capsys.readouterr()
    assert captured.err == "heard\nafter\n"
    assert captured.out == ""
    assert (tmp_path / "log.txt").read_text() == "heard\nonly kept\n"


def test_talk_that_nobody_hears_ends_no_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "w", encoding="utf-8") as stderr, copy_talk(tmp_path / "log.txt"):
        monkeypatch.setattr(sys, "stderr", stderr)
        say("one")
        progress = Progress("training", 1, "updates", clock=lambda: 1.0)
        progress.note("two")
        monkeypatch.undo()
    assert (tmp_path / "log.txt").read_text() == "one\ntwo\n"


def test_events_are_read_back_without_a_line_that_was_cut_short(tmp_path: Path) -> None:
    events = EventWriter(tmp_path / "new" / "events.jsonl")
    events.write("update", update=1)
    events.close()
    events.write("update", update=2)
    events.close()
    with (tmp_path / "new" / "events.jsonl").open("a") as stream:
        stream.write('{"event": "upd')
    assert [event["update"] for event in read_events(tmp_path / "new" / "events.jsonl")] == [1, 2]
    assert read_events(tmp_path / "none") == []


def test_an_event_behind_a_line_that_was_cut_short_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"event": "upd')
    events = EventWriter(path)
    events.write("update", update=3)
    events.close()
    assert [event["update"] for event in read_events(path)] == [3]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_told_by_the_write_and_not_again_by_the_close(tmp_path: Path) -> None:
    (tmp_path / "events.jsonl").symlink_to("/dev/full")
    events = EventWriter(tmp_path / "events.jsonl")
    with pytest.raises(RunError, match="no space left"):
        events.write("update", update=1)
    events.close()


def test_a_writer_without_a_file_drops_its_events() -> None:
    EventWriter(None).write("update", update=1)


@pytest.mark.parametrize(
    ("seconds", "text"), [(7.6, "8 s"), (59.6, "1 min 00 s"), (200, "3 min 20 s"), (7500, "2 h 05 min")]
)
def test_durations_are_said_in_two_units_at_most(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_total_that_was_too_low_an_estimate_grows() -> None:
    progress = Progress("training", 3, "updates", done=3, clock=lambda: 1.0)
    progress.advance(1)
    assert progress.line().startswith("training: 4 of 4 updates")


def test_progress_tells_rate_and_time_left_of_what_was_done_now(capsys: pytest.CaptureFixture[str]) -> None:
    now = 100.0
    progress = Progress("training", 1000, "updates", done=400, clock=lambda: now)
    now = 105.0
    progress.advance(100, "loss 2.5")
    assert capsys.readouterr().err == ""
    assert progress.line() == "training: 500 of 1,000 updates · 20/s · 25 s left · loss 2.5"
    now = 111.0
    progress.advance(100)
    progress.note("a note")
    progress.finish()
    assert [line.split(" · ")[0] for line in capsys.readouterr().err.splitlines()] == [
        "training: 600 of 1,000 updates",
        "a note",
        "training: 600 of 1,000 updates",
    ]
