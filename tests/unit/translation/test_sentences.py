import sys
from itertools import pairwise
from types import SimpleNamespace

import pytest

from mtkit.translation import sentences
from mtkit.translation.sentences import sentence_ends


def split(text: str, language: str = "en") -> list[str]:
    places = [0, *sentence_ends(text, language), len(text)]
    return [text[start:end] for start, end in pairwise(places)]


def test_white_space_belongs_to_the_sentence_before_it() -> None:
    assert split("It is on. Is it? Yes! 3 more.") == ["It is on. ", "Is it? ", "Yes! ", "3 more."]


@pytest.mark.parametrize("language", ["de", "de_AT", "de-CH", "DE", "de_Latn"])
def test_abbreviations_depend_on_the_language_whatever_its_region_or_script(language: str) -> None:
    assert split("Das ist bzw. Das war. Ende.", language) == ["Das ist bzw. Das war. ", "Ende."]
    assert split("Er kam am 3. Oktober. Ende.", language) == ["Er kam am 3. Oktober. ", "Ende."]


def test_scripts_without_spaces_have_sentences_too() -> None:
    assert split("我们走吧。你好。", "zh") == ["我们走吧。", "你好。"]


@pytest.mark.parametrize("language", ["", "xx", "digits", "de-AT", "zh_Hans"])
def test_any_code_is_taken_for_a_language(language: str) -> None:
    assert split("One. Two.", language) == ["One. ", "Two."]


def test_a_long_text_is_looked_at_by_stretches_and_split_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    text = " ".join(f"Sentence number {number} is here." for number in range(60))
    whole = split(text)
    assert len(whole) == 60
    monkeypatch.setattr(sentences, "STRETCH_CHARACTERS", 100)
    assert split(text) == whole


def test_a_sentence_longer_than_a_stretch_is_no_hindrance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "STRETCH_CHARACTERS", 10)
    assert "".join(split("a" * 95 + ". B c. D")) == "a" * 95 + ". B c. D"


def test_a_failure_of_the_library_leaves_the_text_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    class PanicException(BaseException):
        pass

    def fail(_language: str, _text: str) -> list[str]:
        raise PanicException

    monkeypatch.setitem(sys.modules, "sentencex", SimpleNamespace(segment=fail))
    assert split("One. Two.") == ["One. Two."]


def test_sentences_that_are_not_the_text_are_not_believed(monkeypatch: pytest.MonkeyPatch) -> None:
    lossy = SimpleNamespace(segment=lambda _language, text: text.split())
    monkeypatch.setitem(sys.modules, "sentencex", lossy)
    assert split("One. Two.") == ["One. Two."]
