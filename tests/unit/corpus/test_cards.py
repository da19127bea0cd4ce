from pathlib import Path

import pytest

from mtkit.config.dataset import NoSource, PathSource, PypiSource, UrlSource
from mtkit.corpus.cards import all_cards, check_languages, find_card, find_card_with_folder
from mtkit.errors import DataError


def test_every_shipped_card_reads_and_says_its_licence() -> None:
    cards = all_cards()
    names = {card.name for card in cards}
    assert {
        "homeassistant",
        "appmix",
        "bible",
        "starter",
        "reverse",
        "opus",
        "multi30k",
        "iwslt14",
        "wmt14",
    } <= names
    assert all(card.licence and card.attribution and card.about for card in cards)


def test_only_network_cards_leave_the_package_index() -> None:
    for card in all_cards():
        local = all(isinstance(part.source, PypiSource | PathSource | NoSource) for part in card.parts)
        assert card.network != local, card.name


def test_parameters_of_a_name_fill_the_card() -> None:
    (part,) = find_card("opus/Books@v1").parts
    assert isinstance(part.source, UrlSource)
    assert "/OPUS-Books/v1/moses/{first}-{second}.txt.zip" in part.source.url


@pytest.mark.parametrize("name", ["opus", "opus/Books", "opus/a@b@c", "opus/../x@v1", "opus/a@", "starter/x"])
def test_parameters_that_do_not_fit_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="does not fit its card"):
        find_card(name)


@pytest.mark.parametrize("name", ["homeasistant", "../data/starter", "", "STARTER"])
def test_an_unknown_name_lists_what_there_is(name: str) -> None:
    with pytest.raises(DataError, match="no such dataset") as caught:
        find_card(name)
    assert "homeassistant" in str(caught.value)


def test_a_misspelt_name_gets_a_suggestion() -> None:
    with pytest.raises(DataError, match="Did you mean 'homeassistant'"):
        find_card("homeasistant")


def test_a_card_of_ones_own_is_found_by_path(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nabout: x\nlanguages: [a, b]\nlicence: CC0-1.0\nattribution: me\n"
        "parts:\n  - {source: {kind: path, path: t.tsv}, reader: {kind: tsv, columns: {a: 1, b: 2}}}\n"
    )
    found = find_card_with_folder("mine.yaml", tmp_path)
    assert found.card.name == "mine"
    assert found.folder == tmp_path


def test_a_direction_that_a_card_lacks_is_refused() -> None:
    with pytest.raises(DataError, match="no pairs de → xx"):
        check_languages(find_card("starter"), "de", "xx")
    with pytest.raises(DataError, match="no pairs de → de"):
        check_languages(find_card("reverse"), "de", "de")
    check_languages(find_card("reverse"), "de", "xx")
