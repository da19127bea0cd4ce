import pytest

from mtkit.config.assigning import assigned
from mtkit.config.search import Sampling, SearchSettings
from mtkit.errors import RecipeError


def test_nothing_set_changes_nothing() -> None:
    settings = SearchSettings(beam_size=3, suppress=["a: 'b' \\ \n"])
    assert assigned(settings, []) == (settings, frozenset())


def test_values_are_read_as_in_a_recipe_and_keep_their_neighbours() -> None:
    settings = SearchSettings(beam_size=3, sampling=Sampling(top_k=7))
    found, named = assigned(settings, ["sampling.temperature=0.5", "suppress=[a, ' b ']"])
    assert found.sampling == Sampling(top_k=7, temperature=0.5)
    assert found.suppress == ["a", " b "]
    assert found.beam_size == 3
    assert named == {"sampling", "sampling.temperature", "suppress"}


def test_a_part_of_what_was_not_there_makes_it() -> None:
    assert assigned(SearchSettings(), ["sampling.top_p=0.5"])[0].sampling == Sampling(top_p=0.5)
    assert assigned(SearchSettings(sampling=Sampling()), ["sampling=null"])[0].sampling is None


def test_all_problems_are_told_at_once_with_what_was_meant() -> None:
    with pytest.raises(RecipeError) as caught:
        assigned(SearchSettings(), ["samplin.top_k=3", "beam_size=many", "n_best"])
    message = str(caught.value)
    assert "Did you mean 'sampling'?" in message
    assert "beam_size" in message
    assert "not an assignment, expected `path=value`, such as beam_size=5" in message
    assert "3 problems in --set. Nothing was run." in message


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf"])
@pytest.mark.parametrize("name", ["length_penalty", "patience", "sampling.temperature", "beam_size"])
def test_what_is_no_finite_number_is_refused(name: str, value: str) -> None:
    with pytest.raises(RecipeError, match=name):
        assigned(SearchSettings(), [f"{name}={value}"])


def test_what_does_not_fit_together_is_left_to_the_caller() -> None:
    assert assigned(SearchSettings(), ["n_best=9"])[0].n_best == 9


def test_a_setting_of_an_inner_mapping_is_found_there() -> None:
    with pytest.raises(RecipeError, match=r"`top_k` is a setting of sampling: `sampling\.top_k`\."):
        assigned(SearchSettings(), ["top_k=3"])
