from pathlib import Path

import pytest

from benchmarks import fuzz_translate
from benchmarks.fuzz_translate import check_command, check_copying, engines, make_model, odd_lines


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


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OMP_NUM_THREADS", "1")
        return make_model(tmp_path_factory.mktemp("fuzz"))


@pytest.mark.parametrize("engine", ["torch", "ctranslate2"])
def test_odd_lines_are_translated_one_for_one_and_in_order(
    engine: str, model: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert engine in engines(model)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(fuzz_translate, "SAMPLES", 15)
    flags = check_command(150, 6, model, "--threads", "1", "--engine", engine)
    assert flags["empty"] and flags["invalid_utf8"] and flags["split"]
    assert "samples alike" in capsys.readouterr().out


@pytest.mark.slow
def test_odd_lines_are_translated_one_for_one_with_a_shortlist(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    model = make_model(tmp_path, shortlist=5)
    lines = (model / "ctranslate2" / "vmap.txt").read_text("utf-8").split("\n")
    assert max(len(line.split("\t")[1].split(" ")) for line in lines[1:-1]) <= 6 < len(lines[0].split(" "))
    flags = check_command(150, 6, model, "--threads", "1", "--engine", "ctranslate2", least_alike=0.0)
    assert flags["empty"] and flags["invalid_utf8"] and flags["split"]


def test_a_line_too_few_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_translate, "translated", lambda *_: iter([]))
    with pytest.raises(ValueError, match="shorter"):
        check_command(3, 1, tmp_path)
