"""Lines too long for the model: split into sentences, else clauses, else chunks; rejoined afterwards.

A line that fits is never touched. Nothing but white space between parts is lost.
"""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

# where a line may be cut, best places first; a cut is made behind each match
_CLOSING = "[\"'”’»)\\]」』）]*"
_CUTS = (
    # a sentence ends: a mark and a space with no small letter behind it, or a mark that needs no space
    re.compile(rf"[.!?…]+{_CLOSING}\s+(?![a-zà-öø-ÿ])|[。！？｡]+{_CLOSING}\s*"),
    re.compile(rf"[,;:]+{_CLOSING}\s+|\s[–—-]\s+|[、，；：]\s*"),
    re.compile(r"\s+"),
)
_CHARACTERS_PER_TOKEN = 4  # where the search for the longest stretch that fits begins

# scripts written without spaces: CJK, kana and their marks, Thai, Lao, Burmese, Khmer
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff]"
)


@dataclass(frozen=True)
class Part:
    """A part of a line.

    Attributes:
        text: the part, without white space at its ends.
        spaced: True if words end between the part before and this one.
    """

    text: str
    spaced: bool


def split_line(text: str, limit: int, count: Callable[[str], int]) -> list[Part]:
    """Split a line into parts of at most `limit` tokens; one part if it fits.

    Sentences are parts of their own; shorter clauses and words are packed as full as fits.

    Args:
        text: a normalised line.
        limit: most tokens of a part.
        count: tokens of a text.
    """
    parts: list[Part] = []
    before = ""
    for piece in _split(text, 0, limit, count):
        if stripped := piece.strip():
            spaced = bool(before) and (before[-1].isspace() or _UNSPACED.match(before[-1]) is not None)
            parts.append(Part(stripped, spaced))
        before = piece
    return parts


def rejoin(parts: Sequence[Part], translations: Sequence[str]) -> str:
    """Join the parts' translations, with a space where the target's script has one."""
    line = ""
    for part, translation in zip(parts, translations, strict=True):
        if line and translation and part.spaced and not _meets_unspaced(line, translation):
            line += " "
        line += translation
    return line


def _meets_unspaced(left: str, right: str) -> bool:
    return _UNSPACED.match(left[-1]) is not None or _UNSPACED.match(right[0]) is not None


def _split(text: str, level: int, limit: int, count: Callable[[str], int]) -> list[str]:
    """Pieces that fit and that together are the text."""
    if count(text.strip()) <= limit:
        return [text]
    if level == len(_CUTS):
        return _cut_anywhere(text, limit, count)
    units = _cut_behind(text, _CUTS[level])
    pieces = [piece for unit in units for piece in _split(unit, level + 1, limit, count)]
    return pieces if level == 0 else _pack(pieces, limit, count)


def _cut_behind(text: str, mark: re.Pattern[str]) -> list[str]:
    ends = [match.end() for match in mark.finditer(text)]
    starts = [0, *ends]
    return [text[start:end] for start, end in zip(starts, [*ends, len(text)], strict=True) if start < end]


def _pack(pieces: Sequence[str], limit: int, count: Callable[[str], int]) -> list[str]:
    """Neighbouring pieces put together as far as they fit.

    Tokens of two pieces are taken to add up, which costs one count a piece; where that proves wrong,
    the pieces stay apart.
    """
    packed: list[str] = []
    group: list[str] = []
    tokens = 0
    for piece in pieces:
        more = count(piece.strip())
        if group and tokens + more > limit:
            packed += _together(group, limit, count)
            group, tokens = [], 0
        group.append(piece)
        tokens += more
    return packed + _together(group, limit, count)


def _together(group: list[str], limit: int, count: Callable[[str], int]) -> list[str]:
    whole = "".join(group)
    return [whole] if len(group) < 2 or count(whole.strip()) <= limit else group


def _cut_anywhere(text: str, limit: int, count: Callable[[str], int]) -> list[str]:
    """Cut a text that has no better place; a character is never parted from its accents."""
    pieces = []
    while text:
        size = _whole_character(text, _longest_that_fits(text, limit, count))
        pieces.append(text[:size])
        text = text[size:]
    return pieces


def _longest_that_fits(text: str, limit: int, count: Callable[[str], int]) -> int:
    """Characters of about the longest beginning that fits; at least 1."""
    size = min(len(text), _CHARACTERS_PER_TOKEN * limit)
    if count(text[:size]) <= limit:
        return size
    fits = 1  # at worst one character makes too many tokens
    while size - fits > 1:
        middle = (fits + size) // 2
        if count(text[:middle]) <= limit:
            fits = middle
        else:
            size = middle
    return fits


def _whole_character(text: str, size: int) -> int:
    """The largest size up to `size` that does not part a character from what modifies it."""
    for shorter in range(size, 0, -1):
        if shorter == len(text) or not (_modifies(text[shorter]) or text[shorter - 1] == "\u200d"):
            return shorter
    return size


def _modifies(character: str) -> bool:
    return character == "\u200d" or unicodedata.category(character).startswith("M")
