import numpy as np
import pytest
import torch

from mtkit.batches.batch import Batch, make_batch


@pytest.fixture
def batch() -> Batch:
    return make_batch([[10, 11], [12]], [[20], np.array([21, 22, 23], dtype=np.uint16)], [5, 2])


def test_each_side_ends_in_eos_and_is_padded_to_its_longest(batch: Batch) -> None:
    assert batch.source.tolist() == [[10, 11, 3], [12, 3, 0]]
    assert batch.target_out.tolist() == [[20, 3, 0, 0], [21, 22, 23, 3]]


def test_the_decoder_reads_bos_and_the_target_but_never_eos(batch: Batch) -> None:
    assert batch.target_in.tolist() == [[2, 20, 0, 0], [2, 21, 22, 23]]


def test_the_masks_are_true_where_a_token_stands(batch: Batch) -> None:
    assert batch.source_is_token.tolist() == [[True, True, True], [True, True, False]]
    assert batch.target_is_token.tolist() == [[True, True, False, False], [True, True, True, True]]


def test_tokens_are_counted_with_eos_and_without_padding(batch: Batch) -> None:
    assert (batch.source_tokens, batch.target_tokens, batch.positions) == (5, 6, 14)
    assert len(batch) == 2


def test_rows_and_types_are_as_promised(batch: Batch) -> None:
    assert batch.rows.tolist() == [5, 2]
    assert {batch.source.dtype, batch.target_in.dtype, batch.target_out.dtype, batch.rows.dtype} == {
        torch.int64
    }
    assert {batch.source_is_token.dtype, batch.target_is_token.dtype} == {torch.bool}


def test_empty_sentences_are_an_eos_each() -> None:
    batch = make_batch([[], []], [[], [7]], [0, 1])
    assert batch.source.tolist() == [[3], [3]]
    assert batch.target_in.tolist() == [[2, 0], [2, 7]]
    assert batch.target_out.tolist() == [[3, 0], [7, 3]]
    assert batch.target_tokens == 3


def test_moving_a_batch_moves_its_tensors_and_leaves_rows_on_the_cpu(batch: Batch) -> None:
    moved = batch.to("meta")
    assert {moved.source.device.type, moved.target_in.device.type, moved.target_is_token.device.type} == {
        "meta"
    }
    assert moved.rows.device.type == "cpu"
    assert moved.target_tokens == batch.target_tokens


@pytest.mark.gpu
def test_a_pinned_batch_reaches_the_gpu_unchanged(batch: Batch) -> None:
    pinned = batch.pin_memory()
    assert pinned.source.is_pinned()
    assert torch.equal(pinned.to("cuda").target_out.cpu(), batch.target_out)
