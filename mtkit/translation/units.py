"""What is translated as one text and written together: a line, or a block of a document."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from mtkit.translation.document import Block, Document, Line, blocks
from mtkit.translation.formats import Format
from mtkit.translation.resuming import Fits
from mtkit.translation.translation import Translation


class Unit(Protocol):
    """What becomes some lines of output."""

    @property
    def number(self) -> int:
        """The number of its first line, from 1."""
        ...

    @property
    def layout(self) -> str:
        """What its output depends on beside its text: the lines of a block; of a line nothing."""
        ...

    def shapes(self) -> list[Fits]:
        """For each line of output whether given bytes can be it."""
        ...

    def written(self, translation: Translation) -> list[str]:
        """The lines of output."""
        ...


@dataclass(frozen=True)
class LineUnit:
    """A line of the text, with its number from 1."""

    number: int
    format: Format
    layout: str = ""

    def shapes(self) -> list[Fits]:
        """As the protocol says."""
        ranks = range(1, self.format.lines_each + 1)
        return [partial(self.format.fits, line=self.number, rank=rank) for rank in ranks]

    def written(self, translation: Translation) -> list[str]:
        """As the protocol says."""
        return self.format.written(translation, self.number)


@dataclass(frozen=True)
class BlockUnit:
    """A block of a document, with the number of its first line."""

    number: int
    format: Format
    block: Block

    @property
    def layout(self) -> str:
        """As the protocol says."""
        return self.block.layout

    def shapes(self) -> list[Fits]:
        """As the protocol says."""
        if self.format.as_json:
            return [partial(self.format.fits, line=self.number, rank=1)]
        return [partial(_is_laid_out, line) for line in self.block.lines]

    def written(self, translation: Translation) -> list[str]:
        """As the protocol says: the lines laid out, or one JSON object that says how many they are."""
        if self.format.as_json:
            return self.format.written(translation, self.number, lines=len(self.block.lines))
        return self.block.laid_out(translation.text)


def _is_laid_out(line: Line, written: bytes) -> bool:
    return written.startswith(line.before.encode()) and written.endswith(line.after.encode())


class Units:
    """The units of a text: their texts are iterated over, and they are taken afterwards in the same order.

    Args:
        lines: of the text.
        output: the format.
        language: of the text.
        document: how the lines of a document belong together; None: it is none.
    """

    def __init__(
        self, lines: Iterable[str], output: Format, language: str = "", document: Document | None = None
    ) -> None:
        self._lines = lines
        self._format = output
        self._language = language
        self._document = document
        self._waiting: deque[Unit] = deque()
        self._taken = 0

    def __iter__(self) -> Iterator[str]:
        if self._document is None:
            for number, line in enumerate(self._lines, start=1):
                self._waiting.append(LineUnit(number, self._format))
                yield line
            return
        number = 1
        for block in blocks(self._lines, self._language, self._document):
            self._waiting.append(BlockUnit(number, self._format, block))
            yield block.text
            number += len(block.lines)

    def take(self, count: int) -> list[Unit]:
        """The next units; their texts have been iterated over."""
        self._taken += count
        return [self._waiting.popleft() for _ in range(count)]

    def first_line(self, unit: int) -> int:
        """The number of the first line of the unit of a number, both from 1; it has not been taken yet."""
        return self._waiting[unit - 1 - self._taken].number
