from pathlib import Path

import pytest

from mtkit.errors import DataError
from mtkit.export.probe import NASTY, corpus_lines, nasty_lines, stem_lines
from mtkit.files import write_lines


def test_odd_lines_are_lines_and_none_is_there_twice() -> None:
    assert not [line for line in NASTY if "\n" in line]
    assert len(set(NASTY)) == len(NASTY)
    assert {line.reference for line in nasty_lines()} == {None}


def test_both_held_out_splits_are_read_with_their_references(toy: Path) -> None:
    lines = corpus_lines(toy / "corpus", 3)
    assert [line.origin for line in lines] == ["valid"] * 3 + ["test"] * 3
    assert [line.reference for line in lines] == [line.source[::-1] for line in lines]


def test_a_corpus_without_a_split_has_no_lines_of_it(tmp_path: Path) -> None:
    assert corpus_lines(tmp_path, 3) == []


def test_a_text_is_named_by_its_stem(tmp_path: Path) -> None:
    write_lines(tmp_path / "news.de", ["ein", "zwei"])
    write_lines(tmp_path / "news.en", ["one", "two"])
    [line] = stem_lines(tmp_path / "news", "de", "en", 1)
    assert (line.source, line.reference, line.origin) == ("ein", "one", "text")
    write_lines(tmp_path / "news.en", ["one"])
    with pytest.raises(DataError, match="2 and 1 lines"):
        stem_lines(tmp_path / "news", "de", "en", 5)
    for folder in (Path(), Path("/")):
        with pytest.raises(DataError, match="this is a folder"):
            stem_lines(folder, "de", "en", 5)
