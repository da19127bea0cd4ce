"""Normalisation of one line: Unicode form, white space, control characters. Pure and light.

Translation applies the same to what it is given, so nothing here may look at more than one line.
"""

import re
import unicodedata
from collections.abc import Mapping
from typing import Literal

FORMS: Mapping[str, Literal["NFC", "NFKC"]] = {"nfc": "NFC", "nfkc": "NFKC"}

# Removed: control characters that are no white space, soft hyphen, zero-width space, word joiner, byte
# order mark, bidirectional controls. Kept: the zero-width (non-)joiners U+200C and U+200D, which carry
# meaning in Persian, the scripts of India and emoji.
_REMOVED = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]"
)


def normalize(text: str, form: str) -> str:
    """One line in its normal form: no control characters, single spaces, none at the ends.

    White space is whatever Unicode calls so (U+00A0, U+0085, U+2028, tab, `\\r`, form feed, …). The result
    holds no `\\n` and normalising it again changes nothing.

    Args:
        text: a line.
        form: `nfc`, `nfkc` (Unicode Standard Annex 15), or `none` to leave letters as they are.
    """
    clean = text if text.isprintable() else _REMOVED.sub("", text)
    if form != "none" and not clean.isascii():
        clean = unicodedata.normalize(FORMS[form], clean)
    if "  " not in clean and clean[:1] != " " and clean[-1:] != " " and clean.isprintable():
        return clean  # most lines: a printable text has no white space but spaces
    return " ".join(clean.split())
