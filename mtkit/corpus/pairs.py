"""Reading sentence pairs from files: two aligned texts, a TSV, a TMX. Streams; never guesses.

Counts that differ between the sides are an error that points at the likely first line out of step.
"""

from array import array
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeAlias

from mtkit.config.corpus import TextSource
from mtkit.corpus.pair import Pair, empty
from mtkit.errors import DataError
from mtkit.files import open_bytes, read_lines, reading_errors, user_errors

ENDINGS = ("", ".gz", ".xz", ".zst")
CHUNK_PAIRS = 20_000
CHUNK_CHARACTERS = 8_000_000  # a chunk of long lines ends earlier
STRIDE = 1_000  # lines read before the two sides and the size of a chunk are looked at

Texts: TypeAlias = tuple[list[str], list[str]]


class Files(NamedTuple):
    """Where one source of pairs lies on disk.

    Attributes:
        kind: `sides` (two aligned texts), `tsv` or `tmx`.
        paths: source and target text, or the one file.
    """

    kind: str
    paths: tuple[Path, ...]


def locate(text: TextSource, folder: Path, source_language: str, target_language: str) -> Files:
    """The files a source of pairs that is no dataset names; raises DataError if one is missing."""
    if text.stem is not None:
        sides = [_with_language(folder / text.stem, code) for code in (source_language, target_language)]
        return Files("sides", tuple(sides))
    if text.source is not None and text.target is not None:
        return Files("sides", (_existing(folder / text.source), _existing(folder / text.target)))
    if text.tsv is not None:
        return Files("tsv", (_existing(folder / text.tsv),))
    assert text.tmx is not None  # TextSource.findings saw to it
    return Files("tmx", (_existing(folder / text.tmx),))


def _with_language(stem: Path, language: str) -> Path:
    tried = [stem.with_name(f"{stem.name}.{language}{ending}") for ending in ENDINGS]
    for path in tried:
        if path.is_file():
            return path
    raise DataError(
        f"no file for the language {language!r}",
        where=str(tried[0]),
        expected=f"one of {', '.join(path.name for path in tried)}",
        advice="Check the stem and the recipe's `source` and `target`; paths start at the recipe's folder.",
    )


def _existing(path: Path) -> Path:
    with user_errors(path):
        path.stat()
    return path


def read_files(files: Files, source_language: str, target_language: str) -> Iterator[Texts]:
    """Stream the pairs of some files, as lists of both sides."""
    if files.kind == "sides":
        return read_sides(*files.paths)
    if files.kind == "tsv":
        return gathered(read_tsv(files.paths[0]))
    from mtkit.corpus.tmx import read_tmx

    path = files.paths[0]

    def pairs() -> Iterator[Pair]:
        with reading_errors(path):
            yield from read_tmx(lambda: open_bytes(path), str(path), source_language, target_language)

    return gathered(pairs())


def read_sides(source: Path, target: Path) -> Iterator[Texts]:
    """Stream two line-aligned texts, as lists of equal length.

    Raises:
        DataError: the sides are one file, are empty, or have different numbers of lines.
    """
    if source.exists() and target.exists() and source.samefile(target):
        raise DataError(
            "source and target are the same file",
            where=str(source),
            expected="two files, line N of one the translation of line N of the other",
            advice="Name the other side's file.",
        )
    left, right = read_lines(source), read_lines(target)
    count = 0
    while True:
        texts = _take(left, right)
        lengths = len(texts[0]), len(texts[1])
        if lengths[0] != lengths[1]:
            lines = [count + n + sum(1 for _ in rest) for n, rest in zip(lengths, (left, right), strict=True)]
            raise unequal(source, target, *lines)
        if not lengths[0]:
            break
        count += lengths[0]
        yield texts
    if count == 0:
        raise empty(source)


