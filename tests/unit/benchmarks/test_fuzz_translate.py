from pathlib import Path

import pytest

from benchmarks import fuzz_translate
from benchmarks.fuzz_translate import check_command, check_copying, make_model, odd_lines


def test_the_same_seed_makes_the_same_lines_of_every_odd_sort() -> None:
    lines = list(odd_lines(2000, seed=3))
    assert lines == list(odd_lines(2000, seed=3))
    assert lines != list(odd_lines(2000, seed=4))
    assert not any(b"\n" in line for line in lines)
    text = b"".join(lines)
    for odd in (b"\x00", b"\r", b"\xff", "\u2028".encode(), "😀".encode(), "我".encode()):
        assert odd in text
    assert b"" in lines and max(map(len, lines)) > 1000


def test_odd_lines_come_back_from_a_translator_that_copies() -> None:
    check_copying(2000, seed=5)


def test_odd_lines_are_translated_one_for_one_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(fuzz_translate, "SAMPLES", 30)
    flags = check_command(300, 6, make_model(tmp_path), "--threads", "1")
    assert flags["empty"] and flags["invalid_utf8"] and flags["split"]
    assert "30 samples alike" in capsys.readouterr().out


def test_a_line_too_few_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_translate, "translated", lambda *_: iter([]))
    with pytest.raises(ValueError, match="shorter"):
        check_command(3, 1, tmp_path)
