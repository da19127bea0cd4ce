"""Documents: lines that belong together are translated together, and the layout around them is kept.

As many lines come out as went in. A block is one line, or several that run on: text that was wrapped.
"""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from mtkit.corpus.normalize import normalize
from mtkit.files import NO_CHARACTER
from mtkit.translation.flags import has_letters
from mtkit.translation.long_input import UNSPACED, meets_unspaced
from mtkit.translation.sentences import sentence_ends

Document = Literal["wrapped", "paragraphs"]

MOST_LINES = 200  # of a block; where text runs on longer, it is cut
_SENTENCE_CHARACTERS = 500  # of two lines that are looked at to see whether a sentence ends between them

# Patterns are compiled where they are first looked for: lines without a document need none.
# what stands before the text of a line: indentation, quotation marks of e-mail, a mark of a list or heading
_MARKS = (
    r"(?P<quotes>[^\S\n]*(?:>[^\S\n]?)*)(?P<indent>[^\S\n]*)"
    r"(?P<item>(?:[-*+•‣◦·–—]|\#{1,6}|\d{1,3}[.)]|[a-z]\)|\(\w{1,3}\))[^\S\n]+)?"
)
# where a line may be wrapped: behind a word, or any character of a script without spaces and its marks
_UNIT = rf"\s*(?:{UNSPACED}[\u0300-\u036f\u3099\u309a\ufe00-\ufe0f]*|(?:(?!{UNSPACED})\S)+)"


@dataclass(frozen=True)
class Line:
    """A line of a document.

    Attributes:
        before: marks and white space before its text; the whole line if it has no letter or digit.
        text: what is translated.
        after: white space behind it, a carriage return for example.
        item: True if a mark of a list or a heading begins it.
    """

    before: str
    text: str
    after: str
    item: bool

    @property
    def quotes(self) -> str:
        """The quotation marks of e-mail that it has."""
        return "".join(character for character in self.before if character == ">")

    @property
    def indent(self) -> int:
        """Characters before its text."""
        return len(self.before)


@dataclass(frozen=True)
class Block:
    """Lines that are translated as one text; none of them blank, or one that is."""

    lines: tuple[Line, ...]

    @property
    def text(self) -> str:
        """The text of its lines, without what stands before and behind; empty if there is none."""
        text = ""
        for line in self.lines:
            text += line.text if not text or meets_unspaced(text, line.text) else " " + line.text
        return text

    @property
    def layout(self) -> str:
        """Its lines as they stand in the document, a line break behind each."""
        return "".join(f"{line.before}{line.text}{line.after}\n" for line in self.lines)

    def laid_out(self, translation: str) -> list[str]:
        """The translation as lines, as many as the block has, each with what stood before and behind.

        A line gets about the share of the text that it had; where there are fewer words than lines, the
        last lines hold nothing but what stood before and behind.
        """
        texts = _shared_out(translation, [len(line.text) for line in self.lines])
        return [line.before + text + line.after for line, text in zip(self.lines, texts, strict=True)]


def blocks(lines: Iterable[str], language: str = "", document: Document = "wrapped") -> Iterator[Block]:
    """The blocks of a document, which together are its lines.

    Of paragraphs each line is a block. Where text is wrapped, a line runs on in the next if neither is blank,
    no sentence ends with it, and the next has no mark of a list or heading, the same quotation marks, and
    from the third line on the same indentation.

    Args:
        lines: without `\\n`.
        language: of the document, for where sentences end.
        document: how its lines belong together.
    """
    if document == "paragraphs":
        yield from (Block((line,)) for line in map(_parsed, lines))
        return
    block: list[Line] = []
    for line in map(_parsed, lines):
        if block and not _runs_on(block, line, language):
            yield Block(tuple(block))
            block = []
        block.append(line)
        if not line.text or len(block) == MOST_LINES:
            yield Block(tuple(block))
            block = []
    if block:
        yield Block(tuple(block))


def _parsed(line: str) -> Line:
    if not _has_text(line):
        return Line(line, "", "", item=False)
    found = re.match(_MARKS, line)
    assert found is not None, "every part of the pattern may be empty"
    text = line[found.end() :]
    kept = text.rstrip()
    if not _has_text(kept):  # "1. " is no item but the text
        return Line("", line.rstrip(), line[len(line.rstrip()) :], item=False)
    return Line(found[0], kept, text[len(kept) :], item=found["item"] is not None)


def _has_text(line: str) -> bool:
    return has_letters(line) or NO_CHARACTER.search(line) is not None


def _runs_on(block: Sequence[Line], line: Line, language: str) -> bool:
    last = block[-1]
    if not line.text or line.item or line.quotes != last.quotes:
        return False
    if len(block) > 1 and line.indent != last.indent:
        return False
    return not _sentence_ends_between(last.text, line.text, language)


def _sentence_ends_between(left: str, right: str, language: str) -> bool:
    left, right = (
        normalize(NO_CHARACTER.sub("\ufffd", text), "none")
        for text in (left[-_SENTENCE_CHARACTERS:], right[:_SENTENCE_CHARACTERS])
    )
    if not left or not right:
        return True
    space = "" if meets_unspaced(left, right) else " "
    return len(left) + len(space) in sentence_ends(left + space + right, language)


def _shared_out(text: str, lengths: Sequence[int]) -> list[str]:
    """Cut a text into as many pieces as there are lengths, in about their proportion."""
    if len(lengths) == 1:
        return [text]
    units = deque(re.findall(_UNIT, text))
    total, wanted = len(text), sum(lengths)
    pieces: list[str] = []
    taken, until = 0, 0
    for number, length in enumerate(lengths, start=1):
        until += length
        piece: list[str] = []
        others = len(lengths) - number  # each of which gets a unit if there are enough
        while units and (not piece or len(units) > others):
            middle = taken + len(units[0]) / 2
            if others and piece and middle * wanted > until * total:
                break
            taken += len(units[0])
            piece.append(units.popleft())
        pieces.append("".join(piece).strip())
    return pieces
