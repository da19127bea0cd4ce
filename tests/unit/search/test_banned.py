import torch

from mtkit.search.banned import automaton
from mtkit.search.demands import Banned
from mtkit.subword.vocabulary import EOS

SPELT = (b"", b"", b"", b"", b" a", b"b", b"ab", b" ", b"\xc3", b"\xa4")


def completing(texts: tuple[bytes, ...], *ids: int) -> set[int]:
    found = automaton(Banned((), texts, SPELT))
    state = found.state(torch.tensor(ids, dtype=torch.long))
    return set(found.completes[state].nonzero().flatten().tolist())


def test_a_text_is_completed_by_whichever_piece_holds_its_end() -> None:
    assert completing((b"ab",)) == {6}
    assert completing((b"ab",), 4) == {5, 6}
    assert completing((b"ab",), 4, 7) == {6}


def test_a_space_at_an_end_is_a_words_edge_and_so_is_the_end() -> None:
    assert completing((b"b ",), 5) == {4, 7, EOS}
    assert completing((b" ab",), 7) == {6}
    assert completing((b" ab",), 5) == set()


def test_bytes_spell_characters() -> None:
    assert completing(("ä".encode(),), 8) == {9}


def test_the_end_of_one_text_inside_another_counts() -> None:
    assert completing((b"abab", b"b a"), 6) == {4, 6}
    assert completing((b"aba", b"ba"), 6) == {6}


def test_only_the_last_pieces_matter() -> None:
    long = completing((b"ab",), *[5, 4] * 20)
    assert long == completing((b"ab",), 4)
