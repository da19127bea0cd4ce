from pathlib import Path

import pytest

from mtkit.config.dataset import read_card
from mtkit.errors import DataError

GOOD = """\
name: mine
about: x
languages: [a, b]
licence: CC0-1.0
attribution: me
parts:
  - source: {kind: url, url: "https://example.org/x", sha256: SHA}
    reader: {kind: lines}
"""
SHA = "0" * 64


def card(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_a_good_card_reads(tmp_path: Path) -> None:
    found = read_card(card(tmp_path, GOOD.replace("SHA", f'"{SHA}"')))
    assert found.parts[0].reader.kind == "lines"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("reader: {kind: lines}", "reader: {kind: pdf}"), "mine.yaml:8"),
        (("about: x", "abuot: x"), "mine.yaml:2: abuot"),
        (("SHA", '"abc"'), "sha256: expected 64 hexadecimal digits"),
        (("SHA", "null"), "network"),
        (("https://", "file://"), "mine.yaml:7"),
        (("name: mine", "name: other"), "calls itself 'other'"),
        (("parts:", "clean: {filters: [{length: {max: 50}, duplicates: {}}]}\nparts:"), "clean.filters.0"),
        (("parts:", "clean: {filters: [{}]}\nparts:"), "clean.filters.0"),
        (("{kind: lines}", "{kind: generator, pairs: {train: 1}}"), "only a generator"),
    ],
)
def test_a_bad_card_says_what_is_wrong_and_where(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    text = GOOD.replace(*change).replace("SHA", f'"{SHA}"')
    with pytest.raises(DataError) as caught:
        read_card(card(tmp_path, text))
    assert said in str(caught.value)


def test_a_card_that_is_not_there_is_a_mistake_about_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_card(tmp_path / "card.yaml")
