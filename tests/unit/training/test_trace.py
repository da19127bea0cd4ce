from pathlib import Path

from mtkit.training.trace import add_note, read_trace


def test_notes_come_back_in_order(tmp_path: Path) -> None:
    for update in (1, 2, 2):
        add_note(tmp_path / "trace", {"update": update})
    assert read_trace(tmp_path / "trace") == [{"update": 1}, {"update": 2}, {"update": 2}]


def test_no_file_is_no_notes(tmp_path: Path) -> None:
    assert read_trace(tmp_path / "trace") == []
