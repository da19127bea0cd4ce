import math
from typing import Any

import pytest

from mtkit.translation.given import Given, GivenTotal, beside, score_given
from mtkit.translation.translator import Translator


def test_pairs_are_scored_in_order_with_their_tokens(translator: Translator) -> None:
    found = list(score_given(translator, [("ab", "xyz"), ("c", "y")]))
    assert [(one.log_probability, one.tokens) for one in found] == [(-2.0, 4), (-1.0, 2)]


def test_a_blank_side_is_left_out_and_counted(translator: Translator) -> None:
    total = GivenTotal()
    for given in score_given(translator, [("a", "xyz"), ("", "x"), ("a", " "), ("b", "y")]):
        total.add(given)
    assert (total.pairs, total.unscored["blank"], total.tokens, total.log_probability) == (4, 2, 6, -3.0)
    assert total.nats_per_token == 0.5
    assert total.perplexity == pytest.approx(math.exp(0.5))
    assert "2 with a blank side left out" in total.line()


def test_a_side_that_is_too_long_is_not_counted_as_blank(translator: Translator) -> None:
    total = GivenTotal()
    pairs = [("a", "xyz"), ("", "x"), ("b", "x" * 9), ("c" * 9, "y"), ("b", "y")]
    found = list(score_given(translator, pairs, most_tokens=9))
    for given in found:
        total.add(given)
    assert [given.unscored for given in found] == [None, "blank", "too_long", "too_long", None]
    assert (total.pairs, total.tokens, total.log_probability) == (5, 6, -3.0)
    assert "5 sentences (1 with a blank side, 2 too long left out) ·" in total.line()


def test_a_target_with_an_unknown_piece_has_no_score_where_pairs_are_ranked(translator: Translator) -> None:
    pairs = [("a\U0001f600", "xyz"), ("a", "\U0001f600"), ("a", "y")]
    found = list(score_given(translator, pairs, only_known=True))
    assert [given.unscored for given in found] == [None, "unknown", None]
    total = GivenTotal()
    for given in found:
        total.add(given)
    assert "3 sentences (1 with characters that the model has no piece for left out) ·" in total.line()
    assert all(given.unscored is None for given in score_given(translator, pairs))


def test_what_the_engine_has_no_positions_for_has_no_score(translator: Translator, engine: Any) -> None:
    pairs, engine.max_tokens = [("a", "xyz"), ("b", "y" * 5), ("c" * 5, "y"), ("b", "y")], 5
    for most_tokens in (None, 9):
        total = GivenTotal()
        for given in score_given(translator, pairs, most_tokens=most_tokens):
            total.add(given)
        assert (total.unscored["too_long"], total.record()["too_long"], total.tokens) == (2, 2, 6)
    assert "4 sentences (2 too long left out) ·" in total.line()


def test_both_directions_have_a_score_or_none(translator: Translator) -> None:
    some, none = score_given(translator, [("ab", "y"), ("ab", "y" * 9)], most_tokens=9)
    assert beside(some, some) == some
    assert beside(none, some) == none
    assert beside(some, none) == Given("ab", "y", None, 0, unscored="too_long")


def test_nothing_to_score_has_no_perplexity(translator: Translator) -> None:
    total = GivenTotal()
    for given in score_given(translator, [("", "")]):
        assert given.record()["log_probability"] is None
        total.add(given)
    assert total.record()["perplexity"] is None
    assert total.line() == "1 sentences (1 with a blank side left out): nothing to score"
    assert GivenTotal().line() == "0 sentences: nothing to score"
