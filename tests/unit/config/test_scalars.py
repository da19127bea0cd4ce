import math

import pytest

from mtkit.config.scalars import scalar_text, scalar_value


@pytest.mark.parametrize(
    "text", ["no", "yes", "on", "off", "y", "n", "No", "1_000", "0b1", "12:30", "2024-01-01", "+", "1e", "."]
)
def test_what_older_yaml_read_as_something_else_is_text(text: str) -> None:
    assert scalar_value(text) == text


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("010", 10),
        ("0o17", 15),
        ("0xff", 255),
        ("-3", -3),
        ("7e-4", 0.0007),
        ("1E3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("1.0", 1.0),
    ],
)
def test_scalars_follow_the_core_schema(text: str, value: object) -> None:
    read = scalar_value(text)
    assert read == value
    assert type(read) is type(value)


def test_nan_is_a_number() -> None:
    read = scalar_value(".nan")
    assert isinstance(read, float)
    assert math.isnan(read)


def test_a_number_of_thousands_of_digits_is_text() -> None:
    assert scalar_value("9" * 5000) == "9" * 5000


@pytest.mark.parametrize(
    "text",
    [
        "no",
        "true",
        "",
        "12",
        " a",
        "a: b",
        "#x",
        "[a",
        "a,b",
        "- a",
        "ü",
        "a\nb",
        "\u2028",
        "\x85",
        "'",
        '"',
        "😀",
        "~",
    ],
)
def test_a_text_is_quoted_where_it_would_be_read_as_something_else(text: str) -> None:
    written = scalar_text(text)
    assert written.startswith('"') or scalar_value(written) == text
    assert "\n" not in written
