import pytest

from mtkit.report.markdown import sparkline, table, text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("plain", "plain"),
        ("a | b", "a \\| b"),
        ("**no** <b>", "\\*\\*no\\*\\* \\<b\\>"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("`code` [link](x)", "\\`code\\` \\[link\\](x)"),
        (3, "3"),
    ],
)
def test_text_stays_text(value: object, expected: str) -> None:
    assert text(value) == expected


def test_a_table_aligns_numbers_right() -> None:
    assert table(["a", "b"], [["x", 1]], "lr") == ["| a | b |", "| --- | ---: |", "| x | 1 |"]


def test_a_curve_goes_from_the_smallest_to_the_largest_bar() -> None:
    assert sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert sparkline([3, 3]) == "▁▁"
    assert sparkline([]) == ""


def test_a_long_curve_is_thinned_and_keeps_both_ends() -> None:
    curve = sparkline([*range(1000), 5000], width=10)
    assert len(curve) == 10
    assert curve[0] == "▁"
    assert curve[-1] == "█"
