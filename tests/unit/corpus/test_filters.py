from pathlib import Path
from typing import Any

import pytest

from mtkit.config.corpus import Filter
from mtkit.corpus.chunk import Chunk
from mtkit.corpus.filters import make_filter, placeholders
from mtkit.errors import RecipeError


def kept(tmp_path: Path, settings: dict[str, Any], *pairs: tuple[str, str]) -> list[bool]:
    item = make_filter(Filter.model_validate(settings), tmp_path)
    mask = item.keep(Chunk([p[0] for p in pairs], [p[1] for p in pairs]))
    return [bool(value) for value in mask]


def test_length_counts_words_of_both_sides(tmp_path: Path) -> None:
    pairs = [("a b", "a"), ("a", "a b c"), ("a b c d", "a"), ("a b", "a b")]
    assert kept(tmp_path, {"length": {"min": 1, "max": 3}}, *pairs) == [True, True, False, True]
    assert kept(tmp_path, {"length": {"min": 2, "max": 9}}, *pairs) == [False, False, False, True]


def test_length_counts_characters_too(tmp_path: Path) -> None:
    assert kept(tmp_path, {"length": {"max": 3, "unit": "characters"}}, ("äöü", "abc"), ("äöüß", "a")) == [
        True,
        False,
    ]


def test_ratio_is_of_words_and_spares_short_pairs(tmp_path: Path) -> None:
    pairs = [("a", "a b c"), ("a", "a b c d"), ("a b", "a b c d e f"), ("a b", "a b c d e f g")]
    assert kept(tmp_path, {"length_ratio": {"max": 3.0}}, *pairs) == [True, False, True, False]


def test_duplicates_of_pairs_keep_the_first(tmp_path: Path) -> None:
    pairs = [("a", "b"), ("a", "b"), ("a", "c"), ("b", "a")]
    assert kept(tmp_path, {"duplicates": {}}, *pairs) == [True, False, True, True]


def test_duplicates_are_remembered_over_chunks(tmp_path: Path) -> None:
    item = make_filter(Filter.model_validate({"duplicates": {"of": "source"}}), tmp_path)
    assert item.keep(Chunk(["a", "b"], ["x", "y"])).tolist() == [True, True]
    assert item.keep(Chunk(["c", "a"], ["x", "z"])).tolist() == [True, False]


def test_duplicates_of_either_side_forget_removed_pairs(tmp_path: Path) -> None:
    pairs = [("a", "1"), ("a", "2"), ("b", "2"), ("c", "1")]
    assert kept(tmp_path, {"duplicates": {"of": "source-or-target"}}, *pairs) == [True, False, True, False]


def test_folded_duplicates_ignore_digits_and_case(tmp_path: Path) -> None:
    pairs = [("Button 1", "Taste 1"), ("button 2!", "taste 2"), ("Knob 1", "Taste 3")]
    assert kept(tmp_path, {"duplicates": {"fold": True}}, *pairs) == [True, False, True]


def test_copies_fold_case_and_punctuation(tmp_path: Path) -> None:
    pairs = [("OK", "Ok."), ("a", "b")]
    assert kept(tmp_path, {"copies": {}}, *pairs) == [False, True]
    assert kept(tmp_path, {"copies": {"fold": False}}, *pairs) == [True, True]


def test_script_asks_for_a_share_of_letters(tmp_path: Path) -> None:
    pairs = [("привет", "hello"), ("hello", "hello"), ("привет hello ok", "x"), ("123", "456")]
    assert kept(tmp_path, {"script": {"source": "Cyrillic"}}, *pairs) == [True, False, False, True]
    assert kept(tmp_path, {"script": {"target": "Latin", "min_share": 1.0}}, *pairs) == [True] * 4


@pytest.mark.parametrize("name", ["Klingon", "L}]|[a"])
def test_an_unknown_script_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RecipeError, match="no such script"):
        kept(tmp_path, {"script": {"source": name}}, ("a", "b"))


def test_digits_compare_multisets_in_any_script(tmp_path: Path) -> None:
    pairs = [("3.50", "3,50"), ("am 12.", "on 21"), ("12", "1"), ("٣", "3"), ("a", "b"), ("10", "100")]
    assert kept(tmp_path, {"digits": {}}, *pairs) == [True, True, False, True, True, False]
    assert kept(tmp_path, {"digits": {"tolerance": 1}}, *pairs) == [True] * 6


def test_placeholder_sets_must_agree(tmp_path: Path) -> None:
    pairs = [
        ("{a} {b}", "{b} {a} {a}"),
        ("{a}", "{b}"),
        ("%s of %d", "%d von %s"),
        ("100 % s", "100 %"),
        ("a", "%(n)s"),
    ]
    assert kept(tmp_path, {"placeholders": {}}, *pairs) == [True, False, True, True, False]


def test_kinds_of_placeholders_are_known() -> None:
    assert placeholders("{a} ${b} {{c}} %s %1$s %(n)d {0}") == {
        "{a}",
        "${b}",
        "{{c}}",
        "%s",
        "%1$s",
        "%(n)d",
        "{0}",
    }


def test_letters_count_and_web_addresses_do_not(tmp_path: Path) -> None:
    pairs = [("ab", "cd"), ("a1", "cd"), ("https://example.org/path", "cd"), ("see www.example.org", "cd")]
    assert kept(tmp_path, {"letters": {"min": 2}}, *pairs) == [True, False, False, True]
