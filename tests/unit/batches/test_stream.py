import itertools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mtkit.batches import stream as stream_module
from mtkit.batches.plan import plan_epoch
from mtkit.batches.store import IdStore
from mtkit.batches.stream import BatchStream, Position, cut
from mtkit.config.training import FixedTrainSettings
from mtkit.errors import RecipeError
from mtkit.subword.codec import Subword

Made = Callable[..., FixedTrainSettings]


def rows(stream: BatchStream, updates: int) -> list[list[int]]:
    return [[row for batch in stream.next_update() for row in batch.rows.tolist()] for _ in range(updates)]


def test_an_epoch_shows_every_pair_once(store: IdStore, train_settings: Made) -> None:
    stream = BatchStream(store, train_settings(), seed=1)
    seen = rows(stream, stream.batches_per_epoch(0))
    assert sorted(itertools.chain(*seen)) == list(range(300))
    assert stream.position == Position(1, 0)
    again = rows(stream, stream.batches_per_epoch(1))
    assert sorted(itertools.chain(*again)) == list(range(300))
    assert again != seen


def test_the_position_is_that_of_the_next_update(store: IdStore, train_settings: Made) -> None:
    stream = BatchStream(store, train_settings(), seed=1)
    assert stream.position == (0, 0)
    rows(stream, 3)
    assert stream.position == (0, 3)


def test_seeking_goes_on_as_the_uninterrupted_stream(store: IdStore, train_settings: Made) -> None:
    stream = BatchStream(store, train_settings(), seed=1)
    rows(stream, 5)
    position, expected = stream.position, rows(stream, 40)
    other = BatchStream(store, train_settings(), seed=1)
    other.seek(position)
    assert rows(other, 40) == expected
    stream.seek(position)
    assert rows(stream, 40) == expected


def test_a_position_behind_the_last_batch_is_the_next_epoch(store: IdStore, train_settings: Made) -> None:
    stream = BatchStream(store, train_settings(), seed=1)
    stream.seek(Position(0, stream.batches_per_epoch(0)))
    behind = rows(stream, 2)
    stream.seek(Position(1, 0))
    assert rows(stream, 2) == behind


