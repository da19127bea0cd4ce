import unicodedata

import pytest

from mtkit.corpus.normalize import FORMS, normalize


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("a\u00a0b", "a b"),
        ("a\u2028b\u0085c\rd\fe\tf", "a b c d e f"),
        ("  a   b ", "a b"),
        ("\ufeffa\u200bb", "ab"),
        ("a\x00b\x1bc", "abc"),
        ("soft\u00adhyphen", "softhyphen"),
        ("\u200eright\u202c", "right"),
        ("", ""),
        ("\u00a0 \t", ""),
    ],
)
def test_white_space_becomes_one_space_and_controls_vanish(raw: str, clean: str) -> None:
    assert normalize(raw, "nfc") == clean
    assert normalize(raw, "none") == clean


def test_nfc_composes_and_keeps_compatibility_characters() -> None:
    assert normalize("u\u0308 ﬁ ①", "nfc") == "ü ﬁ ①"


def test_nfkc_folds_compatibility_characters() -> None:
    assert normalize("u\u0308 ﬁ ① …", "nfkc") == "ü fi 1 ..."


def test_none_leaves_letters_as_they_are() -> None:
    assert normalize("u\u0308", "none") == "u\u0308"


def test_joiners_that_carry_meaning_stay() -> None:
    assert normalize("می\u200cخواهم", "nfc") == "می\u200cخواهم"
    assert normalize("👩\u200d🔬", "nfc") == "👩\u200d🔬"


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0f73", "\uff9e\u0323", "\u0344\u0323\U00016d69"])
def test_a_letter_with_a_million_marks_is_normalised_as_unicode_says(marks: str) -> None:
    """In 0.4 s when this was written; unordered it would be minutes, or hours."""
    short, long = "e" + marks * 600, "e" + marks * (400_000 // len(marks))
    for form, name in FORMS.items():
        assert normalize(short, form) == unicodedata.normalize(name, short)
        assert normalize(long, form)[0] == unicodedata.normalize(name, short)[0]
