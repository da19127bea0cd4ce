import pytest

from mtkit.corpus.strip import strip_access_keys, strip_markup, stripper


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("Click <b>here</b>", "Click  here "),
        ("See [the docs]({url}) now", "See the docs now"),
        ("**Note**: press `OK`", "Note: press OK"),
        ("Tom &amp; Jerry", "Tom & Jerry"),
        ("1 < 2 and 3 > 2", "1 < 2 and 3 > 2"),
        ("a * b ** c", "a * b ** c"),
        ("snake_case __init__", "snake_case init"),
        ("&lt;b&gt;", "<b>"),
    ],
)
def test_markup_goes_and_text_stays(raw: str, clean: str) -> None:
    assert strip_markup(raw) == clean


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("&File", "File"),
        ("Datei (&D)", "Datei"),
        ("Spei&chern", "Speichern"),
        ("R & D", "R & D"),
        ("R&D", "R&D"),
        ("a && b", "a && b"),
    ],
)
def test_access_keys_lose_their_marks(raw: str, clean: str) -> None:
    assert strip_access_keys(raw) == clean


def test_rules_apply_in_their_order() -> None:
    assert stripper(["markup", "access-keys"])("<i>&amp;Open</i>").strip() == "Open"
    assert stripper([])("<i>") == "<i>"
