from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from mtkit.config.model import ModelSettings
from mtkit.config.search import Sampling, SearchSettings
from mtkit.errors import ModelError
from mtkit.model.cache import Cache
from mtkit.model.transformer import Transformer
from mtkit.search import batching
from mtkit.search.beam import search
from mtkit.subword.vocabulary import BOS, EOS

SIZE = 8
TINY = {"dim": 8, "heads": 2, "ffn_dim": 11, "encoder_layers": 1, "decoder_layers": 1}


class Chain(Transformer):
    """A model whose next id depends on the last one only, by a table of probabilities."""

    def __init__(self, table: dict[int, dict[int, float]], **changes: Any) -> None:
        super().__init__(ModelSettings.model_validate({**TINY, **changes}), SIZE, SIZE)
        self.table = torch.full((SIZE, SIZE), 1 / SIZE)
        for last, following in table.items():
            self.table[last] = 0.0
            for number, probability in following.items():
                self.table[last, number] = probability
        self.sizes: list[int] = []

    def step(self, ids: Tensor, cache: Cache) -> Tensor:
        self.sizes.append(len(ids))
        super().step(ids, cache)
        return self.table[ids].log()


def best_ids(model: Transformer, sources: Sequence[Sequence[int]], **settings: Any) -> list[tuple[int, ...]]:
    return [found[0].ids for found in search(model, sources, SearchSettings(**settings))]


GARDEN_PATH = {BOS: {4: 0.6, 5: 0.4}, 4: {6: 0.5, 7: 0.5}, 5: {6: 1.0}, 6: {EOS: 1.0}, 7: {EOS: 1.0}}


def test_greedy_takes_the_likeliest_step_and_a_beam_the_likeliest_whole() -> None:
    model = Chain(GARDEN_PATH)
    assert best_ids(model, [[4]], beam_size=1) == [(4, 6)]
    assert best_ids(model, [[4]], beam_size=2) == [(5, 6)]


def test_n_best_come_best_first() -> None:
    found = search(Chain(GARDEN_PATH), [[4]], SearchSettings(beam_size=3, n_best=3))[0]
    assert [hypothesis.ids for hypothesis in found] == [(5, 6), (4, 6), (4, 7)]
    assert all(hypothesis.finished for hypothesis in found)


def test_the_length_penalty_can_prefer_the_longer() -> None:
    table = {BOS: {EOS: 0.4, 4: 0.36, 5: 0.24}, 4: {6: 1.0}, 6: {7: 1.0}, 7: {EOS: 1.0}}
    assert best_ids(Chain(table), [[4]], beam_size=3, length_penalty=0.0) == [()]
    assert best_ids(Chain(table), [[4]], beam_size=3, length_penalty=0.6) == [(4, 6, 7)]


def test_what_never_ends_is_cut_at_its_own_limit_and_flagged() -> None:
    model = Chain({BOS: {4: 1.0}, 4: {4: 1.0}})
    settings = SearchSettings(beam_size=2, max_length_factor=2.0, max_length_extra=1)
    found = search(model, [[5], [5, 5, 5], []], settings)
    assert [len(hypotheses[0].ids) for hypotheses in found] == [3, 7, 1]
    assert not any(hypotheses[0].finished for hypotheses in found)


def test_sentences_that_are_done_leave_the_batch() -> None:
    model = Chain({BOS: {4: 1.0}, 4: {4: 1.0}})
    search(model, [[5], [5, 5, 5]], SearchSettings(beam_size=2, max_length_factor=1.0, max_length_extra=1))
    assert model.sizes == [2, 4, 2, 2]  # at first one hypothesis reads for all of its sentence


def test_search_stops_early_when_the_best_is_certain() -> None:
    model = Chain({BOS: {4: 0.9, 5: 0.1}, 4: {EOS: 1.0}, 5: {5: 1.0}})
    assert best_ids(model, [[5] * 40], beam_size=4, length_penalty=0.0) == [(4,)]
    assert len(model.sizes) == 2


def test_results_come_in_the_order_of_the_sources_whatever_the_batches() -> None:
    model = Chain({BOS: {4: 1.0}, 4: {4: 1.0}})
    settings = SearchSettings(beam_size=1, max_length_factor=1.0, max_length_extra=1)
    sources = [[5] * length for length in (3, 1, 7, 2, 7)]
    for batch_tokens in (1, 9, 1000):
        found = search(model, sources, settings, batch_tokens=batch_tokens)
        assert [len(hypotheses[0].ids) for hypotheses in found] == [4, 2, 8, 3, 8]


def test_no_more_hypotheses_are_searched_at_once_than_a_batch_may_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "MOST_LOGITS", 3 * 2 * SIZE)
    model = Chain({BOS: {4: 1.0}, 4: {EOS: 1.0}})
    search(model, [[5]] * 7, SearchSettings(beam_size=2))
    assert model.sizes == [3, 6, 3, 6, 1, 2]


def test_samples_that_are_too_many_at_once_are_drawn_one_lot_after_the_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = SearchSettings(sampling=Sampling(), n_best=5)
    whole = search(Chain({}), [[5, 6], [7]], settings)
    monkeypatch.setattr(batching, "MOST_LOGITS", 4 * 2 * SIZE)
    model = Chain({})
    assert search(model, [[5, 6], [7]], settings) == whole
    assert max(model.sizes) == 2
    monkeypatch.undo()
    monkeypatch.setattr(batching, "MOST_SAMPLES", 2)  # of each of two sentences
    model = Chain({})
    assert search(model, [[5, 6], [7]], settings) == whole
    assert max(model.sizes) == 4


def test_no_sources_are_no_results() -> None:
    assert search(Chain({}), [], SearchSettings()) == []


def test_learned_positions_bound_the_translation_and_the_source() -> None:
    model = Chain({BOS: {4: 1.0}, 4: {4: 1.0}}, positions={"kind": "learned", "max": 5})
    assert [len(ids) for ids in best_ids(model, [[4, 4]], beam_size=2)] == [5]
    with pytest.raises(ModelError, match="only 5 positions"):
        search(model, [[4] * 5], SearchSettings())


def test_the_model_is_left_in_training_mode() -> None:
    model = Chain(GARDEN_PATH).train()
    search(model, [[4]], SearchSettings())
    assert model.training


def test_a_diverged_model_is_an_error() -> None:
    model = Transformer(ModelSettings.model_validate(TINY), SIZE, SIZE)
    with torch.no_grad():
        model.target_embedding.weight[5] = torch.nan
    with pytest.raises(ModelError, match="not numbers"):
        search(model, [[5]], SearchSettings())
