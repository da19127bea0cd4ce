"""Sentences as 64-bit keys, equal when the sentences are equal after folding; the same on every machine.

A key is a hash of the folded characters. Ten million different sentences share a key by chance with a
probability of about 3 in a million, so keys stand for sentences in duplicates, held-out sets and splits.
"""

import re
import sys
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Keys: TypeAlias = npt.NDArray[np.uint64]
Folding = Literal[
    "none", "light", "hard"
]  # none: exact · light: case, punctuation · hard: also digits, names

BLOCK_CHARACTERS = 1 << 16  # work on pieces that stay in the processor's cache: 8 bytes a character
NEWLINE = 10
PLACEHOLDER = re.compile(
    r"\$?\{+[^{}\s][^{}]*\}+|%\([^)\s]+\)[#0\- +]?[\d.]*[a-zA-Z]|%(?:\d+\$)?[#0\-+]?[\d.]*[diouxXeEfFgGcrsa@]"
)


def keys_of(lines: Sequence[str], folding: Folding) -> Keys:
    """The key of each line.

    Args:
        lines: none may hold a `\\n`.
        folding: `none`; `light` folds case and leaves out all but letters, marks and digits; `hard` leaves
            out digits and placeholders too.
    """
    if folding == "none":
        digests = b"".join(blake2b(line.encode("utf-8"), digest_size=8).digest() for line in lines)
        return np.frombuffer(digests, dtype="<u8").astype(np.uint64)
    if folding == "hard":
        lines = [PLACEHOLDER.sub("", line) if "{" in line or "%" in line else line for line in lines]
    parts, start, size = [], 0, 0
    for at, line in enumerate(lines):
        size += len(line) + 1
        if size >= BLOCK_CHARACTERS:
            parts.append(_keys_of_block(lines[start : at + 1], folding))
            start, size = at + 1, 0
    parts.append(_keys_of_block(lines[start:], folding))
    return np.concatenate(parts)


def fold(text: str, folding: Folding) -> str:
    """The folded text itself; two lines have equal keys if and only if these are equal."""
    if folding == "none":
        return text
    if folding == "hard":
        text = PLACEHOLDER.sub("", text)
    folded = _table(folding)[np.frombuffer(text.encode("utf-32-le"), dtype=np.uint32)]
    return str(folded[folded != 0].tobytes(), "utf-32-le")


def _keys_of_block(lines: Sequence[str], folding: Folding) -> Keys:
    if not lines:
        return np.zeros(0, dtype=np.uint64)
    codes = _table(folding)[np.frombuffer(("\n".join(lines) + "\n").encode("utf-32-le"), dtype=np.uint32)]
    codes = codes[codes != 0]
    ends = np.flatnonzero(codes == NEWLINE)
    starts = np.concatenate([np.zeros(1, dtype=ends.dtype), ends[:-1] + 1])
    lengths = ends - starts
    # one pseudo-random number for each (position, character); their sum modulo 2^64 is the line's key
    values = np.arange(len(codes), dtype=np.uint64)
    values -= np.repeat(starts.astype(np.uint64), lengths + 1)
    values <<= np.uint64(21)
    values |= codes
    values = _mix(values)
    values[ends] = 0
    total = np.cumsum(values, dtype=np.uint64)
    before = np.where(starts > 0, total[starts - 1], np.uint64(0))
    return _mix((total[ends] - before) ^ lengths.astype(np.uint64))


def _mix(values: Keys) -> Keys:
    """The finaliser of SplitMix64 (Steele et al. 2014), a bijection of 64-bit numbers that looks random."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    shifted = np.empty_like(values)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        np.right_shift(values, np.uint64(shift), out=shifted)
        values ^= shifted
        values *= np.uint64(factor)
    np.right_shift(values, np.uint64(31), out=shifted)
    values ^= shifted
    return values


@lru_cache(maxsize=2)
def _table(folding: Folding) -> npt.NDArray[np.uint32]:
    """Code point → folded code point, 0 where it is left out."""
    kept = "LMN" if folding == "light" else "LM"
    table = np.zeros(sys.maxunicode + 1, dtype=np.uint32)
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if unicodedata.category(character)[0] in kept:
            table[code] = ord(character.lower()[0])
    table[NEWLINE] = NEWLINE
    return table
