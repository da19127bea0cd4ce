import numpy as np
import pytest
import torch

from mtkit.batches.batch import Batch, make_batch
from mtkit.batches.packed import ROWS, Packed, filled
from mtkit.batches.store import IdStore
from mtkit.batches.stream import BatchStream, Share
from mtkit.config.training import FixedTrainSettings
from mtkit.subword.vocabulary import BOS, EOS, PAD

LONGEST = 200


@pytest.fixture
def batch() -> Batch:
    return make_batch([[5, 6], [7]], [[8], [9, 10, 11]], rows=[0, 1])


def packed_of(batch: Batch) -> Packed:
    packed = batch.pack(LONGEST).packed
    assert packed is not None
    return packed


def test_sentences_lie_one_after_the_other_and_the_filler_is_last(batch: Batch) -> None:
    packed = packed_of(batch)
    assert packed.source.tolist() == [5, 6, EOS, 7, EOS] + [PAD] * (ROWS - 5)
    assert packed.target_in.tolist() == [BOS, 8, BOS, 9, 10, 11] + [PAD] * (ROWS - 6)
    assert packed.target_out.tolist() == [8, EOS, 9, 10, 11, EOS]
    assert packed.of_source.starts.tolist() == [0, 3, 5, ROWS]
    assert packed.of_target.positions.tolist() == [0, 1, 0, 1, 2, 3] + [0] * (ROWS - 6)
    assert packed.of_target.longest == LONGEST
    assert packed.of_source.starts.dtype == torch.int32  # what attention of variable length asks for


@pytest.mark.parametrize(
    ("tokens", "rows"), [(1, ROWS), (ROWS - 1, ROWS), (ROWS, 2 * ROWS), (2 * ROWS + 1, 3 * ROWS)]
)
def test_there_is_always_some_filler_and_never_more_than_a_tile(tokens: int, rows: int) -> None:
    assert filled(tokens) == rows


def test_where_a_batch_goes_only_its_packed_form_goes(batch: Batch) -> None:
    moved = batch.pack(LONGEST).to("meta")
    assert moved.packed is not None
    assert {moved.packed.source.device.type, moved.packed.of_source.starts.device.type} == {"meta"}
    assert moved.source.device.type == "cpu"
    assert (moved.source_tokens, moved.target_tokens, len(moved)) == (5, 6, 2)


def test_a_stream_packs_the_same_pairs_and_counts_the_filler_of_all_processes(store: IdStore) -> None:
    settings = FixedTrainSettings.model_validate(
        {"batch_tokens": 256, "accumulate": 2, "max_tokens": 96, "until": {"updates": 1000}}
    )
    padded = BatchStream(store, settings, 1).next_update()
    stream = BatchStream(store, settings, 1, pack=True)
    update, half = stream.next_update(), BatchStream(store, settings, 1, pack=True, share=Share(1, 2))
    assert np.array_equal(update.rows, padded.rows)
    assert [batch.source_tokens for batch in update] == [batch.source_tokens for batch in padded]
    rows = sum(filled(batch.source_tokens) + filled(batch.target_tokens) for batch in update)
    assert (
        update.positions == sum(batch.positions for batch in update) == half.next_update().positions == rows
    )
    assert stream.padding_share == 1 - (update.source_tokens + update.target_tokens) / rows
