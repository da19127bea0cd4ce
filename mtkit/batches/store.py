"""The id store: a corpus as ids in memory-mapped files, written and read without growing with the corpus.

A folder holds `ids.json` (written last, so that what has it is whole), and for each side `SIDE.ids` (the
ids of all sentences one after the other, without BOS and EOS, little-endian) and `SIDE.offsets` (where each
sentence starts, int64, and at the end where the last one ends); `rows` (int64) names each pair's line.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from mtkit.batches.batch import Batch, make_batch
from mtkit.errors import DataError
from mtkit.files import atomic, read_json, read_lines, user_errors, write_json
from mtkit.subword.codec import Subword
from mtkit.subword.vocabulary import SIDES, Side

FORMAT = 3  # 2: no hash of the rows
HEADER = "ids.json"
CHUNK_PAIRS = 8192  # encoded at a time; decides how much memory writing takes
HASHED_AT_ONCE = 1 << 20  # numbers


@dataclass(frozen=True)
class IdStoreSummary:
    """What `ids.json` says.

    Attributes:
        format: version of the layout.
        pairs: sentence pairs in the store.
        left_out: pairs of the corpus that are not, because a side is longer than `max_tokens`.
        max_tokens: longest side that was let in, EOS counted.
        source_tokens: tokens of all sources, EOS counted.
        target_tokens: tokens of all targets, EOS counted.
        types: numpy type of each side's ids.
        hashes: SHA-256 of each side's sentences, as ids and in their order.
        rows_hash: SHA-256 of the file `rows`.
    """

    format: int
    pairs: int
    left_out: int
    max_tokens: int
    source_tokens: int
    target_tokens: int
    types: dict[Side, str]
    hashes: dict[Side, str]
    rows_hash: str


def write_ids(
    corpus: Path,
    subword: Subword,
    folder: Path,
    max_tokens: int,
    *,
    split: str = "train",
    threads: int = 1,
) -> IdStoreSummary:
    """Encode a split of a corpus stage into an id store.

    Args:
        corpus: folder of a corpus stage.
        subword: vocabularies of both sides.
        folder: where the store goes; a store that is there is replaced.
        max_tokens: longest side of a pair in tokens, EOS counted; longer pairs are left out, counted.
        split: train, valid or test.
        threads: CPU threads that encode; the result does not depend on them.

    Raises:
        DataError: the sides differ in their number of lines, or no pair is left.
    """
    paths = [corpus / f"{split}.{side}" for side in SIDES]
    with user_errors(folder):
        (folder / HEADER).unlink(missing_ok=True)
    left_out = 0
    with ExitStack() as stack:
        writers = [_SideWriter(folder, side, subword.size(side), stack) for side in SIDES]
        rows, rows_hash = stack.enter_context(atomic(folder / "rows")), sha256()
        for first, lines in _chunks(paths):
            encoded = [
                subword.encode(lines[index], side, threads=threads) for index, side in enumerate(SIDES)
            ]
            kept = [row for row, pair in enumerate(zip(*encoded, strict=True)) if _fits(pair, max_tokens)]
            for writer, sentences in zip(writers, encoded, strict=True):
                writer.write([sentences[row] for row in kept])
            numbers = (first + np.array(kept, dtype="<i8")).tobytes()
            rows.write(numbers)
            rows_hash.update(numbers)
            left_out += len(lines[0]) - len(kept)
    summary = _summary(writers, left_out, max_tokens, rows_hash.hexdigest())
    if not summary.pairs:
        raise _no_pairs(paths, left_out, max_tokens)
    write_json(folder / HEADER, asdict(summary))
    return summary


def check_pairs(corpus: Path, subword: Subword, max_tokens: int, split: str) -> None:
    """See that a split has a pair that an id store would take; nothing is written.

    Raises:
        DataError: as `write_ids`.
    """
    paths = [corpus / f"{split}.{side}" for side in SIDES]
    left_out = 0
    for _, lines in _chunks(paths):
        encoded = [subword.encode(lines[index], side) for index, side in enumerate(SIDES)]
        if any(_fits(pair, max_tokens) for pair in zip(*encoded, strict=True)):
            return
        left_out += len(lines[0])
    raise _no_pairs(paths, left_out, max_tokens)


def _fits(pair: Iterable[list[int]], max_tokens: int) -> bool:
    return all(len(ids) + 1 <= max_tokens for ids in pair)


def _summary(writers: "list[_SideWriter]", left_out: int, max_tokens: int, rows_hash: str) -> IdStoreSummary:
    source, target = writers
    return IdStoreSummary(
        format=FORMAT,
        pairs=source.sentences,
        left_out=left_out,
        max_tokens=max_tokens,
        source_tokens=source.tokens,
        target_tokens=target.tokens,
        types={writer.side: writer.type for writer in writers},
        hashes={writer.side: writer.hash for writer in writers},
        rows_hash=rows_hash,
    )


class _SideWriter:
    """Appends one side's sentences to its two files."""

    def __init__(self, folder: Path, side: Side, size: int, stack: ExitStack) -> None:
        self.side = side
        self.type = "<u2" if size <= 1 << 16 else "<i4"
        self.sentences = 0
        self._ids = 0
        self._length_hash, self._id_hash = sha256(), sha256()
        self._id_stream: BinaryIO = stack.enter_context(atomic(folder / f"{side}.ids"))
        self._offset_stream: BinaryIO = stack.enter_context(atomic(folder / f"{side}.offsets"))
        self._offset_stream.write(np.zeros(1, dtype="<i8").tobytes())

    @property
    def tokens(self) -> int:
        """Tokens so far, an EOS a sentence counted."""
        return self._ids + self.sentences

    @property
    def hash(self) -> str:
        """SHA-256 of the sentences so far: of the hashes of their lengths and of their ids."""
        return _of_both(self._length_hash.digest(), self._id_hash.digest())

    def write(self, sentences: Sequence[Sequence[int]]) -> None:
        """Append sentences."""
        lengths = np.array([len(ids) for ids in sentences], dtype="<i8")
        ids = np.fromiter(itertools.chain.from_iterable(sentences), self.type).tobytes()
        self._length_hash.update(lengths.tobytes())
        self._id_hash.update(ids)
        self._id_stream.write(ids)
        self._offset_stream.write((self._ids + np.cumsum(lengths)).astype("<i8").tobytes())
        self._ids += int(lengths.sum())
        self.sentences += len(sentences)


