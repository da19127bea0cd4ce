"""The margin says how much rounding a search's result would survive."""

import math

import pytest
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.model.transformer import Transformer
from mtkit.search.beam import search
from mtkit.search.margin import margin
from mtkit.subword.vocabulary import EOS

SETTINGS = ModelSettings(dim=8, heads=2, ffn_dim=11, encoder_layers=1, decoder_layers=1)
SIZE, SOURCE = 11, [5, 6, 7]


class Shaken(Transformer):
    """A random model that likes to end; every logit is off by up to `noise`, each time by something else."""

    noise = 0.0

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = 3.0 * super().output(hidden)
        logits = logits + 3.0 * torch.nn.functional.one_hot(torch.tensor(EOS), SIZE)
        return logits + self.noise * (2 * torch.rand_like(logits) - 1)


def make(seed: int) -> Shaken:
    torch.manual_seed(seed)
    return Shaken(SETTINGS, SIZE, SIZE).eval()


@pytest.mark.parametrize("beam_size", [1, 2, 4])
def test_less_noise_than_the_margin_changes_nothing_and_more_does(beam_size: int) -> None:
    settings = SearchSettings(beam_size=beam_size, max_length_factor=1.0, max_length_extra=3)
    limit = len(SOURCE) + 3
    turned = 0
    for seed in range(6):
        model = make(seed)
        wanted = search(model, [SOURCE], settings)[0][0].ids
        close = margin(model, SOURCE, settings)
        assert 0 < close < math.inf
        # a logit moves its own log probability and all others', at each step, of both that are compared
        model.noise = close / (4 * limit)
        assert {search(model, [SOURCE], settings)[0][0].ids for _ in range(5)} == {wanted}
        model.noise = 100 * close
        turned += any(search(model, [SOURCE], settings)[0][0].ids != wanted for _ in range(5))
    assert turned >= 3


class Certain(Transformer):
    """Says 4 or 5, and never ends."""

    def output(self, hidden: torch.Tensor) -> torch.Tensor:
        logits = torch.full((*hidden.shape[:-1], SIZE), -torch.inf)
        logits[..., 4], logits[..., 5] = math.log(0.6), math.log(0.4)
        return logits


def test_it_is_the_gap_between_what_was_taken_and_what_was_not() -> None:
    model = Certain(SETTINGS, SIZE, SIZE).eval()
    settings = SearchSettings(beam_size=1, max_length_factor=1e-9, max_length_extra=3)
    assert margin(model, SOURCE, settings) == pytest.approx(math.log(0.6 / 0.4), abs=1e-6)
    # of three tokens over {4, 5} those of equal probability meet at the beam's edge
    pair = settings.model_copy(update={"beam_size": 2})
    assert margin(model, SOURCE, pair) == pytest.approx(0.0, abs=1e-6)
