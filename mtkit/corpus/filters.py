"""Filters: each sees a chunk of pairs and says which to keep. Counting and examples are in cleaning.py."""

import unicodedata
from collections import Counter
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl

from mtkit.config.corpus import (
    CopiesFilter,
    DigitsFilter,
    DuplicatesFilter,
    Filter,
    LengthFilter,
    LengthRatioFilter,
    LettersFilter,
    PlaceholdersFilter,
    ScriptFilter,
)
from mtkit.corpus.chunk import SIDES, Chunk, Mask
from mtkit.corpus.fold import PLACEHOLDER, Folding, Keys, keys_of
from mtkit.corpus.seen import SeenKeys
from mtkit.errors import RecipeError

WEB_ADDRESS_ONLY = r"^(?:[a-zA-Z][a-zA-Z0-9+.-]*://|www\.)\S+$"


class PairFilter(Protocol):
    """What a filter is: a name, and which pairs of a chunk it keeps."""

    name: str

    def keep(self, chunk: Chunk) -> Mask:
        """True for each pair that stays. A filter may remember what it saw."""
        ...


def make_filter(settings: Filter, scratch: Path) -> PairFilter:
    """The filter that some settings describe; `scratch` is a folder for what it must remember."""
    name, given = next(iter(settings.given().items()))
    match given:
        case LengthFilter():
            return Length(name, given)
        case LengthRatioFilter():
            return LengthRatio(name, given)
        case DuplicatesFilter():
            return Duplicates(name, given, scratch)
        case CopiesFilter():
            return Copies(name, given)
        case ScriptFilter():
            return Script(name, given)
        case DigitsFilter():
            return Digits(name, given)
        case PlaceholdersFilter():
            return Placeholders(name)
        case LettersFilter():
            return Letters(name, given)
        case _:
            raise AssertionError(f"a filter without code: {name}")


class Empty:
    """Keeps pairs with text on both sides; always applied first, whatever the recipe says."""

    name = "empty"

    def keep(self, chunk: Chunk) -> Mask:
        """True where neither side is empty."""
        mask: Mask = (chunk.words("source") > 0) & (chunk.words("target") > 0)
        return mask


class Length:
    """Keeps pairs whose sides are both within the lengths."""

    def __init__(self, name: str, settings: LengthFilter) -> None:
        self.name, self._settings = name, settings

    def keep(self, chunk: Chunk) -> Mask:
        """True where both sides have from min to max words or characters."""
        count = chunk.words if self._settings.unit == "words" else chunk.characters
        mask = np.ones(len(chunk), dtype=np.bool_)
        for side in SIDES:
            lengths = count(side)
            mask &= (lengths >= self._settings.min) & (lengths <= self._settings.max)
        return mask


class LengthRatio:
    """Keeps pairs of alike length; short pairs always."""

    def __init__(self, name: str, settings: LengthRatioFilter) -> None:
        self.name, self._settings = name, settings

    def keep(self, chunk: Chunk) -> Mask:
        """True where the longer side has at most `max` times the words, or fewer than `from_words`."""
        source, target = chunk.words("source"), chunk.words("target")
        longer, shorter = np.maximum(source, target), np.minimum(source, target)
        mask: Mask = (longer <= self._settings.max * shorter) | (longer < self._settings.from_words)
        return mask


class Copies:
    """Removes pairs whose target is the source."""

    def __init__(self, name: str, settings: CopiesFilter) -> None:
        self.name = name
        self._folding: Folding = "light" if settings.fold else "none"

    def keep(self, chunk: Chunk) -> Mask:
        """True where the sides differ."""
        mask: Mask = chunk.keys("source", self._folding) != chunk.keys("target", self._folding)
        return mask


class Duplicates:
    """Keeps the first of equal pairs, remembering keys on disk."""

    def __init__(self, name: str, settings: DuplicatesFilter, scratch: Path) -> None:
        self.name, self._of = name, settings.of
        self._folding: Folding = "hard" if settings.fold else "none"
        self._seen = [SeenKeys(scratch) for _ in self._keys(Chunk([], []))]

    def keep(self, chunk: Chunk) -> Mask:
        """True for the first pair with its key; with several keys a pair, none of them was kept before."""
        keys = self._keys(chunk)
        mask = np.ones(len(chunk), dtype=np.bool_)
        for column, seen in zip(keys, self._seen, strict=True):
            mask &= ~seen.contains(column)
        mask = _first_of_each(keys, mask)
        for column, seen in zip(keys, self._seen, strict=True):
            seen.add(column[mask])
        return mask

    def close(self) -> None:
        """Forget everything."""
        for seen in self._seen:
            seen.close()

    def _keys(self, chunk: Chunk) -> list[Keys]:
        if self._of == "source-or-target":
            return [chunk.keys(side, self._folding) for side in SIDES]
        if self._of == "source":
            return [chunk.keys("source", self._folding)]
        if self._of == "target":
            return [chunk.keys("target", self._folding)]
        if self._folding == "none":  # one hash over both sides is cheaper than two
            return [keys_of([f"{a}\t{b}" for a, b in zip(*chunk.texts.values(), strict=True)], "none")]
        return [_both(chunk.keys("source", self._folding), chunk.keys("target", self._folding))]


