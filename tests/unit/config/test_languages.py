import pytest

from mtkit.config.languages import primary_subtag


@pytest.mark.parametrize(
    ("code", "language"), [("de", "de"), ("pt_BR", "pt"), ("zh-Hans-CN", "zh"), ("EN", "en"), ("", "")]
)
def test_script_and_country_are_left_away(code: str, language: str) -> None:
    assert primary_subtag(code) == language