def _of_both(lengths: bytes, ids: bytes) -> str:
    return sha256(lengths + ids).hexdigest()


def _hash(numbers: NDArray[Any]) -> bytes:
    """SHA-256 of numbers, of which there may be more than the memory holds."""
    found = sha256()
    for first in range(0, len(numbers), HASHED_AT_ONCE):
        found.update(numbers[first : first + HASHED_AT_ONCE].tobytes())
    return found.digest()


def _chunks(paths: Sequence[Path]) -> Iterator[tuple[int, list[list[str]]]]:
    """The lines of both files, some thousand at a time, with the number of the first."""
    sides = [read_lines(path) for path in paths]
    first = 0
    while True:
        lines = [list(itertools.islice(side, CHUNK_PAIRS)) for side in sides]
        if len(lines[0]) != len(lines[1]):
            raise _unequal(paths, [first + len(side) for side in lines], sides)
        if not lines[0]:
            return
        yield first, lines
        first += len(lines[0])


def _unequal(paths: Sequence[Path], counts: list[int], rest: Sequence[Iterable[str]]) -> DataError:
    totals = [count + sum(1 for _ in lines) for count, lines in zip(counts, rest, strict=True)]
    return DataError(
        f"{paths[0].name} has {totals[0]:,} lines and {paths[1].name} has {totals[1]:,}",
        where=str(paths[0].parent),
        expected="as many source sentences as target sentences",
        advice="Delete this corpus stage's folder and run the recipe again.",
    )


def _no_pairs(paths: Sequence[Path], left_out: int, max_tokens: int) -> DataError:
    return DataError(
        f"none of {left_out:,} pairs has sides of at most {max_tokens} tokens"
        if left_out
        else "there are no sentence pairs",
        where=", ".join(str(path) for path in paths),
        expected="at least one pair",
        advice="Raise `stages.train.max_tokens`." if left_out else "See in corpus.json what was removed.",
    )


