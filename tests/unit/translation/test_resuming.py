import errno
import os
from collections import Counter
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from mtkit.errors import DataError, RecipeError, RunError
from mtkit.translation.formats import Format
from mtkit.translation.resuming import Fits, Note, Unfinished, note_of

MADE_BY = {"model": "m" * 64, "beam_size": 5}
WINDOWS = [["one", "two", "three"], ["four", "five"], ["six"]]
PLAIN = Format()


def shapes(output: Format, first: int, count: int) -> list[list[Fits]]:
    ranks = range(1, output.lines_each + 1)
    return [[partial(output.fits, line=first + n, rank=rank) for rank in ranks] for n in range(count)]


def run(
    path: Path, *, resume: bool, windows: int = 9, output: Format = PLAIN, said: list[str] | None = None
) -> list[tuple[int, int]]:
    """Writes windows in capitals; gives how many units of each were there, and how many flags noted."""
    out = Unfinished(path, MADE_BY, (said if said is not None else []).append, resume=resume)
    with closing(out):
        return write(out, WINDOWS[:windows], output, finished=windows >= len(WINDOWS))


def write(
    out: Unfinished, windows: list[list[str]], output: Format, *, finished: bool
) -> list[tuple[int, int]]:
    found, line = [], 1
    for texts in windows:
        already = out.already(texts, shapes(output, line, len(texts)))
        found.append((already.units, (already.flags or Counter())["split"]))
        if already.units < len(texts):
            out.begin({"split": len(texts)})
            numbers = range(1, output.lines_each + 1)
            rest = texts[already.units :]
            out.write(
                [text.upper() if output == PLAIN else f"{n}\t\t{text}" for text in rest for n in numbers]
            )
        line += len(texts)
    if finished:
        out.finish()
    return found


@pytest.fixture
def whole(tmp_path: Path) -> bytes:
    run(tmp_path / "whole", resume=False)
    return (tmp_path / "whole").read_bytes()


def test_a_finished_file_has_no_note(tmp_path: Path, whole: bytes) -> None:
    assert whole == b"ONE\nTWO\nTHREE\nFOUR\nFIVE\nSIX\n"
    assert [path.name for path in tmp_path.iterdir()] == ["whole"]


def test_from_every_byte_of_a_partly_written_file_it_becomes_the_same(tmp_path: Path, whole: bytes) -> None:
    path = tmp_path / "out"
    for cut in range(len(whole) + 1):
        run(path, resume=False)
        path.write_bytes(whole[:cut])
        there = run(path, resume=True)
        assert path.read_bytes() == whole
        assert sum(units for units, _ in there) == whole[:cut].count(b"\n")


@pytest.mark.parametrize("cut", [0, 5, 200, 260, -1])
def test_a_note_that_is_cut_short_is_no_hindrance(tmp_path: Path, whole: bytes, cut: int) -> None:
    path = tmp_path / "out"
    run(path, resume=False, windows=2)
    note_of(path).write_bytes(note_of(path).read_bytes()[:cut])
    run(path, resume=True)
    assert path.read_bytes() == whole


def test_flags_of_windows_that_were_written_are_known_again(tmp_path: Path) -> None:
    run(tmp_path / "out", resume=False, windows=2)
    assert run(tmp_path / "out", resume=True) == [(3, 3), (2, 2), (0, 0)]


def test_a_half_written_n_best_list_is_written_anew(tmp_path: Path) -> None:
    output = Format(n_best=2)
    run(tmp_path / "whole", resume=False, output=output)
    whole = (tmp_path / "whole").read_bytes()
    path = tmp_path / "out"
    path.write_bytes(b"".join(whole.splitlines(keepends=True)[:5]) + b"2\t")
    assert run(path, resume=True, output=output)[0][0] == 2
    assert path.read_bytes() == whole


def test_other_options_are_noticed(tmp_path: Path) -> None:
    run(tmp_path / "out", resume=False, windows=1)
    with pytest.raises(RecipeError, match="begun with something else: another model; beam_size 5 → unset"):
        Unfinished(tmp_path / "out", {"model": "x" * 64, "new": True}, print, resume=True)


def test_another_engine_is_told_in_the_words_of_the_option() -> None:
    note = Note({"engine": "CTranslate2Engine", "converted": "a" * 64})
    assert list(note.changed({"engine": "TorchEngine", "converted": ""})) == ["engine ctranslate2 → torch"]
    other = {"engine": "CTranslate2Engine", "converted": "b" * 64}
    assert list(note.changed(other)) == ["another conversion of the model"]


def test_a_note_of_an_earlier_format_is_told(tmp_path: Path) -> None:
    run(tmp_path / "out", resume=False, windows=1)
    note = note_of(tmp_path / "out")
    note.write_text(note.read_text().replace('"format": 2', '"format": 1', 1))
    with pytest.raises(RecipeError, match="begun with something else: format of the note 1 → 2"):
        run(tmp_path / "out", resume=True)


def test_a_file_without_a_note_is_taken_and_that_is_said(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "out").write_bytes(whole[:9])
    said: list[str] = []
    run(tmp_path / "out", resume=True, said=said)
    assert (tmp_path / "out").read_bytes() == whole
    assert len(said) == 1 and "no note" in said[0]
    run(tmp_path / "new", resume=True, said=said)
    assert len(said) == 1


def test_another_text_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "out", resume=False, windows=2)
    monkeypatch.setitem(globals(), "WINDOWS", [["one", "2", "three"], ["four", "five"], ["six"]])
    with pytest.raises(DataError, match="a difference after line 0"):
        run(tmp_path / "out", resume=True)


