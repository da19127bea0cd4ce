from typing import Any

import pytest

from mtkit.config.findings import findings
from mtkit.config.search import SearchSettings, TranslateSettings


def told(**values: Any) -> list[str]:
    """The dotted paths of what is wrong with these settings, as they were given."""
    settings = SearchSettings.model_validate(values)
    return [".".join(map(str, (*path, *finding.path))) for path, finding in findings(settings)]


def test_search_gets_the_stages_settings() -> None:
    settings = TranslateSettings(beam_size=3, length_penalty=1.0, batch_tokens=7).search
    assert settings == SearchSettings(beam_size=3, length_penalty=1.0)
    assert "batch_tokens" not in settings.model_dump()


SOUND: list[dict[str, Any]] = [
    {},
    {"sampling": {"top_k": 10, "top_p": 0.9, "temperature": 0.7}, "n_best": 30, "length_penalty": 0.3},
    {"beam_size": 6, "n_best": 6, "diversity": {"groups": 3}, "coverage_penalty": 0.2},
    {"sampling": {}, "mbr": {"candidates": 50}, "n_best": 2},
    {"beam_size": 8, "mbr": {"candidates": 8, "utility": "bleu"}},
    {"min_length_factor": 0.5, "min_length_extra": 2, "no_repeat_ngram": 3, "suppress": ["a"]},
    {"beam_size": 1, "length_penalty": 0.0},
    {"sampling": {"top_k": 1}},
    {"sampling": {"temperature": 0.01}},
]


@pytest.mark.parametrize("values", SOUND, ids=str)
def test_what_has_an_effect_is_no_finding(values: dict[str, Any]) -> None:
    assert told(**values) == []


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("n_best", {"n_best": 6}),
    ("length_penalty", {"beam_size": 1, "length_penalty": 0.4}),
    ("coverage_penalty", {"beam_size": 1, "coverage_penalty": 0.4}),
    ("length_penalty_form", {"beam_size": 1, "length_penalty_form": "average"}),
    ("length_penalty_form", {"length_penalty": 0.0, "length_penalty_form": "average"}),
    ("length_penalty", {"sampling": {}, "length_penalty": 0.4}),
    ("coverage_penalty", {"sampling": {}, "coverage_penalty": 0.4}),
    ("patience", {"beam_size": 1, "patience": 1.0}),
    ("patience", {"sampling": {}, "patience": 1.0}),
    ("patience", {"sampling": {}, "n_best": 3, "patience": 1.0}),
    ("beam_size", {"sampling": {}, "beam_size": 3}),
    ("diversity", {"sampling": {}, "diversity": {"groups": 5}}),
    ("diversity.groups", {"beam_size": 5, "diversity": {"groups": 2}}),
    ("min_length_factor", {"min_length_factor": 2.5}),
    ("min_length_extra", {"min_length_extra": 21}),
    ("suppress", {"suppress": ["a", ""]}),
    ("sampling.temperature", {"sampling": {"top_k": 1, "temperature": 2.0}}),
    ("sampling.top_p", {"sampling": {"top_k": 1, "top_p": 0.5}}),
    ("sampling.temperature", {"sampling": {"temperature": 1e-310}}),
    ("mbr.candidates", {"mbr": {"candidates": 6}}),
    ("n_best", {"mbr": {"candidates": 2}, "n_best": 3}),
    ("length_penalty", {"sampling": {}, "mbr": {}, "length_penalty": 0.4}),
]


@pytest.mark.parametrize(("path", "values"), WRONG, ids=str)
def test_what_has_none_or_contradicts_is_told(path: str, values: dict[str, Any]) -> None:
    assert told(**values) == [path]


def test_what_goes_beyond_a_plain_beam_is_named() -> None:
    assert SearchSettings(beam_size=2, n_best=2, length_penalty=1.0).beyond_beam() == ()
    settings = SearchSettings.model_validate({"no_repeat_ngram": 2, "sampling": {}})
    assert settings.beyond_beam() == ("no_repeat_ngram", "sampling")


def test_a_plain_beam_is_written_as_older_versions_read_it_and_the_rest_is_kept() -> None:
    assert list(SearchSettings().written()) == [
        "beam_size",
        "n_best",
        "length_penalty",
        "max_length_factor",
        "max_length_extra",
    ]
    settings = SearchSettings.model_validate({"sampling": {"top_k": 3}, "suppress": ["a"]})
    assert SearchSettings.model_validate(settings.written()) == settings


@pytest.mark.parametrize("bound", ["min", "max"])
@pytest.mark.parametrize(("name", "value"), [("extra", 10**24), ("factor", 1e300)])
def test_a_length_without_an_end_in_sight_is_refused(bound: str, name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"(?s){bound}_length_{name}.*less than or equal to"):
        SearchSettings.model_validate({f"{bound}_length_{name}": value})


@pytest.mark.parametrize(
    "given",
    [
        {"length_penalty": 1e308, "length_penalty_form": "reward"},
        {"coverage_penalty": 1e308},
        {"sampling": {}, "n_best": 100_000},
        {"sampling": {}, "mbr": {"candidates": 100_000}},
    ],
)
def test_a_penalty_that_leaves_no_number_and_samples_beyond_any_memory_are_refused(
    given: dict[str, object],
) -> None:
    with pytest.raises(ValueError, match="less than or equal to"):
        SearchSettings.model_validate(given)


def test_an_empty_text_to_leave_out_is_told_with_what_to_do() -> None:
    finding = next(iter(SearchSettings(suppress=[""]).findings()))
    assert finding.advice == "Remove it."