def test_every_epoch_is_planned_once_however_often_the_first_is_asked_about(
    store: IdStore, train_settings: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[int] = []

    def noted(*arguments: Any) -> Any:
        planned.append(arguments[-1])
        return plan_epoch(*arguments)

    monkeypatch.setattr(stream_module, "plan_epoch", noted)
    stream = BatchStream(store, train_settings(batch_tokens=2048), seed=1)
    while stream.position.epoch < 5:  # as a training does that is to end after so many epochs
        stream.next_update()
        assert stream.batches_per_epoch(0) > 1
    assert planned == list(range(5))


def test_another_seed_is_another_stream(store: IdStore, train_settings: Made) -> None:
    assert rows(BatchStream(store, train_settings(), seed=1), 3) != rows(
        BatchStream(store, train_settings(), seed=2), 3
    )


def test_no_update_is_above_the_budget(store: IdStore, train_settings: Made) -> None:
    stream = BatchStream(store, train_settings(), seed=1)
    tokens = [sum(batch.target_tokens for batch in stream.next_update()) for _ in range(60)]
    assert max(tokens) <= 256
    assert np.mean(tokens) > 0.75 * 256


def test_accumulating_cuts_the_same_updates(store: IdStore, train_settings: Made) -> None:
    whole = BatchStream(store, train_settings(), seed=1)
    cut_up = BatchStream(store, train_settings(accumulate=2), seed=1)
    for _ in range(40):
        (batch,), parts = whole.next_update(), cut_up.next_update()
        assert len(parts) <= 2
        assert sorted(row for part in parts for row in part.rows.tolist()) == sorted(batch.rows.tolist())
        assert sum(part.target_tokens for part in parts) == batch.target_tokens


def test_the_padding_share_counts_both_sides(store: IdStore, train_settings: Made) -> None:
    stream = BatchStream(store, train_settings(), seed=1)
    assert stream.padding_share == 0
    batches = [batch for _ in range(5) for batch in stream.next_update()]
    padded = sum(int((~batch.source_is_token).sum() + (~batch.target_is_token).sum()) for batch in batches)
    assert padded > 0
    assert stream.padding_share == pytest.approx(padded / sum(batch.positions for batch in batches))


def test_sampling_shows_every_pair_once_with_other_ids(
    store: IdStore, subword: Subword, train_settings: Made
) -> None:
    settings = train_settings(subword_sampling={"probability": 0.2})
    stream = BatchStream(store, settings, seed=1, subword=subword)
    updates = [stream.next_update() for _ in range(stream.batches_per_epoch(0))]
    batches = [batch for update in updates for batch in update]
    assert sorted(row for batch in batches for row in batch.rows.tolist()) == list(range(300))
    assert sum(batch.target_tokens for batch in batches) > 1.1 * store.summary.target_tokens
    tokens = np.array([sum(batch.target_tokens for batch in update) for update in updates])
    assert 0.75 * 256 < tokens.mean() < 1.05 * 256


def test_sampling_goes_on_from_any_position_as_if_uninterrupted(
    store: IdStore, subword: Subword, train_settings: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mtkit.batches.stream.GROUP_BATCHES", 4)
    settings = train_settings(subword_sampling={"probability": 0.2})
    whole = BatchStream(store, settings, seed=1, subword=subword)
    positions, updates = [], []
    for _ in range(whole.batches_per_epoch(0) + 6):
        positions.append(whole.position)
        updates.append(whole.next_update()[0].source)
    for start in (3, 4, 9, len(updates) - 2):
        other = BatchStream(store, settings, seed=1, subword=subword)
        other.seek(positions[start])
        assert torch.equal(other.next_update()[0].source, updates[start])
        assert torch.equal(other.next_update()[0].source, updates[start + 1])


def test_sampling_that_has_no_effect_is_refused_at_once(
    store: IdStore, subword: Subword, train_settings: Made
) -> None:
    with pytest.raises(RecipeError, match="temperature"):
        BatchStream(store, train_settings(subword_sampling={"temperature": 0.5}), seed=1, subword=subword)


def test_a_closed_stream_leaves_no_thread_and_goes_on_when_asked(
    store: IdStore, train_settings: Made
) -> None:
    expected = rows(BatchStream(store, train_settings(), seed=1), 6)
    before = set(threading.enumerate())
    with BatchStream(store, train_settings(), seed=1, ahead=2) as stream:
        first = rows(stream, 3)
        (making,) = set(threading.enumerate()) - before
        stream.close()
        assert not making.is_alive()
        assert first + rows(stream, 3) == expected
        (making,) = set(threading.enumerate()) - before
    assert not making.is_alive()


@pytest.mark.parametrize("ahead", [0, 2])
def test_an_error_reaches_the_caller_and_the_next_call_tries_again(
    store: IdStore, train_settings: Made, monkeypatch: pytest.MonkeyPatch, ahead: int
) -> None:
    expected = rows(BatchStream(store, train_settings(), seed=1), 1)
    with BatchStream(store, train_settings(), seed=1, ahead=ahead) as stream:
        with monkeypatch.context() as broken:
            broken.setattr("mtkit.batches.stream.make_batch", broken_disk)
            with pytest.raises(OSError, match="the disk is gone"):
                stream.next_update()
        assert stream.position == (0, 0)
        assert rows(stream, 1) == expected


def broken_disk(*_: object) -> None:
    raise OSError("the disk is gone")


def test_an_update_is_cut_into_parts_of_about_as_many_tokens() -> None:
    random = np.random.default_rng(1)
    source, target = random.integers(1, 30, 100), random.integers(1, 30, 100)
    for parts in (1, 2, 3, 8):
        made = cut(source, target, parts)
        assert len(made) == parts
        assert sorted(np.concatenate(made).tolist()) == list(range(100))
        assert max(int(target[part].sum()) for part in made) <= target.sum() / parts + 30


def test_fewer_pairs_than_parts_make_fewer_micro_batches() -> None:
    made = cut(np.array([3, 4]), np.array([3, 4]), 8)
    assert sorted(part.tolist() for part in made) == [[0], [1]]