def test_another_text_is_noticed_wherever_its_windows_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "out", resume=False, windows=2)
    monkeypatch.setitem(globals(), "WINDOWS", [["one", "2"], ["three", "four", "five", "six"]])
    with pytest.raises(DataError, match="a difference after line 0"):
        run(tmp_path / "out", resume=True)


def test_where_nothing_was_written_the_text_may_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    for _ in range(2):  # the second time, the windows of the first are known too
        monkeypatch.setitem(globals(), "WINDOWS", [["one", "two", "three"], ["four", "five"], ["six"]])
        run(path, resume=path.exists(), windows=2)
        path.write_bytes(b"ONE\nTWO\nTHREE\n")
        monkeypatch.setitem(globals(), "WINDOWS", [["one", "two", "three"], ["4"], ["five", "six"]])
        run(path, resume=True, windows=2)
        path.write_bytes(b"ONE\nTWO\nTHREE\n")
    run(path, resume=True)
    assert path.read_bytes() == b"ONE\nTWO\nTHREE\n4\nFIVE\nSIX\n"


@pytest.mark.parametrize("resume", [True, False])
def test_the_note_of_a_file_that_is_begun_anew_is_given_up(tmp_path: Path, resume: bool) -> None:
    path = tmp_path / "out"
    run(path, resume=False, windows=2)
    path.write_bytes(b"" if resume else b"ONE\n")
    with closing(Unfinished(path, {"model": "x" * 64}, print, resume=resume)):
        assert not note_of(path).exists()


def test_another_format_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("1\t\tone\none\n")
    with pytest.raises(DataError, match=r"line 1 of the text .* write: 'one'"):
        run(tmp_path / "out", resume=True, output=Format(n_best=2))


def test_a_file_that_is_longer_than_the_text_is_noticed_and_not_changed(tmp_path: Path, whole: bytes) -> None:
    (tmp_path / "out").write_bytes(whole + b"SEVEN\n")
    with pytest.raises(DataError, match="after the last of 6 lines"):
        run(tmp_path / "out", resume=True)
    assert (tmp_path / "out").read_bytes() == whole + b"SEVEN\n"


def test_blocks_of_a_document_are_told_as_blocks(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"

    def told() -> DataError:
        out = Unfinished(path, MADE_BY, print, resume=True, unit="block")
        with closing(out), pytest.raises(DataError) as caught:
            write(out, WINDOWS, PLAIN, finished=True)
        return caught.value

    path.write_bytes(whole + b"SEVEN\n")
    longer = told()
    assert longer.found == "there are translations after the last of 6 blocks of text"
    assert longer.expected == "at most as many translations as there are blocks"
    path.write_bytes(b'ONE\n{"line": 2, "source": "two"}\n')
    assert "what stands for block 2 of the text" in told().found
    run(path, resume=False, windows=2)
    monkeypatch.setitem(globals(), "WINDOWS", [["one", "two", "three"], ["4", "five"], ["six"]])
    assert told().found.endswith("a difference after block 3")


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="directory"):
        Unfinished(tmp_path, MADE_BY, print, resume=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="a file stands where a folder is needed"):
        Unfinished(tmp_path / "file" / "out", MADE_BY, print, resume=False)


@pytest.mark.parametrize("resume", [False, True])
def test_a_file_is_written_by_one_process_at_a_time(tmp_path: Path, whole: bytes, resume: bool) -> None:
    out = Unfinished(tmp_path / "out", MADE_BY, print, resume=False)
    with closing(out):
        write(out, WINDOWS[:2], PLAIN, finished=False)
        begun = (tmp_path / "out").read_bytes(), note_of(tmp_path / "out").read_bytes()
        with pytest.raises(RunError, match="another process is writing"):
            run(tmp_path / "out", resume=resume)
        assert begun == ((tmp_path / "out").read_bytes(), note_of(tmp_path / "out").read_bytes())
    run(tmp_path / "out", resume=True)
    assert (tmp_path / "out").read_bytes() == whole


def test_a_file_system_that_holds_nothing_is_written_all_the_same(
    tmp_path: Path, whole: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(stream: object, operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("fcntl.flock", flock)
    run(tmp_path / "out", resume=False)
    assert (tmp_path / "out").read_bytes() == whole


def test_a_device_has_no_note_and_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unfinished, "_begin_note", None)
    assert run(Path(os.devnull), resume=True) == [(0, 0), (0, 0), (0, 0)]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
def test_a_full_disk_is_told_with_the_file(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no space left") as told:
        run(Path("/dev/full"), resume=False)
    assert told.value.where == "/dev/full"
    out = Unfinished(tmp_path / "out", MADE_BY, print, resume=False)
    note_of(tmp_path / "out").symlink_to("/dev/full")
    with pytest.raises(RunError, match="no space left") as told, closing(out):
        out._notes = note_of(tmp_path / "out").open("ab")  # the disk is full from now on
        out.begin({})
    assert told.value.where == str(note_of(tmp_path / "out"))


def test_a_note_that_is_none_is_left_out(tmp_path: Path) -> None:
    assert Note.read(tmp_path / "none") is None
    (tmp_path / "bad").write_text("{}\n")
    assert Note.read(tmp_path / "bad") is None


def test_what_is_no_character_in_an_option_is_noted_and_compared(tmp_path: Path) -> None:
    path, prefix = tmp_path / "out", {"asked": ["caf\udce9"]}  # as bytes that are no UTF-8 are read
    with closing(Unfinished(path, prefix, print, resume=False)) as out:
        write(out, WINDOWS[:1], PLAIN, finished=False)
    with closing(Unfinished(path, prefix, print, resume=True)) as out:
        assert out.is_noted
    with pytest.raises(RecipeError, match="begun with something else: asked"):
        Unfinished(path, {"asked": ["caf"]}, print, resume=True)
