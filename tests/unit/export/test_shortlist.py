"""The file that CTranslate2 reads, and what a shortlist is learnt from."""

from pathlib import Path

import numpy as np
import pytest

from mtkit.errors import DataError
from mtkit.export.lexicon import Lexicon
from mtkit.export.shortlist import FILE, corpus_pairs, learn, stem_pairs, widths, write_shortlist
from mtkit.files import read_lines, write_lines
from mtkit.subword.codec import Subword


class Names:
    """Vocabularies by their pieces alone."""

    def __init__(self, source: list[str], target: list[str]) -> None:
        self._pieces = {"source": source, "target": target}

    def size(self, side: str) -> int:
        return len(self._pieces[side])

    def pieces(self, ids: range, side: str) -> list[str]:
        return [self._pieces[side][one] for one in ids]

    def decode(self, ids: list[int], side: str) -> str:
        return "".join(self._pieces[side][one] for one in ids)

    def encode(self, lines: list[str], side: str) -> list[list[int]]:
        """A piece a character, as far as there are such."""
        pieces = self._pieces[side]
        return [[pieces.index(character) for character in line if character in pieces] for line in lines]


def written(tmp_path: Path, source: list[str], target: list[str], most: int) -> list[str]:
    entries = [(0, 2), (0, 1), (1, 0), (2, 1), (4, 0)]  # 4: from nothing
    lexicon = Lexicon(
        np.array([one for one, _ in entries]),
        np.array([other for _, other in entries]),
        np.ones(len(entries)),
        nothing=4,
        frequent=(1, 0),
        pairs=1,
    )
    write_shortlist(tmp_path, lexicon, Names(source, target), most)  # type: ignore[arg-type]
    return list(read_lines(tmp_path / FILE))


def test_each_source_piece_has_a_line_and_what_is_copied_stands_in_it(tmp_path: Path) -> None:
    lines = written(tmp_path, ["▁a", "▁b", "▁c", "▁d"], ["▁x", "▁y", "▁z", "▁b", "▁d"], 2)
    assert lines == ["\t▁y ▁x", "▁a\t▁z ▁y", "▁b\t▁x ▁b", "▁c\t▁y", "▁d\t▁d"]


def test_what_stands_nowhere_in_the_text_can_be_spelt(tmp_path: Path) -> None:
    lines = written(tmp_path, ["a", "b", "c", "zxz?"], ["x", "y", "z"], 1)
    assert lines[-1] == "zxz?\tz x"


def test_no_more_pieces_are_on_a_list_than_asked_for(tmp_path: Path) -> None:
    assert written(tmp_path, ["a", "b", "c", "d"], ["x", "y", "z"], 1)[1] == "a\tz"


def test_pieces_that_the_layout_has_no_place_for_are_on_no_list(tmp_path: Path) -> None:
    lines = written(tmp_path, ["a a", "\t", "c", "d"], ["x", "y\n", "z", "\t"], 2)
    assert lines == ["\tx", "c\t"]


def test_wider_shortlists_end_before_they_are_the_vocabulary() -> None:
    assert list(widths(20, 100)) == [20, 40, 80]
    assert list(widths(100, 100)) == []


def test_a_named_text_is_normalised_and_must_have_two_sides_of_one_length(tmp_path: Path) -> None:
    (tmp_path / "t.en").write_text("ﬁ\nb\n")
    (tmp_path / "t.de").write_text("x\ny\n")
    assert stem_pairs(tmp_path / "t", "en", "de", "nfkc") == (["fi", "b"], ["x", "y"])
    (tmp_path / "t.de").write_text("x\n")
    with pytest.raises(DataError, match="2 and 1 lines"):
        stem_pairs(tmp_path / "t", "en", "de", "nfkc")


def test_text_without_a_pair_teaches_nothing(toy: Path) -> None:
    codec = Subword.load(toy / "subword")
    with pytest.raises(DataError, match="1 pairs, none with two sides"):
        learn(codec, (["abc"], [""]))


def test_of_a_large_text_some_lines_are_read_spread_evenly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [str(number) for number in range(10)]
    for name in ("train.source", "train.target", "t.en", "t.de"):
        write_lines(tmp_path / name, lines)
    monkeypatch.setattr("mtkit.export.shortlist.MOST_LINES", 3)
    assert corpus_pairs(tmp_path) == (["0", "4", "8"], ["0", "4", "8"])
    assert stem_pairs(tmp_path / "t", "en", "de", "nfkc") == (["0", "4", "8"], ["0", "4", "8"])
    monkeypatch.setattr("mtkit.export.shortlist.MOST_LINES", 10)
    assert corpus_pairs(tmp_path) == (lines, lines)
