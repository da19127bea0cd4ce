"""The pairs of one part of a dataset card: which reader reads what was fetched."""

import html
import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from pathlib import Path

from mtkit.config.dataset import (
    CatalogueReader,
    GeneratorReader,
    GettextReader,
    LinesReader,
    Part,
    Split,
    TmxReader,
    TsvReader,
    VersesReader,
)
from mtkit.corpus.archive import open_member
from mtkit.corpus.catalogues import read_gettext, read_json_catalogues
from mtkit.corpus.fetch import filled
from mtkit.corpus.pair import Pair
from mtkit.corpus.pairs import tsv_pairs
from mtkit.corpus.reverse import reverse_pairs
from mtkit.corpus.tmx import read_tmx
from mtkit.corpus.verses import read_verses
from mtkit.errors import DataError
from mtkit.files import decode_lines

_SEGMENT = re.compile(r"<seg[^>]*>(.*?)</seg>")


def read_part(
    part: Part, files: dict[str, Path], source: str, target: str
) -> Iterator[tuple[Split | None, Pair]]:
    """Stream the pairs of a part, each with its split; None where the sentence's hash decides.

    Args:
        part: of the card.
        files: language → file, as fetched.
        source: source language.
        target: target language.
    """
    if isinstance(part.reader, GeneratorReader):
        for split in part.reader.pairs:
            yield from ((split, pair) for pair in reverse_pairs(part.reader, split))
        return
    yield from ((part.split, pair) for pair in _pairs(part, files, source, target))


def _pairs(part: Part, files: dict[str, Path], source: str, target: str) -> Iterator[Pair]:
    reader, first = part.reader, files[source]
    spelled = (part.codes.get(source, source), part.codes.get(target, target))
    match reader:
        case LinesReader():
            return _lines(part, reader, files, source, target)
        case TsvReader():
            return _table(part, reader, first, source, target)
        case GettextReader():
            keys_are = (source == reader.key_language, target == reader.key_language)
            return read_gettext(first, reader.path, spelled, keys_are)
        case CatalogueReader():
            return read_json_catalogues(first, reader.path, spelled)
        case TmxReader():
            name = filled(reader.path, part, (source, target), source)
            return read_tmx(lambda: open_member(first, name), _called(first, name), *spelled)
        case VersesReader():
            return read_verses(first, reader, source, target)
        case _:
            raise AssertionError(f"a reader without code: {reader}")


def _called(path: Path, member: str) -> str:
    """How messages call a member of an archive."""
    return f"{path.name}/{member}" if member else path.name


def _table(part: Part, reader: TsvReader, path: Path, source: str, target: str) -> Iterator[Pair]:
    name = filled(reader.path, part, (source, target), source)
    places = [reader.columns.get(code, reader.columns.get("*", 0)) for code in (source, target)]
    if 0 in places or places[0] == places[1]:
        raise DataError(
            f"the card has no column for {source} and {target}",
            where=_called(path, name),
            expected=f"languages among {', '.join(reader.columns)}",
            advice="Take other languages, or correct the dataset card.",
        )
    with open_member(path, name) as stream:
        yield from tsv_pairs(
            decode_lines(stream, _called(path, name)), _called(path, name), (places[0] - 1, places[1] - 1)
        )


def _lines(
    part: Part, reader: LinesReader, files: dict[str, Path], source: str, target: str
) -> Iterator[Pair]:
    names = [filled(reader.path, part, (source, target), code) for code in (source, target)]
    called = [_called(files[code], name) for code, name in zip((source, target), names, strict=True)]
    with open_member(files[source], names[0]) as left, open_member(files[target], names[1]) as right:
        sides = [decode_lines(left, called[0]), decode_lines(right, called[1])]
        if reader.segments_only:
            sides = [_segments(side) for side in sides]
        for number, (first, second) in enumerate(zip_longest(*sides), start=1):
            if first is None or second is None:
                raise DataError(
                    f"this side ends before line {number}, the other does not",
                    where=called[0] if first is None else called[1],
                    expected="as many lines on both sides",
                    advice="Mend the files. If they were fetched, they are not what the card"
                    " describes: remove them from the cache.",
                )
            if not (reader.skip_tagged and (first.startswith("<") or second.startswith("<"))):
                yield Pair(first, second)


def _segments(lines: Iterable[str]) -> Iterator[str]:
    """What stands in `<seg>` elements, one a line in these files."""
    for line in lines:
        found = _SEGMENT.search(line)
        if found:
            yield html.unescape(found[1])
