"""The lexical shortlist of a converted model: which target pieces are looked at for which source pieces.

CTranslate2 calls it a vocabulary map. For a batch it computes the output layer of the pieces alone that the
batch's source pieces may become, which is quicker.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from mtkit.corpus.normalize import normalize
from mtkit.errors import DataError
from mtkit.export.lexicon import LONGEST_SIDE, Lexicon, can_be_aligned, learn_lexicon
from mtkit.export.probe import paired_paths, spread_sides
from mtkit.files import write_lines
from mtkit.subword.codec import Subword

FILE = "vmap.txt"  # CTranslate2's name for it
ALWAYS = 100  # target pieces that are looked at for every source, the most frequent ones
MOST_LINES = 500_000  # of a text that are looked at, spread evenly; fewer of them are aligned
WIDER = 2  # times as many pieces, where a shortlist costs too much

Pairs = tuple[list[str], list[str]]
Aligned = Callable[[], Pairs]  # source and target lines of the text that is aligned, read when asked for


def corpus_pairs(corpus: Path) -> Pairs:
    """The training text of a corpus stage's folder; of a large one MOST_LINES lines."""
    return spread_sides((corpus / "train.source", corpus / "train.target"), MOST_LINES)


def stem_pairs(stem: Path, source_language: str, target_language: str, form: str) -> Pairs:
    """As `corpus_pairs`, of a text named by its stem: STEM.SOURCE and STEM.TARGET, normalised for the model.

    Raises:
        DataError: as `spread_sides`.
    """
    sides = spread_sides(paired_paths(stem, source_language, target_language), MOST_LINES)
    source, target = ([normalize(line, form) for line in side] for side in sides)
    return source, target


def learn(codec: Subword, pairs: Pairs) -> Lexicon:
    """Align a text.

    Args:
        codec: the model's vocabularies.
        pairs: normalised lines.

    Raises:
        DataError: no pair can be aligned.
    """
    source, target = codec.encode(pairs[0], "source"), codec.encode(pairs[1], "target")
    if not any(map(can_be_aligned, source, target)):
        raise DataError(
            f"{len(source):,} pairs, none with two sides of at most {LONGEST_SIDE:,} pieces",
            where="the text that a shortlist is learnt from",
            expected="sentence pairs",
            advice="Name a run whose corpus has training text, or another text.",
        )
    return learn_lexicon(source, target, codec.size("source"))


def write_shortlist(folder: Path, lexicon: Lexicon, codec: Subword, most: int) -> None:
    """Write it into the folder of a converted model.

    Args:
        folder: with CTranslate2's files.
        lexicon: as `learn` gives it.
        codec: the model's vocabularies.
        most: target pieces of a source piece.
    """
    names = [codec.pieces(range(codec.size(side)), side) for side in ("source", "target")]

    def spelt(one: int) -> list[str]:
        return codec.pieces(codec.encode([codec.decode([one], "source")], "target")[0], "target")

    write_lines(folder / FILE, _lines(lexicon, names[0], names[1], most, spelt))


def widths(asked: int, pieces: int) -> Iterator[int]:
    """What is tried: as many target pieces as were asked for, then more, while that is not nearly all."""
    while asked < pieces:
        yield asked
        asked *= WIDER


def _lines(
    lexicon: Lexicon,
    source: Sequence[str],
    target: Sequence[str],
    most: int,
    spelt: Callable[[int], list[str]],
) -> Iterator[str]:
    """What is always looked at, then a line for each source piece.

    A piece that the target knows is on its own list: names and numbers are copied. One that the target does
    not know, and that stands nowhere in the text, has the target pieces that it is spelt with (`spelt`).
    """
    both = set(target)
    yield "\t" + _named(target[one] for one in lexicon.frequent[:ALWAYS])
    seen = set()
    for one, candidates in lexicon.candidates(most):
        if one == lexicon.nothing or not _is_word(source[one]):
            continue
        seen.add(one)
        copied = [source[one]] if source[one] in both else []
        yield f"{source[one]}\t{_named([*(target[other] for other in candidates), *copied])}"
    for one, piece in enumerate(source):  # what the text has none of can be copied at least
        if one not in seen and _is_word(piece):
            named = _named([piece] if piece in both else spelt(one))
            if named:
                yield f"{piece}\t{named}"


def _named(pieces: Iterable[str]) -> str:
    return " ".join(dict.fromkeys(piece for piece in pieces if _is_word(piece)))


def _is_word(piece: str) -> bool:
    """False if the file's layout has no place for a piece, which then is on no list."""
    return bool(piece) and not any(mark in piece for mark in " \t\n")
