from pathlib import Path

from mtkit.corpus.card_view import card_lines
from mtkit.corpus.cards import find_card_with_folder
from mtkit.corpus.datasets import prepare


def silent(_: str) -> None:
    pass


def test_a_card_is_shown_with_what_is_cached() -> None:
    before = "\n".join(card_lines("starter"))
    assert "licence      Apache-2.0" in before
    assert "extracted" not in before
    prepare(find_card_with_folder("starter"), "de", "en", silent)
    assert "extracted    de → en: 317 train, 30 valid, 30 test" in "\n".join(card_lines("starter"))


def test_a_wheel_is_shown_with_its_hash_and_whether_it_is_there(cache: Path) -> None:
    shown = "\n".join(card_lines("homeassistant"))
    assert "pypi homeassistant==2026.11.0, SHA-256 7ca5fbde9dea879a…, not cached" in shown


def test_a_card_with_parameters_is_shown_with_and_without_them() -> None:
    assert "corpus (such as Books)" in "\n".join(card_lines("opus"))
    assert "OPUS-TED2020/v1/" in "\n".join(card_lines("opus/TED2020@v1"))
