"""The lines that two engines translate to be compared: held-out text, and lines that break programs."""

from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from mtkit.errors import DataError
from mtkit.files import read_lines

# What people paste: none of it is a sentence, and all of it must come out alike.
NASTY = (
    "a",
    "?",
    "1",
    "0123456789 " * 12,
    "ALL CAPITALS, SHOUTED!!!",
    "no.space.after.stops,or,commas",
    "a b c d e f g h i j k l m n o p q r s t u v w x y z",
    "x" * 200,
    "word " * 60,
    "ha" * 40,
    "-----===~~~***",
    '<b>bold</b> &amp; <a href="https://example.org/?q=1&r=2">link</a>',
    "{name} has %d items (%s) in ${path}/file.txt",
    "name@example.org, https://example.org/a/b?c=d#e",
    "tab\there, nul\x00here, return\rhere, line\u2028here",
    "no\u00adhyphen, zero\u200bwidth, \u202eturned\u202c",
    "cafe\u0301 and caf\u00e9, \ufb01ne \u2460 \u00bd",
    "\U0001f600\U0001f1e9\U0001f1ea\U0001f469\u200d\U0001f4bb",
    "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u3002",
    "\u0412\u0441\u0435 \u0441\u0435\u043c\u044c\u0438 \u043f\u043e\u0445\u043e\u0436\u0438",
    "\u0645\u0631\u062d\u0628\u0627 \u0628\u0627\u0644\u0639\u0627\u0644\u0645",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e",
    "\uff26\uff55\uff4c\uff4c \uff57\uff49\uff44\uff54\uff48",
    "One sentence. Another one? A third! And, so that it is split, " * 20,
)


@dataclass(frozen=True)
class ProbeLine:
    """A line to translate.

    Attributes:
        source: the line.
        reference: its translation by a human; None: there is none.
        origin: where it is from, as the certificate counts it.
    """

    source: str
    reference: str | None
    origin: str


def nasty_lines() -> list[ProbeLine]:
    """The fixed list."""
    return [ProbeLine(line, None, "nasty") for line in NASTY]


def corpus_lines(corpus: Path, most: int) -> list[ProbeLine]:
    """The first lines of each held-out split of a corpus stage's folder; of a split that is missing, none."""
    found: list[ProbeLine] = []
    for split in ("valid", "test"):
        paths = corpus / f"{split}.source", corpus / f"{split}.target"
        if all(path.is_file() for path in paths):
            found += _paired(*paths, split, most)
    return found


def stem_lines(stem: Path, source_language: str, target_language: str, most: int) -> list[ProbeLine]:
    """The first lines of a parallel text named by its stem: STEM.SOURCE and STEM.TARGET.

    Raises:
        DataError: a side is missing, or they differ in length.
    """
    source, target = paired_paths(stem, source_language, target_language)
    return _paired(source, target, "text", most)


def paired_paths(stem: Path, source_language: str, target_language: str) -> tuple[Path, Path]:
    """Both sides of a parallel text named by its stem.

    Raises:
        DataError: the stem is no name.
    """
    if not stem.name:
        raise DataError(
            "this is a folder, not the beginning of two names",
            where=str(stem),
            expected=f"STEM of STEM.{source_language} and STEM.{target_language}",
            advice="Name the two files by what their names have in common.",
        )
    source, target = (
        stem.with_name(f"{stem.name}.{language}") for language in (source_language, target_language)
    )
    return source, target


def _paired(source: Path, target: Path, origin: str, most: int) -> list[ProbeLine]:
    sides = both_sides((source, target), most)
    return [ProbeLine(one, other, origin) for one, other in zip(*sides, strict=True)]


def both_sides(paths: tuple[Path, Path], most: int) -> tuple[list[str], list[str]]:
    """The first lines of the two sides of a parallel text.

    Raises:
        DataError: a side is missing, they differ in length, or there is no line.
    """
    source, target = (list(islice(read_lines(path), most)) for path in paths)
    _check_paired((len(source), len(target)), paths)
    return source, target


def spread_sides(paths: tuple[Path, Path], most: int) -> tuple[list[str], list[str]]:
    """At most so many lines of the two sides of a parallel text, spread evenly over it.

    A text is read twice, so that no more than these are ever in memory.

    Raises:
        DataError: as `both_sides`.
    """
    step = -(-count_pairs(paths) // most)
    source, target = (list(islice(read_lines(path), 0, None, step)) for path in paths)
    return source, target


def count_pairs(paths: tuple[Path, Path]) -> int:
    """How many lines each of the two sides of a parallel text has; both are read to the end.

    Raises:
        DataError: as `both_sides`.
    """
    source, target = (sum(1 for _ in read_lines(path)) for path in paths)
    _check_paired((source, target), paths)
    return source


def _check_paired(counts: tuple[int, int], paths: tuple[Path, Path]) -> None:
    if counts[0] != counts[1] or not counts[0]:
        raise DataError(
            f"{counts[0]:,} and {counts[1]:,} lines",
            where=", ".join(map(str, paths)),
            expected="a target line for each source line, at least one",
            advice="Check that both files are whole and belong together.",
        )
