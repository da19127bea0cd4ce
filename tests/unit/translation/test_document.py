import pytest

from mtkit.translation.document import MOST_LINES, Block, blocks

WRAPPED = """\
A heading

This is a sentence that was wrapped
somewhere in its middle. Another one
ends with the line.
And a new one begins.

- an item that
  runs on
- another item
> quoted text that
> runs on
>> deeper
    indented text

* * *
1. numbered\r
\t \

最后一行没有空格，
所以连在一起。"""


def texts(document: str, language: str = "en") -> list[str]:
    return [block.text for block in blocks(document.split("\n"), language)]


def test_lines_that_run_on_are_one_text_and_marks_are_none() -> None:
    assert texts(WRAPPED) == [
        "A heading",
        "",
        "This is a sentence that was wrapped somewhere in its middle. Another one ends with the line.",
        "And a new one begins.",
        "",
        "an item that runs on",
        "another item",
        "quoted text that runs on",
        "deeper",
        "indented text",
        "",
        "",
        "numbered",
        "",
        "最后一行没有空格，所以连在一起。",
    ]


def test_of_paragraphs_each_line_is_a_block_with_its_layout() -> None:
    lines = ["  - a line that", "runs on", "", "\tcode = 1\r"]
    found = list(blocks(lines, "en", "paragraphs"))
    assert [block.text for block in found] == ["a line that", "runs on", "", "code = 1"]
    assert [block.laid_out(block.text.upper()) for block in found] == [
        ["  - A LINE THAT"], ["RUNS ON"], [""], ["\tCODE = 1\r"],
    ]  # fmt: skip


def test_a_translation_that_is_its_text_is_the_document_again() -> None:
    lines = [line for block in blocks(WRAPPED.split("\n")) for line in block.laid_out(block.text)]
    assert "\n".join(lines) == WRAPPED


def test_abbreviations_at_the_end_of_a_line_end_no_block() -> None:
    assert texts("Hier kam Herr Dr.\nMaier an.", "de") == ["Hier kam Herr Dr. Maier an."]


def test_a_third_line_with_another_indentation_begins_a_block() -> None:
    assert texts("   First line is indented\nand the second not\n    but the third again") == [
        "First line is indented and the second not",
        "but the third again",
    ]


def test_text_that_never_ends_is_cut() -> None:
    assert [len(block.lines) for block in blocks(["word"] * (2 * MOST_LINES + 1))] == [
        MOST_LINES,
        MOST_LINES,
        1,
    ]


def block(*lines: str) -> Block:
    (found,) = blocks(lines)
    return found


def test_a_translation_is_shared_out_as_the_text_was() -> None:
    wrapped = block("> one two three four", "> five six")
    assert wrapped.laid_out("eins zwei drei vier fünf sechs") == ["> eins zwei drei vier", "> fünf sechs"]


@pytest.mark.parametrize(
    ("translation", "lines"),
    [
        ("eins zwei drei", ["eins", "zwei", "drei"]),
        ("eins zwei", ["eins", "zwei", ""]),
        ("", ["", "", ""]),
        ("我们走", ["我", "们", "走"]),
        ("e\u0301 ka\u0301 o", ["e\u0301", "ka\u0301", "o"]),
    ],
)
def test_every_line_gets_a_word_while_there_are_words(translation: str, lines: list[str]) -> None:
    assert block("one two", "three", "four").laid_out(translation) == lines


def test_a_line_without_letters_or_digits_is_layout() -> None:
    assert block("  ----  ").text == ""
    assert block("  ----  ").laid_out("") == ["  ----  "]


def test_bytes_that_are_no_utf8_are_left_to_the_translator() -> None:
    (found,) = blocks(["one \udcff", "two"])
    assert found.text == "one \udcff two"
    assert [line.before for line in block("- \udcff").lines] == ["- "]
