from collections.abc import Callable

import pytest
import torch

from mtkit.batches.batch import Batch, make_batch
from mtkit.errors import RunError
from mtkit.model.dropout import Rows
from mtkit.training.loss import LossSums
from mtkit.training.pieces import in_pieces_if_needed, is_out_of_memory
from mtkit.training.update import Found, added


@pytest.fixture
def batch() -> Batch:
    """Five pairs of unequal lengths."""
    sources = [[7] * count for count in (1, 5, 2, 3, 4)]
    return make_batch(sources, [ids[1:] for ids in sources], [30, 31, 32, 33, 34])


def fits(most: int, seen: list[Rows | None]) -> Callable[[Batch, Rows | None], Found]:
    """Computes for at most so many pairs; the gradient is the sum of rows, the loss that of tokens."""

    def compute(piece: Batch, rows: Rows | None) -> Found:
        seen.append(rows)
        if len(piece) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")
        tokens = torch.tensor(float(piece.target_tokens))
        return LossSums(tokens, tokens * 2), [piece.rows.sum().float(), None]

    return compute


def test_what_fits_is_computed_once_and_whole(batch: Batch) -> None:
    seen: list[Rows | None] = []
    (sums, found), split = in_pieces_if_needed(batch, fits(5, seen), added)
    assert (seen, split) == ([None], None)
    assert (float(sums.objective), found) == (15.0, [torch.tensor(160.0), None])


@pytest.mark.parametrize(("most", "pieces"), [(4, 2), (2, 3), (1, 5)])
def test_what_does_not_fit_is_halved_until_it_does_and_adds_up(batch: Batch, most: int, pieces: int) -> None:
    seen: list[Rows | None] = []
    (sums, found), split = in_pieces_if_needed(batch, fits(most, seen), added)
    assert (float(sums.objective), float(sums.nats)) == (15.0, 30.0)
    assert found == [torch.tensor(160.0), None]
    assert split is not None
    assert split == (31, 5, 6, 5, pieces)
    assert str(split) == f"5 pairs of up to 6 and 5 tokens in {pieces} pieces"
    computed = [rows for rows in seen if rows is not None and rows.last - rows.first <= most]
    assert [row for rows in computed for row in range(rows.first, rows.last)] == [0, 1, 2, 3, 4]


def test_pieces_keep_the_padding_of_the_whole(batch: Batch) -> None:
    piece = batch.part(2, 4)
    assert piece.source.shape == (2, 6)
    assert (piece.source_tokens, piece.target_tokens) == (3 + 4, 2 + 3)
    assert piece.rows.tolist() == [32, 33]
    assert torch.equal(piece.target_in, batch.target_in[2:4])
    assert torch.equal(piece.target_out, batch.target_out[2:4])


def test_a_pair_that_does_not_fit_alone_is_named(batch: Batch) -> None:
    with pytest.raises(RunError, match="one pair of 2 source and 1 target tokens") as caught:
        in_pieces_if_needed(batch, fits(0, []), added)
    assert caught.value.where == "line 31 of the training pairs"
    assert "max_tokens" in caught.value.advice
    with pytest.raises(RunError, match="the loss of one pair") as caught:
        in_pieces_if_needed(batch, fits(0, []), added, "validation")
    assert caught.value.where == "line 31 of the validation pairs"


def test_other_errors_are_not_taken_for_a_lack_of_memory(batch: Batch) -> None:
    def compute(piece: Batch, rows: Rows | None) -> Found:
        raise RuntimeError("shapes do not fit")

    with pytest.raises(RuntimeError, match="shapes do not fit"):
        in_pieces_if_needed(batch, compute, added)


def test_every_allocator_is_understood() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(MemoryError())
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert is_out_of_memory(RuntimeError("could not create a memory object"))
    assert is_out_of_memory(RuntimeError("could not create a primitive"))
    assert is_out_of_memory(RuntimeError("CUDA error: out of memory"))
    assert is_out_of_memory(RuntimeError("CUDA driver error: out of memory"))
    assert is_out_of_memory(RuntimeError("Triton Error [CUDA]: out of memory"))
    assert not is_out_of_memory(RuntimeError("memory of an elephant"))
    assert not is_out_of_memory(KeyboardInterrupt())
