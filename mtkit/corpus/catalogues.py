"""Message catalogues, gettext and JSON: texts with equal keys in two languages are a pair."""

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import polib

from mtkit.corpus.archive import Member, Pattern, as_file, members
from mtkit.corpus.pair import Pair
from mtkit.errors import DataError

Key: TypeAlias = tuple[str, ...]
Texts: TypeAlias = dict[Key, str]
Place: TypeAlias = tuple[int, tuple[str, ...]]  # number of the pattern, what its stars stand for


def read_json_catalogues(archive: Path, patterns: list[str], spelled: tuple[str, str]) -> Iterator[Pair]:
    """The pairs of JSON catalogues, file by file in the order of their names.

    Args:
        archive: the archive.
        patterns: of its members, with `{language}`.
        spelled: source and target language as the archive spells them.
    """
    for source, target in _catalogue_pairs(archive, patterns, spelled, read_json_texts):
        yield from joined(source, target)


def read_gettext(
    archive: Path, patterns: list[str], spelled: tuple[str, str], keys_are: tuple[bool, bool]
) -> Iterator[Pair]:
    """The pairs of gettext catalogues.

    Args:
        archive: the archive.
        patterns: of its members, with `{language}`.
        spelled: source and target language as the archive spells them.
        keys_are: True for the side whose language the message ids are in; it has no catalogue of its own.
    """
    if not any(keys_are):
        for source, target in _catalogue_pairs(archive, patterns, spelled, read_gettext_texts):
            yield from joined(source, target)
        return
    side = 1 if keys_are[0] else 0
    for _, member in _matching(archive, patterns, {spelled[side]}):
        for key, text in read_gettext_texts(member).items():
            yield Pair(key[1], text) if side == 1 else Pair(text, key[1])


def joined(source: Texts, target: Texts) -> Iterator[Pair]:
    """The texts that both catalogues have, in the order of the source."""
    for key, text in source.items():
        if key in target:
            yield Pair(text, target[key])


def _catalogue_pairs(
    archive: Path, patterns: list[str], spelled: tuple[str, str], read: Callable[[Member], Texts]
) -> Iterator[tuple[Texts, Texts]]:
    waiting: dict[Place, tuple[str, Texts]] = {}
    for (language, place), member in _matching(archive, patterns, set(spelled)):
        texts = read(member)
        if place not in waiting:
            waiting[place] = (language, texts)
            continue
        other_language, other = waiting.pop(place)
        if other_language != language:
            yield (texts, other) if language == spelled[0] else (other, texts)


def _matching(
    archive: Path, patterns: list[str], languages: set[str]
) -> Iterator[tuple[tuple[str, Place], Member]]:
    """Members that match a pattern in one of the languages; a member counts for the first pattern it fits."""
    compiled = [
        (language, number, Pattern(text, language))
        for number, text in enumerate(patterns)
        for language in sorted(languages)
    ]

    def place_of(name: str) -> tuple[str, Place] | None:
        for language, number, pattern in compiled:
            stars = pattern.match(name)
            if stars is not None:
                return language, (number, stars)
        return None

    for member in members(archive, lambda name: place_of(name) is not None):
        found = place_of(member.name)
        assert found is not None  # it was wanted
        yield found, member


def read_json_texts(member: Member) -> Texts:
    """Nested keys → text; values that are no text are left out."""
    try:
        value = json.loads(member.stream.read().decode("utf-8-sig"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise DataError(
            f"not a JSON catalogue: {error}",
            where=member.name,
            expected="nested objects with texts, in UTF-8",
            advice="The archive is not what the dataset card describes.",
        ) from error
    return dict(_leaves(value, ()))


def _leaves(value: Any, key: Key) -> Iterator[tuple[Key, str]]:
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from _leaves(child, (*key, name))
    elif isinstance(value, list):
        for number, child in enumerate(value):
            yield from _leaves(child, (*key, str(number)))


def read_gettext_texts(member: Member) -> Texts:
    """(context, message id) → translation, without fuzzy, obsolete and untranslated entries."""
    binary = member.name.endswith(".mo")
    with as_file(member.stream, ".mo" if binary else ".po") as path:
        try:
            entries = polib.mofile(str(path)) if binary else polib.pofile(str(path))
        except (OSError, ValueError, UnicodeDecodeError) as error:
            raise DataError(
                f"not a gettext catalogue: {error}",
                where=member.name,
                expected="a .po or .mo file",
                advice="The archive is not what the dataset card describes.",
            ) from error
    texts: Texts = {}
    for entry in entries:
        text = entry.msgstr or entry.msgstr_plural.get(0, "")
        fuzzy = isinstance(entry, polib.POEntry) and entry.fuzzy
        if text and entry.msgid and not entry.obsolete and not fuzzy:
            texts[entry.msgctxt or "", entry.msgid] = text
    return texts
