import math

import pytest

from mtkit.translation.given import GivenTotal, score_given
from mtkit.translation.translator import Translator


def test_pairs_are_scored_in_order_with_their_tokens(translator: Translator) -> None:
    found = list(score_given(translator, [("ab", "xyz"), ("c", "y")]))
    assert [(one.log_probability, one.tokens) for one in found] == [(-2.0, 4), (-1.0, 2)]


def test_a_blank_side_is_left_out_and_counted(translator: Translator) -> None:
    total = GivenTotal()
    for given in score_given(translator, [("a", "xyz"), ("", "x"), ("a", " "), ("b", "y")]):
        total.add(given)
    assert (total.pairs, total.blank, total.tokens, total.log_probability) == (4, 2, 6, -3.0)
    assert total.nats_per_token == 0.5
    assert total.perplexity == pytest.approx(math.exp(0.5))
    assert "2 with a blank side left out" in total.line()


def test_nothing_to_score_has_no_perplexity(translator: Translator) -> None:
    total = GivenTotal()
    for given in score_given(translator, [("", "")]):
        assert given.record()["log_probability"] is None
        total.add(given)
    assert total.record()["perplexity"] is None
    assert "nothing to score" in total.line()
