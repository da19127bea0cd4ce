"""Normalisation of one line: Unicode form, white space, control characters. Pure and light.

Translation applies the same to what it is given, so nothing here may look at more than one line.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import Literal

FORMS: Mapping[str, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}

# Removed: control characters that are no white space, soft hyphen, zero-width space, word joiner, byte
# order mark, bidirectional controls. Kept: the zero-width (non-)joiners U+200C and U+200D, which carry
# meaning in Persian, the scripts of India and emoji.
REMOVED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)

# Where so many characters of a line that is no ASCII are marks, or might be made of them, they may all
# stand on one letter, and putting them in order costs `unicodedata` the square of their number.
_FEW_MARKS = 1000


def normalize(text: str, form: str) -> str:
    """One line in its normal form: no control characters, single spaces, none at the ends.

    White space is whatever Unicode calls so (U+00A0, U+0085, U+2028, tab, `\\r`, form feed, …). The result
    holds no `\\n` and normalising it again changes nothing.

    Args:
        text: a line.
        form: `nfc`, `nfkc` (Unicode Standard Annex 15), or `none` to leave letters as they are.
    """
    clean = text if text.isprintable() else REMOVED.sub("", text)
    if form != "none" and not clean.isascii():
        if len(clean) > _FEW_MARKS:
            clean = "".join(_with_marks_in_order(clean, form))
        clean = unicodedata.normalize(FORMS[form], clean)
    if "  " not in clean and clean[:1] != " " and clean[-1:] != " " and clean.isprintable():
        return clean  # most lines: a printable text has no white space but spaces
    return " ".join(clean.split())


def _with_marks_in_order(text: str, form: str) -> Iterator[str]:
    """The text, in which long runs of marks are decomposed and in their canonical order.

    Source: Unicode Standard, section 3.11, D108 and D109 (canonical ordering: a stable sort by class).
    """
    decomposition: Literal["NFD", "NFKD"] = "NFD" if form == "nfc" else "NFKD"
    for are_marks, group in groupby(text, _may_be_a_mark):
        run = "".join(group)
        if not are_marks or len(run) <= _FEW_MARKS:
            yield run
            continue
        marks = "".join(unicodedata.normalize(decomposition, mark) for mark in run)
        by_class = groupby(marks, lambda mark: not unicodedata.combining(mark))
        for is_starter, between in [(is_starter, "".join(some)) for is_starter, some in by_class]:
            yield between if is_starter else "".join(sorted(between, key=unicodedata.combining))


def _may_be_a_mark(character: str) -> bool:
    # half-width voicing marks are letters by category, and marks once they are normalised
    return character > "\u02ff" and (unicodedata.category(character)[0] == "M" or character in "\uff9e\uff9f")
