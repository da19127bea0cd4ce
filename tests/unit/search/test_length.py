import pytest

from mtkit.config.search import SearchSettings
from mtkit.search.length import length_limit, length_penalty, score_of


def test_the_penalty_is_the_papers_formula() -> None:
    assert length_penalty(7, 0.0) == 1.0
    assert length_penalty(1, 0.9) == 1.0
    assert length_penalty(7, 1.0) == pytest.approx(2.0)
    assert length_penalty(19, 0.5) == pytest.approx(2.0)


def test_the_limit_is_factor_times_source_plus_extra_rounded_down() -> None:
    settings = SearchSettings(max_length_factor=1.5, max_length_extra=4)
    assert length_limit(5, settings) == 11
    assert length_limit(0, settings) == 4


def test_the_models_positions_bound_the_limit() -> None:
    settings = SearchSettings(max_length_factor=2.0, max_length_extra=3)
    assert length_limit(10, settings, max_tokens=16) == 16
    assert length_limit(2, settings, max_tokens=16) == 7


@pytest.mark.parametrize("form", ["wu", "average"])
def test_a_penalty_beyond_all_numbers_is_no_error(form: str) -> None:
    strong = SearchSettings.model_validate({"length_penalty": 1000.0, "length_penalty_form": form})
    assert score_of(-3.0, 40, strong) == 0.0
