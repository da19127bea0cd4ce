"""Lines too long for the model: split into sentences, else clauses, else chunks; rejoined afterwards.

A line that fits is never touched. White space between parts is kept, and nothing else is lost. Time and
memory grow with the line's length, not faster.
"""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain

from mtkit.config.model import ModelSettings
from mtkit.corpus.normalize import REMOVED
from mtkit.translation.sentences import sentence_ends
from mtkit.translation.translation import one_line

LIMIT_TOKENS = 256  # EOS counted; for a model whose folder does not say what it was trained on
# Patterns are compiled where they are first looked for, which takes longer than a short line.
# Where a sentence that is too long may be cut, best places first; a cut is made behind each match. A match
# begins where a run of marks does: from each of a million full stops all others would be looked at in vain.
_CLOSING = "[\"'”’»)\\]」』）]*"
_CUTS = (
    # a sentence within quotation marks or parentheses ends: a mark and a space with no small letter behind
    # it, or a mark that needs no space
    rf"(?<![.!?…])[.!?…]+{_CLOSING}\s+(?![a-zà-öø-ÿ])|[。！？｡]+{_CLOSING}\s*",
    rf"(?<![,;:])[,;:]+{_CLOSING}\s+|\s[–—-]\s+|[、，；：]\s*",
    r"\s+",
)
_WHITE_SPACE = r"\s+"
_CHARACTERS_PER_TOKEN = 4  # where the search for the longest stretch that fits begins

# scripts written without spaces between words: CJK, kana and their marks, which have none between sentences
# either; Thai, Lao, Burmese and Khmer, which have
_CJK = "\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef\U00020000-\U0003ffff"
_UNSPACED_SENTENCES = f"[{_CJK}]"
UNSPACED = f"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff{_CJK}]"


@dataclass(frozen=True)
class Part:
    """A part of a line.

    Attributes:
        text: the part, without white space at its ends.
        spaced: True if words end between the part before and this one.
        space: what is written between both then: the source's white space, or a space where it has none.
        after_sentence: True if a sentence ends between them, too.
    """

    text: str
    spaced: bool
    space: str = " "
    after_sentence: bool = False


def source_limit(architecture: ModelSettings, max_tokens: int | None) -> int:
    """Most tokens of a sentence that a model can take and has learnt on, EOS counted.

    Args:
        architecture: says how many positions there are, where they are learned.
        max_tokens: longest side the model was trained on; None: not known.
    """
    limit = max_tokens or LIMIT_TOKENS
    return min(limit, architecture.most_positions or limit)


def split_line(text: str, limit: int, count: Callable[[str], int], language: str = "") -> list[Part]:
    """Split a line into parts of at most `limit` tokens; one part if it fits.

    Sentences are parts of their own; shorter clauses and words are packed as full as fits.

    Args:
        text: a normalised line.
        limit: most tokens of a part.
        count: tokens of a text.
        language: of the text, whose abbreviations end no sentence.
    """
    if count(text) <= limit:
        return [Part(text, False)] if text else []
    return split_sentences(text, limit, count, language)


def split_sentences(
    text: str, limit: int, count: Callable[[str], int], language: str = "", source: str = ""
) -> list[Part]:
    """As `split_line`, but every sentence is a part of its own even if the whole line fits.

    Args:
        text: a normalised line.
        limit: most tokens of a part.
        count: tokens of a text.
        language: of the text.
        source: the line as it came, for its white space.
    """
    parts: list[Part] = []
    before, spaces = "", 0
    as_it_came = _white_space(source, text)
    sentences = _cut_at(text, sentence_ends(text, language))
    pieces = (enumerate(_split(sentence, 0, limit, count)) for sentence in sentences)
    for number, piece in chain.from_iterable(pieces):
        if stripped := piece.strip():
            is_apart = before[-1:].isspace()
            space = as_it_came[spaces - 1] if is_apart and as_it_came else " "
            spaced = is_apart or re.match(UNSPACED, before[-1:]) is not None
            parts.append(Part(stripped, spaced, space, after_sentence=number == 0 and bool(parts)))
        spaces += piece.count(" ")
        before = piece
    return parts


def _white_space(source: str, text: str) -> list[str]:
    """For each space of a normalised text what its source has there; empty where they do not correspond."""
    found = re.findall(_WHITE_SPACE, REMOVED.sub("", source).strip())
    return [one_line(space) for space in found] if len(found) == text.count(" ") else []


def rejoin(parts: Sequence[Part], translations: Sequence[str]) -> str:
    """Join the parts' translations, with white space where the target's script has some: between words, or
    between sentences alone."""
    line = ""
    for part, translation in zip(parts, translations, strict=True):
        unspaced = _UNSPACED_SENTENCES if part.after_sentence else UNSPACED
        if line and translation and part.spaced and not meets_unspaced(line, translation, unspaced):
            line += part.space
        line += translation
    return line


def meets_unspaced(left: str, right: str, unspaced: str = UNSPACED) -> bool:
    """True if between the two texts, neither of them empty, there is no space in their script.

    Args:
        left: a text.
        right: what follows it.
        unspaced: pattern of the characters of scripts without spaces.
    """
    return re.match(unspaced, left[-1]) is not None or re.match(unspaced, right[0]) is not None


def _split(text: str, level: int, limit: int, count: Callable[[str], int]) -> list[str]:
    """Pieces that fit and that together are the text."""
    if count(text.strip()) <= limit:
        return [text]
    units = [text]
    while len(units) == 1 and level < len(_CUTS):
        units = _cut_at(text, (match.end() for match in re.finditer(_CUTS[level], text)))
        level += 1
    if len(units) == 1:
        return _cut_anywhere(text, limit, count)
    pieces = [piece for unit in units for piece in _split(unit, level, limit, count)]
    return pieces if level == 1 else _pack(pieces, limit, count)


def _cut_at(text: str, places: Iterable[int]) -> list[str]:
    ends = list(places)
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
    start = 0
    while start < len(text):
        # one character more than is looked at, because what follows a cut decides whether it is one
        stretch = text[start : start + _CHARACTERS_PER_TOKEN * limit + 1]
        size = _whole_character(stretch, _longest_that_fits(stretch, limit, count))
        pieces.append(stretch[:size])
        start += size
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