def _both(source: Keys, target: Keys) -> Keys:
    """One key a pair; swapped sides give another."""
    return source * np.uint64(3) + target


def _first_of_each(keys: list[Keys], mask: Mask) -> Mask:
    """Of the rows in `mask`, those none of whose keys an earlier chosen row has."""
    if len(keys) == 1:
        chosen = np.zeros(len(mask), dtype=np.bool_)
        rows = np.flatnonzero(mask)
        _, first = np.unique(keys[0][rows], return_index=True)
        chosen[rows[first]] = True
        return chosen
    known: list[set[int]] = [set() for _ in keys]
    chosen = mask.copy()
    for row, values in enumerate(zip(*(column.tolist() for column in keys), strict=True)):
        if not chosen[row]:
            continue
        if any(value in seen for value, seen in zip(values, known, strict=True)):
            chosen[row] = False
            continue
        for value, seen in zip(values, known, strict=True):
            seen.add(value)
    return chosen


class Script:
    """Keeps pairs whose letters are mostly of the expected script."""

    def __init__(self, name: str, settings: ScriptFilter) -> None:
        self.name, self._min_share = name, settings.min_share
        self._scripts = {side: script for side in SIDES if (script := getattr(settings, side))}
        for side, script in self._scripts.items():
            try:
                pl.Series([""]).str.count_matches(_letters_of(script))
            except pl.exceptions.ComputeError as error:
                raise RecipeError(
                    f"no such script: {script!r}",
                    where=f"filters.script.{side}",
                    expected="a Unicode script name such as Latin, Cyrillic, Greek, Arabic, Han, Hangul",
                    advice="See the Unicode Standard Annex 24 for all names.",
                ) from error

    def keep(self, chunk: Chunk) -> Mask:
        """True where each named side has at least `min_share` of its letters in its script, or no letters."""
        mask = np.ones(len(chunk), dtype=np.bool_)
        for side, script in self._scripts.items():
            text = chunk.series(side)
            letters = text.str.count_matches(r"\p{L}").to_numpy()
            inside = text.str.count_matches(_letters_of(script)).to_numpy()
            mask &= inside >= self._min_share * letters
        return mask


def _letters_of(script: str) -> str:
    # the brackets keep a name from being read as anything but a name
    return (
        rf"[\p{{L}}&&\p{{Script={script}}}]" if script.replace("_", "").isalpha() else r"\p{no such script}"
    )


class Letters:
    """Removes pairs with a side of too few letters; a web address alone counts as none."""

    def __init__(self, name: str, settings: LettersFilter) -> None:
        self.name, self._min = name, settings.min

    def keep(self, chunk: Chunk) -> Mask:
        """True where both sides have at least `min` letters."""
        mask = np.ones(len(chunk), dtype=np.bool_)
        for side in SIDES:
            text = chunk.series(side).str.replace(WEB_ADDRESS_ONLY, "")
            mask &= text.str.count_matches(r"\p{L}").to_numpy() >= self._min
        return mask


class Digits:
    """Removes pairs whose numbers differ, whatever their order and script."""

    def __init__(self, name: str, settings: DigitsFilter) -> None:
        self.name, self._tolerance = name, settings.tolerance

    def keep(self, chunk: Chunk) -> Mask:
        """True where at most `tolerance` digits are on one side only."""
        mask = np.ones(len(chunk), dtype=np.bool_)
        has = [chunk.series(side).str.contains(r"\d").to_numpy() for side in SIDES]
        for row in np.flatnonzero(has[0] | has[1]).tolist():
            first, second = (digits(chunk.texts[side][row]) for side in SIDES)
            differing = (first - second).total() + (second - first).total()
            mask[row] = differing <= self._tolerance
        return mask


def digits(text: str) -> Counter[int]:
    """How often each decimal digit occurs, of any script."""
    return Counter(unicodedata.decimal(character) for character in text if character.isdecimal())


class Placeholders:
    """Removes pairs whose sets of placeholders differ."""

    def __init__(self, name: str) -> None:
        self.name = name

    def keep(self, chunk: Chunk) -> Mask:
        """True where both sides hold the same placeholders."""
        mask = np.ones(len(chunk), dtype=np.bool_)
        has = [chunk.series(side).str.contains("[{%]").to_numpy() for side in SIDES]
        for row in np.flatnonzero(has[0] | has[1]).tolist():
            first, second = (placeholders(chunk.texts[side][row]) for side in SIDES)
            mask[row] = first == second
        return mask


def placeholders(text: str) -> set[str]:
    """The placeholders of a text: `{name}`, `${name}`, `{{name}}`, `%s`, `%1$s`, `%(name)d`."""
    return set(PLACEHOLDER.findall(text))
