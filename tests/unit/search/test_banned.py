import pytest
import torch

from mtkit.config.search import SearchSettings
from mtkit.search import banned
from mtkit.search.banned import automaton
from mtkit.search.constraints import Constraints
from mtkit.search.demands import Banned, Demands
from mtkit.subword.vocabulary import EOS

CPU = torch.device("cpu")
SPELT = (b"", b"", b"", b"", b" a", b"b", b"ab", b" ", b"\xc3", b"\xa4")


def completing(texts: tuple[bytes, ...], *ids: int) -> set[int]:
    found = automaton(Banned((), texts, SPELT), CPU)
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


def test_the_beginning_is_a_words_edge_even_without_a_space() -> None:
    assert completing((b" ab",)) == {6}
    assert completing((b" b",)) == {5}
    assert completing((b" bb",), 5) == {5}
    assert completing((b" b",), 4) == set()


def test_bytes_spell_characters() -> None:
    assert completing(("ä".encode(),), 8) == {9}


def test_the_end_of_one_text_inside_another_counts() -> None:
    assert completing((b"abab", b"b a"), 6) == {4, 6}
    assert completing((b"aba", b"ba"), 6) == {6}


def test_only_the_last_pieces_matter() -> None:
    long = completing((b"ab",), *[5, 4] * 20)
    assert long == completing((b"ab",), 4)


def test_a_table_made_in_blocks_is_the_table_in_four_bytes_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = (b"abab", b"b a", "ä".encode())
    whole = automaton(Banned((), texts, SPELT), CPU)
    monkeypatch.setattr(banned, "_AT_ONCE", 2 * len(SPELT))
    blocks = automaton(Banned((), texts, SPELT), CPU)
    assert torch.equal(whole.following, blocks.following) and torch.equal(whole.completes, blocks.completes)
    assert blocks.following.dtype == torch.int32


def test_all_batches_share_one_table() -> None:
    demands = Demands(banned=Banned((), (b"ab",), SPELT))
    one, other = (Constraints([1], [2], SearchSettings(), demands, CPU) for _ in range(2))
    assert one.texts is not None and one.texts is other.texts