def _take(left: Iterator[str], right: Iterator[str]) -> Texts:
    """The next lines of both sides, fewer where lines are long."""
    source: list[str] = []
    target: list[str] = []
    characters = 0
    while len(source) == len(target) < CHUNK_PAIRS and characters < CHUNK_CHARACTERS:
        before = len(source)
        source += islice(left, STRIDE)
        target += islice(right, STRIDE)
        characters += sum(map(len, source[before:])) + sum(map(len, target[before:]))
        if len(source) < before + STRIDE:
            break
    return source, target


def unequal(source: Path, target: Path, source_lines: int, target_lines: int) -> DataError:
    """The error for sides of different lengths; reads both again to find where they part."""
    at = first_out_of_step(map(len, read_lines(source)), map(len, read_lines(target)))
    left = next(islice(read_lines(source), at, None), None)
    right = next(islice(read_lines(target), at, None), None)
    return DataError(
        f"the two sides differ: {source_lines:,} lines in {source}, {target_lines:,} lines in {target}",
        where=f"{source if left is not None else target}:{at + 1}",
        expected="as many lines on both sides, line N of one the translation of line N of the other",
        advice=f"Look from line {at + 1} on, where they likely part: {_shown(left)} beside {_shown(right)}.",
    )


def _shown(line: str | None) -> str:
    if line is None:
        return "(no line)"
    return repr(line if len(line) <= 60 else line[:59] + "…")


def first_out_of_step(source_lengths: Iterable[int], target_lengths: Iterable[int]) -> int:
    """The likely first line, from 0, at which one side has lines that the other lacks.

    All missing lines are taken to be missing in one place; of all places the one is chosen that makes the
    lengths of the paired lines agree best (Gale and Church 1993 align by length in the same spirit); of
    equally good ones the last, for most often a side was cut short.
    """
    import numpy as np  # not at the top: a fingerprint needs this module and no arithmetic

    short, long = array("I", source_lengths), array("I", target_lengths)
    if len(short) > len(long):
        short, long = long, short
    if not short:
        return 0
    less = np.log1p(np.frombuffer(short, dtype=np.uint32).astype(np.float32))
    more = np.log1p(np.frombuffer(long, dtype=np.uint32).astype(np.float32))
    typical = float(more.mean() - less.mean())
    missing = len(more) - len(less)
    in_step = np.abs(more[: len(less)] - less - typical)
    shifted = np.abs(more[missing:] - less - typical)
    # cost of parting before line k: lines before k in step, lines from k on shifted
    gain = np.concatenate([[0.0], np.cumsum(in_step.astype(np.float64) - shifted)])
    return len(gain) - 1 - int(np.argmin(np.round(gain, 3)[::-1]))


def read_tsv(path: Path, columns: tuple[int, int] = (0, 1)) -> Iterator[Pair]:
    """Stream two columns, from 0, of a tab-separated text; further columns are left alone.

    Raises:
        DataError: a line has too few columns, or there is no line.
    """
    return tsv_pairs(read_lines(path), str(path), columns)


def tsv_pairs(lines: Iterable[str], name: str, columns: tuple[int, int] = (0, 1)) -> Iterator[Pair]:
    """The pairs of the lines of a TSV; `name` is used in messages."""
    count, needed = 0, max(columns) + 1
    for count, line in enumerate(lines, start=1):
        cells = line.split("\t")
        if len(cells) < needed:
            raise DataError(
                f"{len(cells)} column{'s' * (len(cells) != 1)}: {_shown(line)}",
                where=f"{name}:{count}",
                expected=f"at least {needed} columns with a tab between",
                advice="Mend the line, or leave it out.",
            )
        yield Pair(cells[columns[0]], cells[columns[1]])
    if count == 0:
        raise empty(name)


def gathered(pairs: Iterable[Pair]) -> Iterator[Texts]:
    """Pairs as lists of both sides, fewer at a time where sentences are long."""
    source: list[str] = []
    target: list[str] = []
    characters = 0
    for first, second in pairs:
        source.append(first)
        target.append(second)
        characters += len(first) + len(second)
        if len(source) == CHUNK_PAIRS or characters >= CHUNK_CHARACTERS:
            yield source, target
            source, target, characters = [], [], 0
    if source:
        yield source, target
