import math
from collections.abc import Sequence

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.search import Average, SearchSettings
from mtkit.errors import ModelError
from mtkit.model.transformer import Transformer
from mtkit.search.beam import search
from mtkit.search.ensemble import Ensemble, Model
from mtkit.search.forced import log_probabilities, token_scores
from mtkit.subword.vocabulary import BOS, EOS, NEVER_PRODUCED

SIZE = 11
SHAPE = {"dim": 16, "heads": 2, "ffn_dim": 24, "encoder_layers": 1, "decoder_layers": 1}
SOURCES = [[4, 5, 6], [7, 8], [9, 4, 4, 5], []]


def make(seed: int, size: int = SIZE, **changes: object) -> Transformer:
    torch.manual_seed(seed)
    settings = ModelSettings.model_validate({**SHAPE, "tied_embeddings": "none", **changes})
    return Transformer(settings, size, size).eval()


def following(
    models: Sequence[Transformer], source: list[int], ids: list[int], average: Average
) -> list[float]:
    """The log probabilities of what follows, in Python's own sums."""
    text = torch.tensor([[*source, EOS]])
    each = []
    for model in models:
        with torch.no_grad():
            logits = model(text, torch.ones_like(text, dtype=torch.bool), torch.tensor([[BOS, *ids]]))[0, -1]
        each.append(logits.log_softmax(-1).tolist())
    if average == "probabilities":
        means = [math.log(sum(map(math.exp, one)) / len(models)) for one in zip(*each, strict=True)]
    else:
        means = [sum(one) / len(models) for one in zip(*each, strict=True)]
    total = math.log(sum(math.exp(mean) for one, mean in enumerate(means) if one not in NEVER_PRODUCED))
    return [mean - total for mean in means]


@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
def test_an_ensemble_searches_what_plain_python_averages(average: Average) -> None:
    models = [make(1), make(2), make(3, dim=24, heads=3)]
    found = search(Ensemble(models, average), SOURCES, SearchSettings(beam_size=1, max_length_extra=3))
    for source, (best,) in zip(SOURCES, found, strict=True):
        ids: list[int] = []
        total = 0.0
        while len(ids) < 2 * len(source) + 3:
            values = following(models, source, ids, average)
            chosen = max((i for i in range(SIZE) if i not in NEVER_PRODUCED), key=values.__getitem__)
            total += values[chosen]
            if chosen == EOS:
                break
            ids.append(chosen)
        assert list(best.ids) == ids
        assert best.log_probability == pytest.approx(total, abs=1e-4)


@pytest.mark.parametrize("average", ["probabilities", "log_probabilities"])
def test_forced_decoding_of_an_ensemble_says_what_search_said(average: Average) -> None:
    ensemble = Ensemble([make(1), make(2)], average)
    found = search(ensemble, SOURCES, SearchSettings(beam_size=4, n_best=4, max_length_extra=3))
    pairs = [(s, h) for s, best in zip(SOURCES, found, strict=True) for h in best]
    assert len(pairs) == 16
    sources, targets, finished = zip(*((s, h.ids, h.finished) for s, h in pairs), strict=True)
    scores = token_scores(ensemble, sources, targets, finished)
    values = [sum(score.log_probabilities) for score in scores]
    assert [h.log_probability for _, h in pairs] == pytest.approx(values, abs=1e-4)
    wholes = log_probabilities(ensemble, sources, targets)
    ended = [row for row, h in enumerate(finished) if h]
    assert [wholes[row] for row in ended] == pytest.approx([values[row] for row in ended], abs=1e-5)
    assert not any(model.training for model in ensemble.members)


def test_an_ensemble_of_one_model_twice_is_the_model() -> None:
    model = make(1)
    settings = SearchSettings(beam_size=3, n_best=3)
    alone, twice = search(model, SOURCES, settings), search(Ensemble([model, model]), SOURCES, settings)
    assert [[h.ids for h in best] for best in alone] == [[h.ids for h in best] for best in twice]


def test_attention_of_an_ensemble_is_the_mean() -> None:
    models = [make(1), make(2)]
    every: list[Model] = [*models, Ensemble(models)]
    each = [token_scores(model, [[4, 5]], [[6]], [True], attention=True)[0].attention[0] for model in every]
    assert each[2] == pytest.approx([(a + b) / 2 for a, b in zip(each[0], each[1], strict=True)], abs=1e-6)


def test_vocabularies_of_different_sizes_are_refused() -> None:
    with pytest.raises(ModelError, match="vocabularies of"):
        Ensemble([make(1), make(2, size=12)])
