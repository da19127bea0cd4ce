"""Vocabularies of other toolkits: SentencePiece cuts the text, a list of its own gives the pieces their ids.

Marian trains its models so: the ids of `vocab.json` are not SentencePiece's, and one list may serve two
SentencePiece models. `codec.py` asks this as it asks SentencePiece itself.
"""

from collections.abc import Sequence
from typing import Any, cast, overload

from mtkit.subword.vocabulary import EOS, SPACE_MARK, UNK

FIRST = EOS + 1  # the ids before it are not looked up: no text is cut into them
CODE = (">>", "<<")  # around the code of a target language, which may begin a line and is one piece


class Renumbered:
    """A SentencePiece model whose pieces have other ids.

    Args:
        processor: the SentencePiece model.
        pieces: by id, each once; the first four are padding, unknown, beginning and end.
        space_mark: what stands for U+2581 in text on its way here.
    """

    def __init__(self, processor: Any, pieces: Sequence[str], space_mark: str) -> None:
        self._processor, self._pieces, self._space_mark = processor, list(pieces), space_mark
        self._ids = {piece: number for number, piece in enumerate(self._pieces) if number >= FIRST}

    def get_piece_size(self) -> int:
        """How many ids there are."""
        return len(self._pieces)

    @overload
    def encode(self, lines: str, num_threads: int = 1) -> list[int]: ...

    @overload
    def encode(self, lines: list[str], num_threads: int = 1) -> list[list[int]]: ...

    def encode(self, lines: list[str] | str, num_threads: int = 1) -> list[list[int]] | list[int]:
        """The ids of each line, or of the one; a piece that the list does not know is unknown."""
        if isinstance(lines, str):
            code, text = self._cut(lines)
            return self._known(code, self._processor.encode(text, out_type=str))
        cut = [self._cut(line) for line in lines]
        texts = [text for _, text in cut]
        every = self._processor.encode(texts, out_type=str, num_threads=num_threads)
        return [self._known(code, pieces) for (code, _), pieces in zip(cut, every, strict=True)]

    @overload
    def decode(self, sentences: Sequence[int]) -> str: ...

    @overload
    def decode(self, sentences: Sequence[Sequence[int]]) -> list[str]: ...

    def decode(self, sentences: Sequence[Sequence[int]] | Sequence[int]) -> list[str] | str:
        """The text of each sentence's ids, or of the one's; the first four are silent."""
        if not sentences or isinstance(sentences[0], int):
            return self._text(cast(Sequence[int], sentences))
        return [self._text(ids) for ids in cast(Sequence[Sequence[int]], sentences)]

    def id_to_piece(self, ids: Sequence[int] | int) -> list[str] | str:
        """The pieces that ids stand for."""
        return self._pieces[ids] if isinstance(ids, int) else [self._pieces[number] for number in ids]

    def is_byte(self, number: int) -> bool:
        """True if an id stands for one byte."""
        return bool(self._processor.is_byte(self._processor.piece_to_id(self._pieces[number])))

    def is_control(self, number: int) -> bool:
        """True if an id stands for no text."""
        return number < FIRST and number != UNK

    def is_unknown(self, number: int) -> bool:
        """True for the id of what is unknown."""
        return number == UNK

    def _known(self, code: Sequence[int], pieces: Sequence[str]) -> list[int]:
        return [*code, *(self._ids.get(piece, UNK) for piece in pieces)]

    def _text(self, ids: Sequence[int]) -> str:
        pieces = [self._pieces[number] for number in ids if number >= FIRST]
        # a piece that only the other side's model knows comes back as it is
        return str(self._processor.decode(pieces)).replace(SPACE_MARK, " ") if pieces else ""

    def _cut(self, line: str) -> tuple[list[int], str]:
        """The id of the language code that begins a line, if the list has it, and the rest."""
        line = line.replace(self._space_mark, SPACE_MARK)
        begin, end = CODE
        at = line.find(end) + len(end)
        if line.startswith(begin) and at >= len(CODE[0]) + len(end) and line[:at] in self._ids:
            return [self._ids[line[:at]]], line[at:]
        return [], line


def numbered(size: int, special: tuple[int, int, int, int]) -> list[int]:
    """Their ids in the order of ours: the special ones first, then the rest as they come.

    Args:
        size: of their vocabulary.
        special: their ids of padding, unknown, beginning and end; the beginning may be one of the others,
            and then has a row of its own here.
    """
    known = set(special)
    return [*special, *(number for number in range(size) if number not in known)]
