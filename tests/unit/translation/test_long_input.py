import pytest

from mtkit.translation.long_input import Part, rejoin, split_line, split_sentences


def texts(line: str, limit: int) -> list[str]:
    return [part.text for part in split_line(line, limit, len)]


def test_abbreviations_are_those_of_the_language() -> None:
    line = "Das ist bzw. Das war gut. Hier z. B. Dr. Maier."
    german = [part.text for part in split_line(line, 40, len, "de")]
    assert german == ["Das ist bzw. Das war gut.", "Hier z. B. Dr. Maier."]


def test_sentences_come_apart_where_they_are_wanted_even_if_the_line_fits() -> None:
    parts = split_sentences("One. Two. Three.", 100, len)
    assert [part.text for part in parts] == ["One.", "Two.", "Three."]
    assert split_sentences("", 100, len) == []


def test_a_line_that_fits_is_not_touched() -> None:
    assert split_line("One. Two. Three.", 16, len) == [Part("One. Two. Three.", False)]


def test_sentences_come_apart_first_each_for_itself() -> None:
    assert texts("It is on. Is it? Yes! 3 more.", 20) == ["It is on.", "Is it?", "Yes!", "3 more."]


def test_an_abbreviation_before_a_small_letter_ends_no_sentence() -> None:
    assert texts("See e.g. the first one. Then the other one.", 30) == [
        "See e.g. the first one.",
        "Then the other one.",
    ]


def test_a_long_sentence_comes_apart_into_packed_clauses() -> None:
    assert texts("one, two, three, four, five, six. Seven.", 17) == [
        "one, two, three,",
        "four, five, six.",
        "Seven.",
    ]


def test_a_long_clause_comes_apart_into_packed_words() -> None:
    assert texts("one two three four five six seven", 13) == ["one two three", "four five six", "seven"]


def test_a_long_word_is_cut_and_joined_without_a_space() -> None:
    parts = split_line("a" * 10 + "b" * 10, 5, len)
    assert [len(part.text) for part in parts] == [5, 5, 5, 5]
    assert rejoin(parts, [part.text for part in parts]) == "a" * 10 + "b" * 10


@pytest.mark.parametrize("mark", [".", "?!", ",", "…", "; ", ").", "- "])
def test_a_megabyte_of_marks_is_cut_in_seconds(mark: str) -> None:
    line = mark * (1_000_000 // len(mark))
    parts = texts(line, 1000)  # without an end where all marks are looked at from each of them
    assert max(map(len, parts)) <= 1000
    assert "".join("".join(parts).split()) == "".join(line.split())


def test_a_character_is_not_parted_from_its_accents() -> None:
    line = "e\u0301" * 9
    for limit in (3, 5, 7):
        assert all(not text.startswith("\u0301") for text in texts(line, limit))
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467"
    assert texts("a" + family, 5)[-1] == family


def test_chinese_is_cut_behind_its_marks_and_english_gets_spaces() -> None:
    parts = split_line("我们走吧。你好。再见。", 5, len)
    assert [part.text for part in parts] == ["我们走吧。", "你好。", "再见。"]
    assert rejoin(parts, ["Let us go.", "Hello.", "Bye."]) == "Let us go. Hello. Bye."


def test_chinese_translations_are_joined_without_spaces() -> None:
    parts = split_line("Let us go now. Hello. Good bye.", 15, len)
    assert rejoin(parts, ["我们走吧。", "你好。", "再见。"]) == "我们走吧。你好。再见。"


@pytest.mark.parametrize("sentences", [["ไปกันเถอะ", "สวัสดี", "ลาก่อน"], ["သွားကြစို့။", "မင်္ဂလာပါ။", "သွားပြီ။"]])
def test_thai_and_its_neighbours_have_a_space_between_sentences_and_none_between_words(
    sentences: list[str],
) -> None:
    parts = split_line("Let us go now. Hello. Good bye.", 15, len)
    assert rejoin(parts, sentences) == " ".join(sentences)
    words = split_line("one two three", 5, len)
    assert rejoin(words, sentences) == "".join(sentences)


def test_white_space_that_cannot_be_told_apart_becomes_a_space() -> None:
    # a normal form may make a space of what was none, as NFKC does of U+00A8
    source, text = "One\u00a8 two.  Three.", "One \u0308 two. Three."
    parts = split_sentences(text, 20, len, source=source)
    assert [(part.text, part.space) for part in parts] == [("One \u0308 two.", " "), ("Three.", " ")]


def test_a_part_without_translation_leaves_no_double_space() -> None:
    parts = split_line("One of it. Two of it. Three of it.", 12, len)
    assert rejoin(parts, ["Eins.", "", "Drei."]) == "Eins. Drei."


@pytest.mark.parametrize(
    "line", ["word " * 2000, "x" * 10_000, "Wort. " * 1700, "a,b;" * 2500, "。" * 10_000]
)
def test_ten_thousand_characters_are_split_quickly_into_parts_that_fit(line: str) -> None:
    counted = 0

    def count(text: str) -> int:
        nonlocal counted
        counted += len(text)
        return len(text)

    parts = split_line(line.strip(), 50, count)
    assert all(0 < len(part.text) <= 50 for part in parts)
    assert "".join("".join(part.text.split()) for part in parts) == "".join(line.split())
    assert counted < 40 * len(line)


def test_a_character_of_many_tokens_is_still_taken() -> None:
    assert [part.text for part in split_line("日本", 2, lambda text: 3 * len(text))] == ["日", "本"]


@pytest.mark.parametrize(
    "line",
    [
        "word " * 200_000,
        "x" * 1_000_000,
        "Wort. " * 170_000,
        "a,b;" * 250_000,
        "。" * 300_000,
        "„«'(" * 250_000,
    ],
    ids=["words", "one word", "sentences", "clauses", "marks", "quotes"],
)
def test_a_megabyte_is_split(line: str) -> None:
    """In 6 s at most when this was written, the quotation marks; hours where time grows with the square."""
    line = line.strip()
    parts = split_line(line, 200, len)
    assert all(0 < len(part.text) <= 200 for part in parts)
    assert "".join("".join(part.text.split()) for part in parts) == "".join(line.split())
