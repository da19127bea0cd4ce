"""Two ways to search, one answer."""

import itertools
import math
from typing import Any

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.search.beam import search
from mtkit.search.forced import log_probabilities
from mtkit.search.length import length_limit, length_penalty
from mtkit.subword.vocabulary import BOS, EOS

VARIANTS: dict[str, dict[str, Any]] = {
    "classic": {"norm_order": "post"},
    "modern": {
        "norm": "rms_norm",
        "activation": "swiglu",
        "positions": {"kind": "rotary"},
        "bias": False,
        "kv_heads": 1,
    },
}


class Ending(Transformer):
    """A random model that likes to end, as a trained one does, and whose choices rounding cannot turn."""

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = 3.0 * super().output(hidden)
        return logits + 5.0 * torch.nn.functional.one_hot(torch.tensor(EOS), logits.size(-1))


def make(variant: str, size: int, seed: int = 3) -> Transformer:
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    shape = {"dim": 16, "heads": 2, "ffn_dim": 24, "encoder_layers": 1, "decoder_layers": 2}
    settings = ModelSettings.model_validate({**shape, "tied_embeddings": "none", **VARIANTS[variant]})
    return Ending(settings, size, size).eval()


def sources(count: int, size: int) -> list[list[int]]:
    draw = torch.Generator().manual_seed(5)
    lengths = torch.randint(0, 9, (count,), generator=draw).tolist()
    return [torch.randint(4, size, (length,), generator=draw).tolist() for length in lengths]


@pytest.mark.parametrize("alpha", [0.0, 0.6, 1.5])
@pytest.mark.parametrize("variant", list(VARIANTS))
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_full_width_beam_is_exhaustive_search(variant: str, alpha: float, seed: int) -> None:
    size, limit = 6, 5  # two ids besides EOS: 1 + 2 + 4 + 8 + 16 = 31 translations of at most 5 tokens
    model = make(variant, size, seed)
    settings = SearchSettings(
        beam_size=100, n_best=10, length_penalty=alpha, max_length_factor=1e-9, max_length_extra=limit
    )
    assert length_limit(3, settings) == limit
    every = [ids for length in range(limit) for ids in itertools.product((4, 5), repeat=length)]
    values = log_probabilities(model, [[4, 5, 4]] * len(every), every)
    scored = sorted(
        (-value / length_penalty(len(ids) + 1, alpha), ids) for value, ids in zip(values, every, strict=True)
    )
    found = search(model, [[4, 5, 4]], settings)[0]
    assert [hypothesis.ids for hypothesis in found] == [ids for _, ids in scored[:10]]
    assert [hypothesis.score for hypothesis in found] == pytest.approx(
        [-score for score, _ in scored[:10]], abs=1e-5
    )


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("variant", list(VARIANTS))
def test_batched_is_one_by_one(variant: str, beam_size: int) -> None:
    model, size = make(variant, 23), 23
    settings = SearchSettings(beam_size=beam_size, n_best=min(beam_size, 3), max_length_extra=5)
    texts = sources(16, size)
    together = search(model, texts, settings)
    for batch_tokens in (1, 31):
        apart = search(model, texts, settings, batch_tokens=batch_tokens)
        for left, right in zip(together, apart, strict=True):
            assert [h.ids for h in left] == [h.ids for h in right]
            assert [h.finished for h in left] == [h.finished for h in right]
            assert [h.score for h in left] == pytest.approx([h.score for h in right], abs=1e-5)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_a_beam_of_one_is_greedy_search_without_a_cache(variant: str) -> None:
    model, size = make(variant, 23), 23
    settings = SearchSettings(beam_size=1)
    for text, found in zip(sources(12, size), search(model, sources(12, size), settings), strict=True):
        source, ids = torch.tensor([[*text, EOS]]), [BOS]
        is_token = torch.ones_like(source, dtype=torch.bool)
        while len(ids) <= length_limit(len(text), settings):
            with torch.no_grad():
                logits = model(source, is_token, torch.tensor([ids]))[0, -1]
            logits[:EOS] = -math.inf
            ids.append(int(logits.argmax()))
            if ids[-1] == EOS:
                break
        assert found[0].finished == (ids[-1] == EOS)
        assert found[0].ids == tuple(number for number in ids[1:] if number != EOS)


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_search_reports_the_log_probability_that_forced_decoding_finds(variant: str) -> None:
    model, size = make(variant, 23), 23
    texts = sources(24, size)
    pairs = [
        (text, hypothesis)
        for text, found in zip(
            texts, search(model, texts, SearchSettings(beam_size=4, n_best=4)), strict=True
        )
        for hypothesis in found
        if hypothesis.finished
    ]
    assert len(pairs) > 24
    values = log_probabilities(
        model, [text for text, _ in pairs], [hypothesis.ids for _, hypothesis in pairs]
    )
    assert [hypothesis.log_probability for _, hypothesis in pairs] == pytest.approx(values, abs=1e-4)


def test_a_wider_beam_never_finds_less_on_average() -> None:
    model, size = make("modern", 23), 23
    texts = sources(24, size)
    means = []
    for beam_size in (1, 2, 8, 32):
        found = search(model, texts, SearchSettings(beam_size=beam_size, length_penalty=0.0))
        ended = [hypotheses[0].log_probability for hypotheses in found if hypotheses[0].finished]
        assert len(ended) >= 20
        means.append(sum(ended) / len(ended))
    assert all(wider > narrower - 1e-5 for narrower, wider in itertools.pairwise(means))
    assert means[-1] > means[0] + 0.1  # measured: 0.17


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_what_is_found_does_not_depend_on_the_number_of_workers(variant: str) -> None:
    model, size = make(variant, 23), 23
    model.train()
    texts = sources(24, size)
    settings = SearchSettings(beam_size=3)
    alone = search(model, texts, settings, batch_tokens=40)
    targets = [hypotheses[0].ids for hypotheses in alone]
    values = log_probabilities(model, texts, targets, batch_tokens=40)
    with Workers(3) as workers:
        assert search(model, texts, settings, 40, workers) == alone
        assert log_probabilities(model, texts, targets, 40, workers) == values
    assert model.training
