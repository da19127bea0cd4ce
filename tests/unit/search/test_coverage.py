import math

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.model.transformer import Transformer
from mtkit.search.beam import search
from mtkit.search.coverage import coverage
from mtkit.search.forced import token_scores
from mtkit.search.token_scores import TokenScores


def test_coverage_is_the_sum_of_logarithms_of_attention_below_one() -> None:
    scores = TokenScores((-1.0, -1.0), ((0.5, 0.1, 0.4), (0.7, 0.2, 0.1)))
    assert coverage(scores) == pytest.approx(math.log(1.0) + math.log(0.3))


def test_a_source_token_without_any_attention_is_dear_but_finite() -> None:
    assert coverage(TokenScores((-1.0,), ((0.0, 1.0),))) == pytest.approx(math.log(1e-10))


def test_the_penalty_is_part_of_the_score_and_ranks_the_whole_beam() -> None:
    shape = {"dim": 16, "heads": 2, "ffn_dim": 24, "encoder_layers": 1, "decoder_layers": 2}
    torch.manual_seed(4)
    model = Transformer(ModelSettings.model_validate({**shape, "tied_embeddings": "none"}), 11, 11).eval()
    sources = [[4, 5, 6], [7, 8], [9, 4, 4, 5]]
    wide = {"beam_size": 6, "max_length_extra": 4}
    every = search(model, sources, SearchSettings.model_validate({**wide, "n_best": 6}))
    found = search(model, sources, SearchSettings.model_validate({**wide, "coverage_penalty": 2.0}))
    changed = 0
    for source, best, chosen in zip(sources, every, found, strict=True):
        ended = [h for h in best if h.finished] or best
        scores = token_scores(
            model,
            [source] * len(ended),
            [h.ids for h in ended],
            [h.finished for h in ended],
            attention=True,
        )
        values = [h.score + 2.0 * coverage(s) for h, s in zip(ended, scores, strict=True)]
        top = max(range(len(values)), key=values.__getitem__)
        assert [h.ids for h in chosen] == [ended[top].ids]
        assert chosen[0].score == pytest.approx(values[top], abs=1e-5)
        changed += top != 0
    assert changed, "the penalty turns the order somewhere, or this test says nothing"
