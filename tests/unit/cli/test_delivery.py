import os
import signal
from collections import Counter
from pathlib import Path

import pytest

from mtkit.cli.delivery import Tally, check_output, interruptions_wait
from mtkit.errors import DataError, FlagError, RecipeError, RunError
from mtkit.translation.resuming import Already, note_of
from mtkit.translation.translation import Candidate, Translation

NOTHING = Already(0, Counter())


def translations(*flags: str) -> list[Translation]:
    return [Translation("s", (Candidate("t", -1.0, -1.0, 1),), tuple(one.split())) for one in flags]


def test_an_interruption_waits_until_what_is_ready_is_written() -> None:
    written = []
    with pytest.raises(KeyboardInterrupt), interruptions_wait():
        os.kill(os.getpid(), signal.SIGINT)
        written.append("all of it")
    assert written == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_interruption_does_not_wait() -> None:
    written = []
    with pytest.raises(KeyboardInterrupt), interruptions_wait():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        written.append("never")
    assert written == []


def test_an_interruption_that_is_ignored_stays_so() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptions_wait():
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_tally_counts_what_is_new_and_what_was_there() -> None:
    tally = Tally(frozenset())
    tally.add(Already(3, Counter(split=2)), [])
    tally.add(Already(1, Counter(split=9)), translations("split", "", "empty"))
    assert tally.line() == "6 lines in 0 s · 4 of them were there already · 1 empty · 3 split"


def test_flags_that_nobody_noted_are_not_taken_for_none() -> None:
    tally = Tally(frozenset({"copied"}))
    tally.add(Already(3, Counter()), [])
    tally.check("out")
    tally.add(Already(2), [])
    with pytest.raises(FlagError, match="2 translations were there already, and nothing is noted"):
        tally.check("out")
    lenient = Tally(frozenset())
    lenient.add(Already(2), [])
    lenient.check("out")


def test_a_documents_blocks_are_counted_as_such() -> None:
    tally = Tally(frozenset({"copied"}), "block")
    tally.add(NOTHING, translations("copied"))
    assert tally.line() == "1 block in 0 s · 1 copied"
    with pytest.raises(FlagError, match=r"1 copied \(block 1\)") as told:
        tally.check("stdout")
    assert told.value.advice.startswith("Look at these blocks;")


def test_flags_that_are_not_allowed_are_told_with_their_first_lines() -> None:
    tally = Tally(frozenset({"repeated", "copied"}))
    tally.check("stdout")
    tally.add(NOTHING, translations("", "copied", "split", *["repeated copied"] * 9))
    with pytest.raises(FlagError) as told:
        tally.check("stdout")
    assert told.value.found.endswith("9 repeated, 10 copied (line 2, 4, 5, 6, 7, …)")


def test_text_and_translations_must_be_two_files(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("one\n")
    (tmp_path / "link").hardlink_to(text)
    with pytest.raises(RecipeError, match="the same file"):
        check_output(text, tmp_path / "link")
    text.rename(tmp_path / "out.unfinished")
    with pytest.raises(RecipeError, match=r"the text and the note beside .*out are the same file"):
        check_output(tmp_path / "out.unfinished", tmp_path / "out")
    assert (tmp_path / "out.unfinished").read_text() == "one\n"


def test_a_place_that_takes_no_files_is_no_file_that_is_missing(unwritable: Path) -> None:
    with pytest.raises(RunError, match="nothing can be written here"):
        check_output(None, unwritable)


@pytest.mark.parametrize("length", [235, 250])
def test_a_name_too_long_for_its_note_is_told_before_the_file_is_emptied(tmp_path: Path, length: int) -> None:
    out = tmp_path / ("o" * length)
    out.write_text("one\n")
    with pytest.raises(RunError, match=r"no note can be made of how far the translations are: .*too long"):
        check_output(None, out)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["one\n"]


def test_a_folder_that_takes_no_note_is_told_before_the_file_is_emptied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.write_text("one\n")
    note_of(out).mkdir()
    with pytest.raises(RunError, match=r"no note can be made .*: this is a directory"):
        check_output(None, out)
    note_of(out).rmdir()

    def denied(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("mtkit.files.tempfile.mkstemp", denied)  # root may write anywhere
    with pytest.raises(RunError, match=r"no note can be made .*: permission denied"):
        check_output(None, out)
    assert [path.read_text() for path in tmp_path.iterdir()] == ["one\n"]


def test_a_place_that_cannot_be_written_is_told_and_nothing_is_left_behind(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("one\n")
    with pytest.raises(RecipeError, match="no such folder to write to"):
        check_output(text, tmp_path / "none" / "out")
    with pytest.raises(DataError, match="directory"):
        check_output(text, tmp_path)
    with pytest.raises(RecipeError, match=r"not as \.gz"):
        check_output(text, tmp_path / "out.gz")
    check_output(text, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
