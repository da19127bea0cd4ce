"""Ids of another list than SentencePiece's own."""

from pathlib import Path
from typing import Any

import pytest
import sentencepiece

from mtkit.subword.imported import Renumbered, numbered
from mtkit.subword.vocabulary import UNK

SPACE = "\x1a"  # what stands for U+2581 on its way here


@pytest.fixture
def processor(toy: Path) -> Any:
    return sentencepiece.SentencePieceProcessor(model_file=str(toy / "subword" / "shared.model"))


@pytest.fixture
def renumbered(processor: Any) -> Renumbered:
    pieces = [processor.id_to_piece(number) for number in range(len(processor) - 1, 3, -1)]
    return Renumbered(processor, ["<pad>", "<unk>", "<s>", "</s>", ">>x<<", "elsewhere", *pieces], SPACE)


def test_a_line_is_cut_as_sentencepiece_cuts_it_and_comes_back(
    renumbered: Renumbered, processor: Any
) -> None:
    (ids,) = renumbered.encode(["fab ed"])
    assert renumbered.id_to_piece(ids) == processor.encode("fab ed", out_type=str)
    assert ids != processor.encode("fab ed")
    assert renumbered.decode([ids, []]) == ["fab ed", ""]
    assert (renumbered.decode(ids), renumbered.decode([])) == ("fab ed", "")


def test_one_line_is_cut_as_among_others(renumbered: Renumbered) -> None:
    lines = ["fab ed", ">>x<< fab", "fab ß", f"a{SPACE}b", ""]
    assert [renumbered.encode(line) for line in lines] == renumbered.encode(lines)


def test_a_language_code_that_is_known_is_one_piece(renumbered: Renumbered) -> None:
    assert renumbered.encode([">>x<< fab"])[0] == [4, *renumbered.encode([" fab"])[0]]
    assert 4 not in renumbered.encode([">>y<< fab", "fab >>x<<", ">>x fab"])[0]


def test_what_the_list_lacks_is_unknown_and_what_only_it_has_is_text(renumbered: Renumbered) -> None:
    assert UNK in renumbered.encode(["fab ß"])[0]
    assert "elsewhere" in renumbered.decode([[5]])[0]
    assert renumbered.decode([[0, 1, 2, 3]]) == [""]
    assert [renumbered.is_control(number) for number in range(5)] == [True, False, True, True, False]


def test_ids_are_put_into_our_order_and_a_beginning_that_is_padding_has_a_row_of_its_own() -> None:
    assert numbered(6, (5, 1, 5, 0)) == [5, 1, 5, 0, 2, 3, 4]
    assert numbered(4, (3, 1, 2, 0)) == [3, 1, 2, 0]
