from typing import Any

import pytest
import torch

from mtkit.config.model import LearnedPositions, ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError
from mtkit.model.transformer import Transformer
from mtkit.search.beam import search
from mtkit.search.forced import log_probabilities, token_scores
from mtkit.subword.vocabulary import BOS, EOS, NEVER_PRODUCED, UNK

SETTINGS = ModelSettings(dim=8, heads=2, ffn_dim=11, encoder_layers=1, decoder_layers=1)


def test_it_is_the_sum_over_all_tokens_and_the_end() -> None:
    model = Transformer(SETTINGS, 13, 13)
    source, target = [5, 6, 7], [8, 9]
    with torch.no_grad():
        ids = torch.tensor([[*source, EOS]])
        logits = model.eval()(ids, torch.ones_like(ids, dtype=torch.bool), torch.tensor([[BOS, *target]]))
    unknown = float(logits[0, 0, UNK])
    logits[..., NEVER_PRODUCED] = -torch.inf
    each = logits[0].log_softmax(-1)
    wanted = float(each[0, 8] + each[1, 9] + each[2, EOS])
    assert log_probabilities(model, [source], [target]) == [pytest.approx(wanted, abs=1e-5)]
    odds = unknown - float(logits[0, 0].logsumexp(-1))
    [scores] = token_scores(model, [source], [[UNK]], [False])
    assert list(scores.log_probabilities) == [pytest.approx(odds, abs=1e-5)]


def test_batches_and_order_change_nothing() -> None:
    model = Transformer(SETTINGS, 13, 13)
    sources = [[5] * length for length in (3, 1, 0, 6, 2)]
    targets = [[6, 7, 8, 9, 4][:length] for length in (1, 5, 0, 2, 3)]
    alone = [log_probabilities(model, [s], [t])[0] for s, t in zip(sources, targets, strict=True)]
    for batch_tokens in (1, 10, 1000):
        assert log_probabilities(model, sources, targets, batch_tokens) == pytest.approx(alone, abs=1e-5)


def test_dropout_is_off_and_the_mode_comes_back() -> None:
    model = Transformer(SETTINGS.model_copy(update={"dropout": 0.5}), 13, 13).train()
    assert log_probabilities(model, [[5]], [[6]]) == log_probabilities(model, [[5]], [[6]])
    assert model.training


def test_the_sides_must_be_equally_many() -> None:
    with pytest.raises(ValueError, match="shorter"):
        log_probabilities(Transformer(SETTINGS, 13, 13), [[5], [6]], [[5]])


def test_no_pairs_have_no_log_probabilities() -> None:
    assert log_probabilities(Transformer(SETTINGS, 13, 13), [], []) == []


@pytest.mark.parametrize(
    "asked",
    [{}, {"no_repeat_ngram": 2}, {"coverage_penalty": 0.5}],
    ids=["plain", "repetition blocked", "coverage"],
)
def test_what_was_cut_off_at_the_last_position_has_a_score(asked: dict[str, Any]) -> None:
    shape = SETTINGS.model_copy(update={"positions": LearnedPositions(max=6)})
    model = Transformer(shape, 13, 13, output_bias=True)
    assert model.output_bias is not None
    with torch.no_grad():
        model.output_bias[EOS] = -1e4  # it cannot end
    [[found]] = search(model, [[5, 6, 7]], SearchSettings(beam_size=1, max_length_factor=9, **asked))
    assert (len(found.ids), found.finished) == (6, False)
    [scores] = token_scores(model, [[5, 6, 7]], [found.ids], [False], attention=True)
    assert sum(scores.log_probabilities) == pytest.approx(found.log_probability, abs=1e-5)
    assert len(scores.log_probabilities) == len(scores.attention) == 6


def test_tokens_add_up_to_the_pair_and_padding_has_none() -> None:
    model = Transformer(SETTINGS, 13, 13)
    sources, targets = [[4, 5, 6, 7], [5], []], [[6], [4, 4, 5, 6], []]
    wholes = log_probabilities(model, sources, targets)
    for whole, scores, target in zip(
        wholes, token_scores(model, sources, targets, [True] * 3), targets, strict=True
    ):
        assert len(scores.log_probabilities) == len(target) + 1
        assert sum(scores.log_probabilities) == pytest.approx(whole, abs=1e-5)
        assert scores.attention == ()
    cut = token_scores(model, sources, targets, [False] * 3)
    assert [len(scores.log_probabilities) for scores in cut] == [1, 4, 0]


def test_a_diverged_model_is_an_error_here_too() -> None:
    model = Transformer(SETTINGS, 13, 13)
    with torch.no_grad():
        model.target_embedding.weight[5] = torch.nan
    for asked in (
        lambda: log_probabilities(model, [[5]], [[6]]),
        lambda: token_scores(model, [[5]], [[6]], [True]),
    ):
        with pytest.raises(ModelError, match="not numbers"):
            asked()
