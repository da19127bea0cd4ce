import threading
from collections.abc import Iterator
from typing import Any

import pytest

from mtkit.config.search import SearchSettings
from mtkit.corpus.normalize import normalize
from mtkit.errors import DataError, ModelError
from mtkit.translation.asked import Asked, Prefixes
from mtkit.translation.translator import Translator

ODD_LINES = [
    "plain",
    "",
    "   ",
    "\t\r\x0b\x0c",
    "tab\there",
    "carriage\rreturn",
    "u2028 \u2028 inside",
    "nul\x00inside",
    "form\x0cfeed",
    "\ufeffmark",
    "\u200b",
    "emoji \U0001f600",
    "x" * 10_000,
    "last",
]


@pytest.mark.parametrize("live", [True, False])
def test_every_line_has_one_translation_whatever_it_is(translator: Translator, live: bool) -> None:
    translations = list(translator.translate(iter(ODD_LINES), live=live))
    assert [translation.source for translation in translations] == ODD_LINES
    assert all(len(translation.text.splitlines()) <= 1 for translation in translations)
    assert translations[0].text == "PLAIN"
    assert translations[5].text == "CARRIAGE RETURN"
    assert translations[12].text == "X" * 10_000
    assert "split" in translations[12].flags


def test_blank_lines_never_reach_the_model(translator: Translator, engine: Any) -> None:
    blank = ["", " ", "\t", "\u2028", "\x00\u200b", "\u200d", "\u115f \u3164", "\u2800"]
    translations = list(translator.translate(blank))
    assert [(found.text, found.flags) for found in translations] == [("", ("empty",))] * 8
    assert engine.calls == []


def test_long_lines_are_split_translated_and_rejoined(translator: Translator, engine: Any) -> None:
    (found,) = translator.translate(["The first sentence is here. The second one, too. And a third."])
    assert found.text == "THE FIRST SENTENCE IS HERE. THE SECOND ONE, TOO. AND A THIRD."
    assert found.flags == ("split", "copied")
    assert sorted(engine.calls[0]) == ["And a third.", "The first sentence is here.", "The second one, too."]
    assert found.log_probability == -(27 + 20 + 12)
    assert found.score == -3
    assert found.tokens == 27 + 20 + 12


def test_between_the_parts_of_a_long_line_stands_what_stood_there(translator: Translator) -> None:
    line = "The first sentence is here.  The second one,\t too.\u00a0And a third.\u2028And  a fourth one."
    (found,) = translator.translate([line])
    assert (
        found.text == "THE FIRST SENTENCE IS HERE.  THE SECOND ONE, TOO.\u00a0AND A THIRD. AND A FOURTH ONE."
    )


def test_what_was_cut_off_is_flagged(translator: Translator, engine: Any) -> None:
    engine.finished = False
    assert "truncated" in next(translator.translate(["some text"])).flags


def test_an_unknown_character_is_flagged(translator: Translator) -> None:
    assert next(translator.translate(["\U0001f600 a"])).flags == ("unknown",)


def test_n_best_come_best_first_for_split_lines_too(translator: Translator) -> None:
    translator.settings = SearchSettings(n_best=2)
    short, long = translator.translate(["word", "The first sentence is here. The second one."])
    assert [found.text for found in short.n_best] == ["WORD", "WORD!"]
    assert [found.text for found in long.n_best] == [
        "THE FIRST SENTENCE IS HERE. THE SECOND ONE.",
        "THE FIRST SENTENCE IS HERE.! THE SECOND ONE.!",
    ]
    assert [found.score for found in long.n_best] == [-2, -4]


def test_line_breaks_that_a_model_makes_up_are_spaces(translator: Translator, engine: Any) -> None:
    engine.translate = lambda _: "one\ntwo\rthree\u2028four\x85five\x0c"
    assert next(translator.translate(["text"])).text == "one two three four five"


def test_what_has_arrived_is_translated_while_more_is_awaited(translator: Translator) -> None:
    more = threading.Event()

    def lines() -> Iterator[str]:
        yield "first"
        yield "second"
        assert more.wait(100)
        yield "third"

    translations = translator.translate(lines())
    assert [next(translations).text, next(translations).text] == ["FIRST", "SECOND"]
    more.set()
    assert [found.text for found in translations] == ["THIRD"]


