import numpy as np
import pytest

from mtkit.batches import sampling as sampling_module
from mtkit.batches.sampling import SampledPairs
from mtkit.batches.store import IdStore
from mtkit.config.training import SubwordSampling
from mtkit.errors import RecipeError
from mtkit.subword.codec import Subword

BATCHES = [np.arange(start, start + 20) for start in range(0, 200, 20)]


def sampled_pairs(store: IdStore, subword: Subword, max_tokens: int = 500, **values: object) -> SampledPairs:
    return SampledPairs(store, subword, SubwordSampling.model_validate(values), max_tokens, seed=1)


def test_a_group_holds_the_same_text_in_as_many_batches(store: IdStore, subword: Subword) -> None:
    group = sampled_pairs(store, subword, probability=0.3).group(BATCHES, 0, 0)
    assert len(group) == len(BATCHES)
    assert sorted(np.concatenate([pairs.numbers for pairs in group]).tolist()) == list(range(200))
    for sources, targets, numbers in group:
        assert subword.decode_all(sources, "source") == subword.decode_all(
            store.ids(numbers, "source"), "source"
        )
        assert subword.decode_all(targets, "target") == subword.decode_all(
            store.ids(numbers, "target"), "target"
        )


def test_a_group_is_sampled_by_epoch_and_group(store: IdStore, subword: Subword) -> None:
    sampled = sampled_pairs(store, subword)

    def ids(epoch: int, group: int) -> list[list[int]]:
        return [
            list(map(int, one)) for pairs in sampled.group(BATCHES, epoch, group) for one in pairs.sources
        ]

    assert ids(0, 0) == ids(0, 0)
    assert ids(0, 1) != ids(0, 0)
    assert ids(1, 0) != ids(0, 0)


def test_sampled_sentences_are_cut_off_at_the_longest_length(store: IdStore, subword: Subword) -> None:
    group = sampled_pairs(store, subword, max_tokens=12, probability=0.5).group(BATCHES, 0, 0)
    assert max(len(ids) + 1 for pairs in group for ids in pairs.sources) == 12
    assert max(len(ids) + 1 for pairs in group for ids in pairs.targets) == 12


def test_only_the_sides_that_are_named_are_sampled(store: IdStore, subword: Subword) -> None:
    for pairs in sampled_pairs(store, subword, probability=0.5, sides="target").group(BATCHES, 0, 0):
        stored = [ids.tolist() for ids in store.ids(pairs.numbers, "source")]
        assert [list(ids) for ids in pairs.sources] == stored


def test_growth_is_one_without_sampling_and_more_with_it(store: IdStore, subword: Subword) -> None:
    assert sampled_pairs(store, subword, probability=0.0).growth() == 1
    assert sampled_pairs(store, subword, sides="source").growth() == 1
    assert sampled_pairs(store, subword, probability=0.3).growth() > 1.15


def test_sampling_at_once_or_in_turns_takes_every_sentence(
    store: IdStore, subword: Subword, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sampling_module, "SAMPLED_AT_ONCE", 7)
    group = sampled_pairs(store, subword).group(BATCHES, 0, 0)
    assert sorted(np.concatenate([pairs.numbers for pairs in group]).tolist()) == list(range(200))


def test_sampling_that_does_not_fit_the_vocabulary_is_refused(store: IdStore, subword: Subword) -> None:
    with pytest.raises(RecipeError, match="temperature"):
        sampled_pairs(store, subword, temperature=0.3)