class IdStore:
    """Sentence pairs as ids, read from the disk as they are needed; pairs are numbered from 0.

    Attributes:
        summary: what the store holds.
        source_lengths: tokens of each source, EOS counted. [pairs] int32
        target_lengths: tokens of each target, EOS counted. [pairs] int32
        rows: line number of each pair in the corpus, from 0. [pairs] int64
    """

    def __init__(self, summary: IdStoreSummary, folder: Path) -> None:
        self.summary, self._folder = summary, folder
        pairs = summary.pairs
        tokens: dict[Side, int] = {"source": summary.source_tokens, "target": summary.target_tokens}
        self._offsets = {side: _mapped(folder / f"{side}.offsets", "<i8", pairs + 1) for side in SIDES}
        self._ids = {
            side: _mapped(folder / f"{side}.ids", summary.types[side], tokens[side] - pairs) for side in SIDES
        }
        self.rows: NDArray[np.int64] = _mapped(folder / "rows", "<i8", pairs)
        self.source_lengths, self.target_lengths = (self._lengths(folder, side) for side in SIDES)

    @classmethod
    def open(cls, folder: Path) -> "IdStore":
        """Open a store.

        Raises:
            DataError: a file is missing or not as long as `ids.json` says.
        """
        if not (folder / HEADER).is_file():
            raise _broken(folder, f"{HEADER} is missing, so the store was not finished")
        values = read_json(folder / HEADER)
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise _broken(folder / HEADER, "it is of another format")
        try:
            return cls(IdStoreSummary(**values), folder)
        except (TypeError, KeyError) as error:
            raise _broken(folder / HEADER, "its entries are not those of an id store") from error

    def check(self) -> None:
        """Read all files, and compare them with the hashes of what was written.

        Raises:
            DataError: a bit is another.
        """
        for side in SIDES:
            lengths = np.diff(self._offsets[side])  # without EOS, as they were written
            if self.summary.hashes[side] != _of_both(_hash(lengths), _hash(self._ids[side])):
                found = f"{side}.ids or {side}.offsets is not as it was written"
                raise _broken(self._folder / f"{side}.ids", found)
        if self.summary.rows_hash != _hash(self.rows).hex():
            raise _broken(self._folder / "rows", "rows is not as it was written")

    def __len__(self) -> int:
        return self.summary.pairs

    def ids(self, pairs: NDArray[np.integer], side: Side) -> list[NDArray[np.integer]]:
        """The ids of one side of some pairs, without BOS and EOS."""
        offsets, ids = self._offsets[side], self._ids[side]
        return [ids[start:end] for start, end in zip(offsets[pairs], offsets[pairs + 1], strict=True)]

    def batch(self, pairs: NDArray[np.integer]) -> Batch:
        """Some pairs as a batch; its rows are their line numbers in the corpus."""
        return make_batch(self.ids(pairs, "source"), self.ids(pairs, "target"), self.rows[pairs])

    def _lengths(self, folder: Path, side: Side) -> NDArray[np.int32]:
        lengths = np.diff(self._offsets[side]) + 1
        if int(lengths.min()) < 1 or int(self._offsets[side][-1]) != len(self._ids[side]):
            raise _broken(folder / f"{side}.offsets", "its offsets do not fit the ids")
        return lengths.astype(np.int32)


def _mapped(path: Path, dtype: str, count: int) -> NDArray[Any]:
    """A file as an array that is read where it is touched."""
    expected = count * np.dtype(dtype).itemsize
    found = path.stat().st_size if path.is_file() else None
    if found != expected:
        said = "it is missing" if found is None else f"it has {found:,} bytes"
        raise _broken(path, f"{said}, and {HEADER} promises {expected:,}")
    if not count:
        return np.zeros(0, dtype=dtype)  # the system maps no empty file
    with user_errors(path):
        return np.memmap(path, dtype=dtype, mode="r", shape=(count,))


def _broken(path: Path, what: str) -> DataError:
    return DataError(
        f"the id store is damaged: {what}",
        where=str(path),
        expected="the store as it was written",
        advice="Delete its folder and run the same command again.",
    )