@pytest.mark.parametrize("error", [ModelError("too long"), KeyboardInterrupt()])
def test_a_search_that_cannot_be_begun_comes_after_the_lines_of_the_one_before(
    translator: Translator, engine: Any, error: BaseException
) -> None:
    def begin(sources: list[list[int]], settings: SearchSettings) -> Any:
        if ord("b") + 4 in sources[0]:
            raise error
        return lambda: engine.search(sources, settings)

    engine.begin, engine.window_tokens = begin, lambda: 100
    translations = translator.translate(["a" * 29] * 4 + ["b"])
    assert [next(translations).text for _ in range(4)] == ["A" * 29] * 4
    with pytest.raises(type(error)):
        next(translations)


def test_an_error_comes_after_all_lines_before_it(translator: Translator) -> None:
    def lines() -> Iterator[str]:
        yield from ["first", "second"]
        raise DataError("not UTF-8")

    for live in (True, False):
        translations = translator.translate(lines(), live=live)
        assert [next(translations).text, next(translations).text] == ["FIRST", "SECOND"]
        with pytest.raises(DataError):
            next(translations)


def test_windows_begin_small_grow_and_depend_on_the_text_alone(translator: Translator, engine: Any) -> None:
    lines = [f"{number:03} chars" for number in range(300)]  # of nine characters each
    list(translator.translate(lines))
    sizes = [len(call) for call in engine.calls]
    assert sizes[:4] == [10, 20, 40, 80]
    assert max(sizes) == 80
    list(translator.translate(iter(lines), live=False))
    assert [len(call) for call in engine.calls] == sizes * 2


@pytest.mark.parametrize("there", [10, 12])
def test_a_window_that_is_whole_does_not_wait_for_the_next(translator: Translator, there: int) -> None:
    more = threading.Event()

    def lines() -> Iterator[str]:
        yield from ["nine char"] * there  # ten are a batch
        assert more.wait(100)
        yield "last"

    translations = translator.translate(lines(), live=False)
    assert [next(translations).text for _ in range(10)] == ["NINE CHAR"] * 10
    more.set()
    assert [found.text for found in translations] == [*["NINE CHAR"] * (there - 10), "LAST"]


def test_what_is_no_utf_8_is_replaced_in_a_prefix_too(translator: Translator) -> None:
    translator.asked = Asked(prefixes=Prefixes(in_lines=True))
    prepared = translator.prepare("ab\tx\udcff")
    assert (prepared.source, prepared.invalid) == ("ab", True)
    assert translator.codec.decode(prepared.prefix, "target") == "x\ufffd"
    translator.asked = Asked(prefixes=Prefixes("x\udcff"))
    assert translator.codec.decode(translator.prepare("ab").prefix, "target") == "x\ufffd"


def test_sentences_that_are_translated_each_by_itself_are_not_split_for_length(
    translator: Translator,
) -> None:
    prepared = translator.prepare("One is. Two is.", sentences=True)
    assert len(prepared.parts) == 2 and not prepared.split
    assert translator.prepare("word. " * 99, sentences=True).split


def test_a_million_blank_lines_are_not_held_back(translator: Translator) -> None:
    endless = translator.translate(iter(lambda: "", None), live=False)
    assert next(endless).text == ""


def test_one_string_is_not_taken_for_lines(translator: Translator) -> None:
    with pytest.raises(TypeError, match="not one string"):
        next(translator.translate("text"))


def test_the_text_is_normalised_as_the_model_knows_it(translator: Translator, engine: Any) -> None:
    translator.form = "nfkc"
    list(translator.translate(["ﬁn  e\u0301\u00a0x"]))
    assert engine.calls == [["fin \u00e9 x"]]


@pytest.mark.parametrize(
    "line", ["word " * 200_000, "x" * 1_000_000, "e" + "\u0301\u0323" * 250_000], ids=len
)
def test_a_megabyte_in_one_line_is_translated(translator: Translator, line: str) -> None:
    """In 5 s at most when this was written; what compares every part with every other takes hours."""
    (found,) = translator.translate([line])
    assert "".join(found.text.split()).casefold() == "".join(normalize(line, "nfc").split()).casefold()
    assert "split" in found.flags


def test_what_stands_several_times_in_a_window_is_searched_once(translator: Translator, engine: Any) -> None:
    lines = ["a b", "c", "a b", "", "c", "a b"]
    assert [one.text for one in translator.translate(lines)] == ["A B", "C", "A B", "", "C", "A B"]
    assert engine.calls == [["a b", "c"]]
